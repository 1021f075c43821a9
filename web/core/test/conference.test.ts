// A conference from the first frame to the last, against a scripted service.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { FakePeer } from './peer.ts'
import {
  FOCUS,
  ID,
  ME,
  ROOM,
  SERVER,
  SID,
  type World,
  begin,
  fixture,
  installWorld,
  item,
  joined,
  presence,
  removeWorld,
  self,
  sources,
  stanzaError
} from './service.ts'
import { FakeSocket, JID, LOGIN, pass, settle } from './socket.ts'

beforeEach(installWorld)
afterEach(removeWorld)

const phase = ({ meeting }: World) => meeting.snapshot().connection

/** Nothing of a conference that is over may still run. */
function expectStill(): void {
  expect(vi.getTimerCount()).toBe(0)
  expect(FakeSocket.all.every(({ readyState }) => readyState === 3)).toBe(true)
  expect(FakePeer.all.every(({ closed }) => closed)).toBe(true)
}

describe('a whole join', () => {
  it('goes from the first frame to moving pictures', async () => {
    const world = begin()
    const { service, meeting, told, phases } = world
    service.entry = () => [
      presence('focus', item('moderator')),
      presence('b2c3d4e5', item('moderator') + sources('b2c3d4e5', { a0: false, v0: false })),
      self()
    ]
    expect(meeting.snapshot()).toMatchObject({
      connection: { phase: 'connecting' },
      media: 'idle',
      room: { name: 'my room', subject: null },
      self: { id: null, name: 'Ada', role: 'none' }
    })
    await settle()

    // open, auth, open, bind
    expect(service.socket.url).toBe('wss://meet.example/xmpp-websocket?room=my+room')
    expect(service.socket.sent.slice(0, 4).map((frame) => /^<(\S+)/u.exec(frame)?.[1])).toEqual(['open', 'auth', 'open', 'iq'])
    // the conference request, the join
    expect(service.heard.map(({ name }) => name)).toEqual(['iq', 'presence', 'iq', 'iq'])
    const [request, join] = service.heard
    expect(request?.attrs['to']).toBe('focus.meet.example')
    expect(request?.getChild('conference')?.attrs).toMatchObject({ room: ROOM })
    expect(request?.getChild('conference')?.attrs['machine-uid']).toMatch(/^[0-9a-f]{32}$/u)
    expect(join?.attrs['to']).toBe(ME)
    expect(JSON.parse(join?.getChildText('SourceInfo') ?? '')).toEqual({
      [`${ID}-a0`]: { muted: true },
      [`${ID}-v0`]: { muted: true, videoType: 'camera' }
    })
    // presence 110
    expect(phases).toEqual(['joined'])
    expect(meeting.snapshot().self).toMatchObject({ id: ID, role: 'participant' })
    // Whoever was there before is no news.
    expect(told.map(([event]) => event)).toEqual(['connection'])
    expect(meeting.snapshot().occupants).toMatchObject([{ id: 'b2c3d4e5', role: 'moderator', order: 0, camera: { track: null } }])

    // The focus looks at what we can do.
    service.say(
      `<iq xmlns="jabber:client" type="get" id="d1" from="${FOCUS}"><query xmlns="http://jabber.org/protocol/disco#info"/></iq>`
    )
    const features = service.heard.at(-1)?.getChild('query')?.getChildren('feature')
    expect(features?.map(({ attrs }) => attrs['var'])).toContain('http://jitsi.org/json-encoded-sources')

    // The offer and its answer.
    const answer = await service.offer()
    expect(answer.attrs).toMatchObject({ type: 'result', to: FOCUS })
    const [accept] = service.asked('session-accept')
    expect(accept?.attrs).toMatchObject({ sid: SID, initiator: FOCUS, responder: JID })
    const signalled = accept?.getChildren('content').map((content) => {
      const description = content.getChild('description')
      return [
        content.attrs['name'],
        description?.getChildren('payload-type').map(({ attrs }) => attrs['name']),
        // Of a camera the first encoding has the browser's numbers, the others have ours.
        description
          ?.getChildren('source')
          .map(({ attrs }, index) => `${index < 2 ? attrs['ssrc'] : 'ours'} ${attrs['name']}`)
      ]
    })
    // All but what the browser does not know (AV1 and its retransmission), best for cameras first.
    expect(signalled).toEqual([
      ['audio', ['opus', 'telephone-event'], [`5001 ${ID}-a0`]],
      ['video', ['VP8', 'VP9', 'H264', 'rtx', 'rtx', 'rtx'], [`5011 ${ID}-v0`, `5012 ${ID}-v0`, ...Array.from({ length: 4 }, () => `ours ${ID}-v0`)]]
    ])
    expect(meeting.snapshot().media).toBe('connecting')
    FakePeer.last.go('connected')
    expect(meeting.snapshot().media).toBe('connected')

    // The bridge channel maps a source onto a slot, which becomes a track.
    expect(service.channel.url).toBe('wss://meet.example/colibri-ws/s1/4c1f0f6d9c0f/a1b2c3d4?pwd=5jv2k8q1')
    service.channel.say(
      JSON.stringify({
        colibriClass: 'VideoSourcesMap',
        mappedSources: [{ source: 'b2c3d4e5-v0', owner: 'b2c3d4e5', ssrc: 7001, rtx: 7002 }]
      })
    )
    await pass(30)
    expect(FakePeer.last.directions).toEqual({ '0': 'audio sendrecv', '1': 'video sendrecv', '2': 'video sendonly' })
    expect(FakePeer.last.remote.at(-1)).toContain('a=ssrc-group:FID 7001 7002')
    expect(meeting.snapshot().occupants[0]?.camera?.track?.id).toBe('received-2')
    await meeting.leave()
    expectStill()
  })

  it('needs WebRTC and a name', async () => {
    const nameless = begin({ room: ' ?! ' })
    expect(phase(nameless)).toEqual({ phase: 'failed', code: 'bad-room-name' })
    vi.stubGlobal('RTCPeerConnection', undefined)
    const old = begin()
    expect(phase(old)).toEqual({ phase: 'failed', code: 'unsupported' })
    await settle()
    expect(FakeSocket.all).toEqual([])
    expect(vi.getTimerCount()).toBe(0)
  })

  it('asks the focus where the configuration says it is, and hands over the password', async () => {
    const { service, meeting } = await joined({ server: { ...SERVER, focus: 'elsewhere.example' }, password: 's3cret' })
    expect(service.heard[0]?.attrs['to']).toBe('elsewhere.example')
    expect(service.presences[0]?.getChild('x')?.getChildText('password')).toBe('s3cret')
    await meeting.leave()
  })

  it.each([
    ['not-acceptable', 'request-refused'],
    ['resource-constraint', 'server-full'],
    ['service-unavailable', 'server-restarting']
  ])('is over when the conference request is refused: %s', async (condition, code) => {
    const world = begin()
    const text = '<text xmlns="urn:ietf:params:xml:ns:xmpp-stanzas">for people</text>'
    world.service.conference = { error: stanzaError(condition, 'wait', text) }
    await settle()
    expect(phase(world)).toEqual({ phase: 'failed', code, text: 'for people' })
    await pass(1_000)
    expectStill()
  })

  it.each([
    ['the name is taken', stanzaError('conflict'), 'conflict'],
    ['the room is full', stanzaError('service-unavailable', 'wait'), 'room-full'],
    ['the room is for members and has no lobby', stanzaError('registration-required', 'auth'), 'members-only'],
    ['this person may not', stanzaError('forbidden', 'auth'), 'forbidden']
  ])('is over when %s', async (_, error, code) => {
    const world = begin()
    world.service.entry = () => [presence(ID, error, 'error')]
    await settle()
    expect(phase(world)).toEqual({ phase: 'failed', code })
    expect(world.phases).toEqual([`failed ${code}`])
    await pass(60_000)
    expect(world.service.attempts).toHaveLength(1)
    expectStill()
  })

  it('is over when the login is refused', async () => {
    const world = begin()
    FakeSocket.service = (frame, socket) => {
      if (frame.startsWith('<auth')) socket.say('<failure xmlns="urn:ietf:params:xml:ns:xmpp-sasl"><not-authorized/></failure>')
      else for (const said of LOGIN[0]?.[1] ?? []) socket.say(said)
    }
    await settle()
    expect(phase(world)).toEqual({ phase: 'failed', code: 'not-authorized' })
    expectStill()
  })
})

describe('the end', () => {
  it('by a moderator names who and why, and is no trouble of the network', async () => {
    const world = await joined()
    world.service.say(fixture('xmpp/presence-kicked.xml'))
    expect(phase(world)).toEqual({ phase: 'kicked', by: 'ab12cd34', reason: 'noise' })
    await pass(60_000)
    expect(world.service.attempts).toHaveLength(1)
    expect(world.phases).toEqual(['kicked'])
    expectStill()
  })

  it.each([
    ['for everybody', fixture('xmpp/presence-destroyed.xml'), 'destroyed'],
    [
      'by ourselves elsewhere',
      '<stream:error xmlns:stream="http://etherx.jabber.org/streams"><conflict xmlns="urn:ietf:params:xml:ns:xmpp-streams"/></stream:error>',
      'conflict'
    ],
    ['for want of a bridge', presence('focus', '<bridgeNotAvailable xmlns="http://jitsi.org/protocol/focus"/>'), 'no-bridge']
  ])('%s is final', async (_, stanza, code) => {
    const world = await joined()
    await world.service.offer()
    world.service.say(stanza)
    expect(phase(world)).toEqual({ phase: 'failed', code })
    expect(world.meeting.snapshot()).toMatchObject({ occupants: [], media: 'idle', speaker: null })
    await pass(60_000)
    expect(world.service.attempts).toHaveLength(1)
    expectStill()
  })

  it('by leaving waits for the room’s word', async () => {
    const world = await joined()
    const left = world.meeting.leave()
    expect(phase(world)).toEqual({ phase: 'left' })
    expect(world.service.presences.at(-1)?.attrs['type']).toBe('unavailable')
    await left
    await world.meeting.leave()
    expect(world.phases).toEqual(['left'])
    expect(world.devices.disposed).toBe(false)
    expectStill()
  })

  it('by leaving waits a second at most', async () => {
    const world = await joined()
    world.service.confirmsLeave = false
    let gone = false
    const leaving = world.meeting.leave().then(() => (gone = true))
    await pass(999)
    expect(gone).toBe(false)
    expect(world.service.socket.readyState).toBe(1)
    await pass(1)
    await leaving
    expectStill()
  })

  it('by leaving does not wait for a dead socket', async () => {
    const world = await joined()
    world.service.confirmsLeave = false
    const leaving = world.meeting.leave()
    world.service.socket.drop()
    await leaving
    expectStill()
  })

  it.each(['before', 'during', 'after'])('by a signal %s the join', async (when) => {
    const abort = new AbortController()
    if (when === 'before') abort.abort()
    const world = begin({ signal: abort.signal })
    if (when === 'after') await settle()
    abort.abort()
    expect(phase(world)).toEqual({ phase: 'left' })
    await world.meeting.leave()
    await settle()
    expect(world.service.presences.filter(({ attrs }) => attrs['type'] === undefined)).toHaveLength(when === 'after' ? 1 : 0)
    expectStill()
  })

  it('ends all commands, which then do nothing', async () => {
    const { meeting, service, devices } = await joined()
    await meeting.leave()
    const heard = service.heard.length
    expect(meeting.sendChat('anybody?')).toBeNull()
    expect(meeting.sendEndpointMessage({})).toBe(false)
    meeting.setDisplayName('Eve')
    meeting.setHandRaised(true)
    meeting.setSubject('none')
    meeting.reconnectNow()
    await devices.setMicrophone(true)
    await pass(10_000)
    expect(service.heard).toHaveLength(heard)
    expectStill()
  })
})

describe('people', () => {
  it('come, change and go, each told once', async () => {
    const { service, meeting, told } = await joined()
    service.say(presence('b2c3d4e5', item('participant')))
    service.say(presence('b2c3d4e5', `${item('participant')}<jitsi_participant_raisedHand>1767300000000</jitsi_participant_raisedHand>`))
    expect(meeting.snapshot().occupants).toMatchObject([{ id: 'b2c3d4e5', handRaisedAt: 1_767_300_000_000 }])
    service.say(presence('b2c3d4e5', '<x xmlns="http://jabber.org/protocol/muc#user"><item role="none"><actor nick="c3d4e5f6"/></item><status code="307"/></x>', 'unavailable'))
    expect(told).toMatchObject([
      ['occupantJoined', { id: 'b2c3d4e5' }],
      ['handRaised', { id: 'b2c3d4e5' }],
      ['occupantLeft', { occupant: { id: 'b2c3d4e5' }, kickedBy: 'c3d4e5f6' }]
    ])
    expect(meeting.snapshot().occupants).toEqual([])
    await meeting.leave()
  })

  it('hear of our name, hand and devices by one whole presence each', async () => {
    const { service, meeting, devices } = await joined()
    const said = () => service.presences.at(-1)
    meeting.setDisplayName(' Grace ')
    expect(said()?.getChildText('nick')).toBe('Grace')
    expect(said()?.getChild('x')).toBeUndefined()
    meeting.setHandRaised(true)
    expect(said()?.getChildText('jitsi_participant_raisedHand')).toBe('1767300000000')
    expect(meeting.snapshot().self).toMatchObject({ name: 'Grace', handRaisedAt: 1_767_300_000_000 })
    meeting.setHandRaised(false)
    expect(said()?.getChild('jitsi_participant_raisedHand')).toBeUndefined()

    const before = service.presences.length
    await devices.setMicrophone(true)
    await settle()
    await devices.startShare()
    await settle()
    await devices.stopShare()
    await settle()
    expect(service.presences.slice(before).map((stanza) => JSON.parse(stanza.getChildText('SourceInfo') ?? ''))).toEqual([
      { [`${ID}-a0`]: { muted: false }, [`${ID}-v0`]: { muted: true, videoType: 'camera' } },
      {
        [`${ID}-a0`]: { muted: false },
        [`${ID}-v0`]: { muted: true, videoType: 'camera' },
        [`${ID}-v1`]: { muted: false, videoType: 'desktop' }
      },
      // Between shares the screen is a source that is muted.
      {
        [`${ID}-a0`]: { muted: false },
        [`${ID}-v0`]: { muted: true, videoType: 'camera' },
        [`${ID}-v1`]: { muted: true, videoType: 'desktop' }
      }
    ])
    await meeting.leave()
  })

  it('are told of subject and start, and moderators become so', async () => {
    const { service, meeting } = await joined()
    service.say(`<message xmlns="jabber:client" type="groupchat" from="${ROOM}/b2c3d4e5"><subject>Plans</subject></message>`)
    service.say(
      presence(
        'focus',
        '<conference-properties xmlns="http://jitsi.org/protocol/focus"><property key="created-ms" value="1767225600000"/></conference-properties>'
      )
    )
    service.say(self('moderator'))
    expect(meeting.snapshot()).toMatchObject({
      room: { name: 'my room', subject: 'Plans', startedAt: 1_767_225_600_000 },
      self: { role: 'moderator' }
    })
    meeting.setSubject('Other plans')
    expect(service.heard.at(-1)?.getChildText('subject')).toBe('Other plans')
    await meeting.leave()
  })
})

describe('listeners', () => {
  it('hear of many changes once, and not at all when nothing changed', async () => {
    const { meeting, devices, told } = await joined()
    await settle()
    const heard = vi.fn<(snapshot: unknown) => void>()
    const stop = meeting.subscribe(heard)
    meeting.setDisplayName('Bo')
    meeting.setHandRaised(true)
    expect(heard).not.toHaveBeenCalled()
    await settle()
    expect(heard).toHaveBeenCalledExactlyOnceWith(meeting.snapshot())
    meeting.setDisplayName('Bo')
    await settle()
    expect(heard).toHaveBeenCalledOnce()
    devices.unplug('a headset')
    expect(told.at(-1)).toEqual(['deviceLost', { kind: 'microphone', label: 'a headset', replacedBy: null }])
    stop()
    await meeting.leave()
    await settle()
    expect(heard).toHaveBeenCalledOnce()
  })
})
