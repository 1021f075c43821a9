// The media session of a conference: sources that come and go, trouble on the path, what we may send.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { FakePeer } from './peer.ts'
import {
  ID,
  ROOM,
  SID,
  Service,
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
import { FakeSocket, pass, settle } from './socket.ts'

const BO = 'b2c3d4e5'
const CONNECTED = { connection: { phase: 'joined' }, media: 'connected' }

beforeEach(installWorld)
afterEach(() => {
  expect(vi.getTimerCount()).toBe(0)
  expect(FakePeer.all.every(({ closed }) => closed)).toBe(true)
  removeWorld()
})

/** In a call with Bo, media flowing. */
async function inCall(prepare: (world: World) => Promise<unknown> = async () => {}, service = new Service()): Promise<World> {
  const world = begin({}, service)
  world.service.entry = () => [
    presence('focus', item('moderator')),
    presence(BO, item('participant') + sources(BO, { a0: false, v0: false })),
    self()
  ]
  await settle()
  await prepare(world)
  await settle()
  await world.service.offer()
  FakePeer.last.go('connected')
  expect(world.meeting.snapshot()).toMatchObject(CONNECTED)
  world.told.length = 0
  world.phases.length = 0
  return world
}

const map = (kind: 'Audio' | 'Video', ...mapped: [source: string, ssrc: number, rtx?: number][]) =>
  JSON.stringify({
    colibriClass: `${kind}SourcesMap`,
    mappedSources: mapped.map(([source, ssrc, rtx]) => ({ source, owner: source.split('-')[0], ssrc, rtx }))
  })

const sourceJson = (who: string, ssrc: number) =>
  `<json-message xmlns="http://jitsi.org/jitmeet">${JSON.stringify({
    sources: { [who]: [[{ s: ssrc, n: `${who}-v1`, m: `${who}-video-1 x` }], [], []] }
  })}</json-message>`

describe('sources that come late', () => {
  it('are told by the focus, and are slots of the channel: the peer connection is left alone', async () => {
    const { service, meeting } = await inCall()
    const peer = FakePeer.last
    for (const action of ['source-add', 'source-remove', 'transport-info', 'session-info']) {
      expect(service.askJingle(action, sourceJson(BO, 1_100_000_001)).attrs['type']).toBe('result')
    }
    await settle()
    expect(peer.remote).toHaveLength(1)
    expect(meeting.snapshot()).toMatchObject(CONNECTED)
    await meeting.leave()
  })

  it('get an m-line each, together when they come together', async () => {
    const { service, meeting } = await inCall()
    const peer = FakePeer.last
    service.channel.say(map('Audio', [`${BO}-a0`, 7000]))
    await pass(10)
    service.channel.say(map('Video', [`${BO}-v0`, 7001, 7002]))
    await pass(29)
    expect(peer.remote).toHaveLength(1)
    await pass(1)
    expect(peer.remote).toHaveLength(2)
    expect(peer.directions).toEqual({
      '0': 'audio sendrecv',
      '1': 'video sendrecv',
      '2': 'audio sendonly',
      '3': 'video sendonly'
    })
    expect(meeting.snapshot().occupants[0]).toMatchObject({ audio: { track: { id: 'received-2' } }, camera: { track: { id: 'received-3' } } })
    await meeting.leave()
  })

  it('take over slots of others without a new description', async () => {
    const { service, meeting } = await inCall()
    service.channel.say(map('Video', [`${BO}-v0`, 7001, 7002]))
    await pass(30)
    service.say(presence('c3d4e5f6', item('participant') + sources('c3d4e5f6', { v0: false })))
    service.channel.say(map('Video', ['c3d4e5f6-v0', 7001, 7002]))
    const tracks = () => meeting.snapshot().occupants.map(({ camera }) => camera?.track?.id ?? null)
    expect(tracks()).toEqual([null, 'received-2'])
    // Back on a slot of its own.
    service.channel.say(map('Video', [`${BO}-v0`, 7003, 7004]))
    await pass(30)
    expect(tracks()).toEqual(['received-3', 'received-2'])
    expect(FakePeer.last.remote).toHaveLength(3)
    await meeting.leave()
  })

  it('are on one slot at a time', async () => {
    const { service, meeting } = await inCall()
    service.channel.say(map('Video', [`${BO}-v0`, 7001, 7002]))
    await pass(30)
    service.channel.say(map('Video', [`${BO}-v0`, 7003, 7004]))
    await pass(30)
    expect(meeting.snapshot().occupants[0]?.camera?.track?.id).toBe('received-3')
    await meeting.leave()
  })

  it('are shown or held back as the bridge says, and a speaker is told', async () => {
    const { service, meeting, told } = await inCall()
    const say = (message: object) => service.channel.say(JSON.stringify(message))
    say({ colibriClass: 'ForwardedSources', forwardedSources: [] })
    expect(meeting.snapshot().occupants[0]?.camera?.streaming).toBe('inactive')
    say({ colibriClass: 'ForwardedSources', forwardedSources: [`${BO}-v0`] })
    expect(meeting.snapshot().occupants[0]?.camera?.streaming).toBe('active')
    say({ colibriClass: 'EndpointConnectivityStatusChangeEvent', endpoint: BO, active: 'false' })
    expect(meeting.snapshot().occupants[0]?.reachable).toBe(false)
    say({ colibriClass: 'EndpointConnectivityStatusChangeEvent', endpoint: BO, active: 'true' })
    expect(meeting.snapshot().occupants[0]?.reachable).toBe(true)
    say({ colibriClass: 'DominantSpeakerEndpointChangeEvent', dominantSpeakerEndpoint: BO, previousSpeakers: ['x'], silence: false })
    expect(meeting.snapshot().speaker).toEqual({ id: BO, previous: ['x'], silence: false })
    say({ colibriClass: 'EndpointMessage', from: BO, msgPayload: { wave: 1 } })
    expect(told.map(([event]) => event)).toEqual(['dominantSpeaker', 'endpointMessage'])
    expect(meeting.sendEndpointMessage({ wave: 2 }, BO)).toBe(true)
    expect(JSON.parse(service.channel.sent.at(-1) ?? '')).toEqual({ colibriClass: 'EndpointMessage', to: BO, msgPayload: { wave: 2 } })
    await meeting.leave()
  })
})

describe('requests of the focus', () => {
  const conditions = (answer: { getChild(name: string): { getChildElements(): { name: string }[] } | undefined }) =>
    answer.getChild('error')?.getChildElements().map(({ name }) => name)

  it('about another session are told that there is none', async () => {
    const { service, meeting } = await inCall()
    const answer = service.askJingle('source-add', sourceJson(BO, 1), 'another')
    expect(conditions(answer)).toEqual(['item-not-found', 'unknown-session'])
    expect(conditions(service.askJingle('session-terminate', '', 'another'))).toEqual(['item-not-found', 'unknown-session'])
    expect(meeting.snapshot()).toMatchObject(CONNECTED)
    await meeting.leave()
  })

  it('that make no sense are refused, and change nothing', async () => {
    const { service, meeting } = await inCall()
    expect(conditions(service.askJingle('description-info'))).toEqual(['bad-request'])
    expect(conditions(service.askJingle('session-initiate', '', 'empty'))).toEqual(['bad-request'])
    expect(conditions(await service.offer(SID))).toEqual(['service-unavailable'])
    expect(conditions(service.ask('<query xmlns="urn:example:what"/>'))).toEqual(['service-unavailable'])
    expect(FakePeer.all).toHaveLength(1)
    expect(meeting.snapshot()).toMatchObject(CONNECTED)
    await meeting.leave()
  })

  it('to mute switch the device off and say by whom', async () => {
    const { service, meeting, devices, told } = await inCall(async ({ devices: mine }) => {
      await mine.setMicrophone(true)
      await mine.setCamera(true)
      await mine.startShare()
    })
    const mute = (kind: string, text = 'true') =>
      service.ask(`<mute xmlns="http://jitsi.org/jitmeet/${kind}" actor="my%20room@muc.meet.example/${BO}">${text}</mute>`).attrs['type']
    expect(mute('audio', 'false')).toBe('result')
    expect(mute('smell')).toBe('result')
    expect(told).toEqual([])
    for (const kind of ['audio', 'video', 'desktop']) expect(mute(kind)).toBe('result')
    await settle()
    expect(told).toEqual([
      ['mutedByModerator', { kind: 'microphone', by: BO }],
      ['mutedByModerator', { kind: 'camera', by: BO }],
      ['mutedByModerator', { kind: 'screen', by: BO }]
    ])
    expect(devices.snapshot()).toMatchObject({ microphone: { state: 'muted' }, camera: { state: 'off' }, screen: { state: 'off' } })
    expect(JSON.parse(service.presences.at(-1)?.getChildText('SourceInfo') ?? '')).toMatchObject({ [`${ID}-a0`]: { muted: true } })
    await meeting.leave()
  })
})

describe('session-terminate', () => {
  it('by the focus is no trouble: alone in the room, or moved to another bridge', async () => {
    const { service, meeting, phases } = await inCall()
    expect(service.askJingle('session-terminate', '<reason><success/></reason>').attrs['type']).toBe('result')
    expect(meeting.snapshot()).toMatchObject({ connection: { phase: 'joined' }, media: 'idle' })
    expect(FakePeer.last.connectionState).toBe('closed')
    await service.offer('second')
    FakePeer.last.go('connected')
    expect(meeting.snapshot()).toMatchObject(CONNECTED)
    expect(service.asked('session-accept').map(({ attrs }) => attrs['sid'])).toEqual([SID, 'second'])
    expect(phases).toEqual([])
    await meeting.leave()
  })

  it('with restart is how we ask for a new path', async () => {
    const { service, meeting, phases } = await inCall()
    const first = FakePeer.last
    first.go('disconnected')
    expect(meeting.snapshot()).toMatchObject({ connection: { phase: 'joined' }, media: 'interrupted' })
    first.go('failed')
    expect(phases).toEqual(['reconnecting media 1'])
    await pass(1_999)
    expect(service.asked('session-terminate')).toEqual([])
    await pass(1)
    const [terminate] = service.asked('session-terminate')
    expect(terminate?.toString()).toBe(
      `<jingle xmlns="urn:xmpp:jingle:1" action="session-terminate" sid="${SID}" initiator="my%20room@muc.meet.example/focus"><reason><connectivity-error/></reason><bridge-session xmlns="http://jitsi.org/protocol/focus" id="0f2a7c44-51d2-4b0e-9b13-7a6b1f1de111" restart="true"/></jingle>`
    )
    expect(first.connectionState).toBe('closed')
    await service.offer('second')
    expect(meeting.snapshot().connection).toMatchObject({ phase: 'reconnecting', what: 'media' })
    FakePeer.last.go('connected')
    expect(phases).toEqual(['reconnecting media 1', 'joined'])
    expect(meeting.snapshot()).toMatchObject(CONNECTED)
    expect(service.attempts).toHaveLength(1)
    await meeting.leave()
  })

  it('is asked for at most every six seconds while the path stays broken', async () => {
    const { service, meeting, phases } = await inCall()
    const since = Date.now()
    FakePeer.last.go('failed')
    await pass(2_000)
    await service.offer('second')
    FakePeer.last.go('failed')
    FakePeer.last.go('failed')
    expect(phases).toEqual(['reconnecting media 1', 'reconnecting media 2'])
    expect(meeting.snapshot().connection).toMatchObject({ since })
    await pass(5_999)
    expect(service.asked('session-terminate')).toHaveLength(1)
    await pass(1)
    expect(service.asked('session-terminate').map(({ attrs }) => attrs['sid'])).toEqual([SID, 'second'])
    await service.offer('third')
    // What the old ones still have to say is of no interest.
    FakePeer.all[0]?.go('failed')
    FakePeer.last.go('connected')
    expect(phases.at(-1)).toBe('joined')
    await meeting.leave()
  })

  it('is asked for at once when somebody presses for it, but not too often for the focus', async () => {
    const { service, meeting } = await inCall()
    meeting.reconnectNow()
    expect(service.asked('session-terminate')).toEqual([])
    FakePeer.last.go('failed')
    meeting.reconnectNow()
    expect(service.asked('session-terminate')).toHaveLength(1)
    meeting.reconnectNow()
    await service.offer('second')
    FakePeer.last.go('failed')
    await pass(4_999)
    meeting.reconnectNow()
    expect(service.asked('session-terminate')).toHaveLength(1)
    await pass(1)
    meeting.reconnectNow()
    expect(service.asked('session-terminate')).toHaveLength(2)
    await service.offer('third')
    await pass(10_000)
    expect(service.asked('session-terminate')).toHaveLength(2)
    await meeting.leave()
  })

  it('silences nobody: the room still hears us, and newcomers are told', async () => {
    const { service, meeting, told } = await inCall()
    FakePeer.last.go('failed')
    const id = meeting.sendChat('do you hear me?')
    expect(service.heard.at(-1)?.attrs).toMatchObject({ id, to: ROOM, type: 'groupchat' })
    service.say(presence('c3d4e5f6', item('participant')))
    expect(told.map(([event]) => event)).toContain('occupantJoined')
    await meeting.leave()
  })

  it('in the midst of our own waiting ends that, too', async () => {
    const { service, meeting, phases } = await inCall()
    FakePeer.last.go('failed')
    service.askJingle('session-terminate')
    expect(phases).toEqual(['reconnecting media 1', 'joined'])
    await pass(30_000)
    expect(service.asked('session-terminate')).toEqual([])
    expect(meeting.snapshot().connection.phase).toBe('joined')
    await meeting.leave()
  })

  it('that is promised an offer and gets none makes us start all over', async () => {
    const { service, meeting, phases } = await inCall()
    FakePeer.last.go('failed')
    await pass(2_000)
    await pass(14_999)
    expect(service.attempts).toHaveLength(1)
    await pass(1 + 500)
    expect(phases).toEqual(['reconnecting media 1', 'reconnecting signalling 1', 'joined'])
    expect(service.attempts).toHaveLength(2)
    await meeting.leave()
  })

  it('that is refused makes us start all over at once', async () => {
    const { service, meeting, phases } = await inCall()
    service.jingle = { error: stanzaError('resource-constraint', 'wait') }
    FakePeer.last.go('failed')
    await pass(2_500)
    expect(phases).toEqual(['reconnecting media 1', 'reconnecting signalling 1', 'joined'])
    await meeting.leave()
  })
})

describe('a silent path', () => {
  const terminated = ({ service }: World) => service.asked('session-terminate').map(({ attrs }) => attrs['sid'])

  it('is given up after two seconds when the service answers', async () => {
    const world = await inCall()
    const { service, meeting, phases } = world
    FakePeer.last.go('disconnected')
    await pass(999)
    expect(phases).toEqual([])
    await pass(1)
    expect(phases).toEqual(['reconnecting media 1'])
    await pass(999)
    expect(terminated(world)).toEqual([])
    await pass(1)
    expect(terminated(world)).toEqual([SID])
    await service.offer('second')
    FakePeer.last.go('connected')
    expect(phases).toEqual(['reconnecting media 1', 'joined'])
    expect(meeting.snapshot()).toMatchObject(CONNECTED)
    await meeting.leave()
  })

  it.each([500, 1_500])('that says something after %i ms is kept', async (wait) => {
    const world = await inCall()
    FakePeer.last.go('disconnected')
    await pass(wait)
    FakePeer.last.go('connected')
    await pass(30_000)
    expect(terminated(world)).toEqual([])
    expect(world.meeting.snapshot()).toMatchObject(CONNECTED)
    await world.meeting.leave()
  })

  it('is waited for while the service is silent, too', async () => {
    const world = await inCall()
    world.service.ping = 'silence'
    FakePeer.last.go('disconnected')
    await pass(12_000)
    expect(world.phases).toEqual([])
    // The network is back, the path is not.
    world.service.ping = { error: stanzaError('service-unavailable') }
    await pass(6_000)
    expect(world.phases).toEqual(['reconnecting media 1'])
    await pass(1_000)
    expect(terminated(world)).toEqual([SID])
    await world.meeting.leave()
  })

  it('takes a silent socket along: another one tells that the network is back, and a new path is asked for', async () => {
    const managed = new Service()
    managed.managed = true
    const { service, meeting, phases } = await inCall(undefined, managed)
    service.ping = 'silence'
    service.reachable = false
    FakePeer.last.go('disconnected')
    await pass(5_999)
    expect(phases).toEqual([])
    await pass(1)
    expect(phases).toEqual(['reconnecting signalling 1'])
    FakePeer.last.go('failed')
    service.ping = 'result'
    service.reachable = true
    await pass(500)
    expect(phases).toEqual(['reconnecting signalling 1', 'joined', 'reconnecting media 1'])
    await pass(1)
    expect(terminated({ service } as World)).toEqual([SID])
    await service.offer('second')
    FakePeer.last.go('connected')
    expect(meeting.snapshot()).toMatchObject(CONNECTED)
    expect(service.joins).toBe(1)
    await meeting.leave()
  })

  it('that comes back to a socket on which nobody answers gives that up', async () => {
    const managed = new Service()
    managed.managed = true
    const { service, meeting, phases } = await inCall(undefined, managed)
    FakePeer.last.go('disconnected')
    await pass(500)
    service.ping = 'silence'
    FakePeer.last.go('connected')
    await pass(1_999)
    expect(phases).toEqual([])
    await pass(1)
    expect(phases).toEqual(['reconnecting signalling 1'])
    service.ping = 'result'
    await pass(500)
    expect(phases.at(-1)).toBe('joined')
    expect(terminated({ service } as World)).toEqual([])
    expect(meeting.snapshot()).toMatchObject(CONNECTED)
    await meeting.leave()
  })

  it('that falls silent again and again is waited for longer and longer', async () => {
    const world = await inCall()
    const waits: number[] = []
    for (const next of ['second', 'third', 'fourth']) {
      const since = Date.now()
      const before = terminated(world).length
      FakePeer.last.go('disconnected')
      while (terminated(world).length === before) await pass(500)
      waits.push(Date.now() - since)
      await world.service.offer(next)
      FakePeer.last.go('connected')
    }
    expect(waits).toEqual([2_000, 5_000, 17_000])
    FakePeer.last.go('disconnected')
    await pass(30_000)
    expect(terminated(world)).toHaveLength(3)
    // As ever when the browser gives it up; and a minute later all is forgotten.
    FakePeer.last.go('failed')
    await pass(2_000)
    expect(terminated(world)).toHaveLength(4)
    await world.service.offer('fifth')
    FakePeer.last.go('connected')
    await pass(60_000)
    FakePeer.last.go('disconnected')
    await pass(2_000)
    expect(terminated(world)).toHaveLength(5)
    await world.meeting.leave()
  })

  it('of a session that is broken for another reason does not mend it', async () => {
    const world = await inCall()
    FakePeer.last.go('disconnected')
    await pass(1_000)
    FakePeer.refuses = true
    world.service.channel.say(map('Video', [`${BO}-v0`, 7001, 7002]))
    await pass(100)
    FakePeer.last.go('connected')
    await pass(900)
    expect(terminated(world)).toEqual([SID])
    await world.meeting.leave()
  })
})

describe('an answer', () => {
  it('that was replaced already is left alone', async () => {
    const world = await joined()
    world.service.jingle = { error: stanzaError('gone') }
    await world.service.offer()
    expect(world.phases).toEqual([])
    world.service.jingle = 'result'
    await world.service.offer('second')
    FakePeer.last.go('connected')
    expect(world.meeting.snapshot()).toMatchObject(CONNECTED)
    await world.meeting.leave()
  })

  it('whose sources are forbidden is given again without any: we only listen', async () => {
    const world = await joined()
    const { service, devices, meeting, told, phases } = world
    await devices.setMicrophone(true)
    await devices.setCamera(true)
    await settle()
    service.jingle = { error: stanzaError('forbidden', 'auth') }
    await service.offer()
    expect(told.filter(([event]) => event === 'sourceRefused')).toEqual([
      ['sourceRefused', { kind: 'microphone' }],
      ['sourceRefused', { kind: 'camera' }]
    ])
    expect(devices.snapshot()).toMatchObject({ microphone: { state: 'muted' }, camera: { state: 'off' } })
    service.jingle = 'result'
    await pass(2_000)
    await service.offer('second')
    const accept = service.asked('session-accept').at(-1)
    expect(accept?.toString()).not.toContain('<source')
    FakePeer.last.go('connected')
    expect(phases).toEqual(['reconnecting media 1', 'joined'])
    // Switching on again is refused without asking.
    told.length = 0
    await devices.setMicrophone(true)
    await settle()
    expect(told).toEqual([['sourceRefused', { kind: 'microphone' }]])
    expect(devices.snapshot().microphone.state).toBe('muted')
    await meeting.leave()
  })

  it('a browser cannot give leads to another session', async () => {
    const world = await joined()
    FakePeer.refuses = true
    await world.service.offer()
    expect(world.phases).toEqual(['reconnecting media 1'])
    expect(world.service.asked('session-accept')).toEqual([])
    await pass(2_000)
    await world.service.offer('second')
    FakePeer.last.go('connected')
    expect(world.phases).toEqual(['reconnecting media 1', 'joined'])
    await world.meeting.leave()
  })

  it('a slot that cannot be added leads to another session', async () => {
    const { service, meeting, phases } = await inCall()
    FakePeer.refuses = true
    service.channel.say(map('Video', [`${BO}-v0`, 7001, 7002]))
    await pass(30)
    expect(phases).toEqual(['reconnecting media 1'])
    await meeting.leave()
  })
})

describe('our own sources', () => {
  it('follow the devices without a word to the focus', async () => {
    const { service, meeting, devices } = await inCall()
    expect(FakePeer.last.sending('0').track).toBeNull()
    await devices.setMicrophone(true)
    await devices.setCamera(true)
    await settle()
    expect(FakePeer.last.sending('0').track).toBe(devices.snapshot().microphone.track)
    expect(FakePeer.last.sending('1').track).toBe(devices.snapshot().camera.track)
    await devices.setCamera(false)
    await settle()
    expect(FakePeer.last.sending('1').track).toBeNull()
    expect(service.heard.filter((stanza) => stanza.getChild('jingle'))).toHaveLength(1)
    const types = service.channel.sent.map((text) => JSON.parse(text) as Record<string, unknown>).filter(({ videoType }) => videoType)
    expect(types.map(({ sourceName, videoType }) => `${String(sourceName)} ${String(videoType)}`)).toEqual([
      `${ID}-v0 none`,
      `${ID}-v0 camera`,
      `${ID}-v0 none`
    ])
    await meeting.leave()
  })

  it('a first share opens an m-line and is signalled, a second one uses it', async () => {
    const { service, meeting, devices } = await inCall()
    await devices.startShare()
    await settle()
    expect(FakePeer.last.directions['2']).toBe('video recvonly')
    const [add, ...more] = service.asked('source-add')
    expect(more).toEqual([])
    expect(add?.toString()).toBe(
      `<jingle xmlns="urn:xmpp:jingle:1" action="source-add" sid="${SID}" initiator="my%20room@muc.meet.example/focus">` +
        `<content name="video"><description xmlns="urn:xmpp:jingle:apps:rtp:1" media="video">` +
        [5021, 5022]
          .map(
            (ssrc) =>
              `<source xmlns="urn:xmpp:jingle:apps:rtp:ssma:0" ssrc="${ssrc}" name="${ID}-v1" videoType="desktop"><parameter name="msid" value="${ID}-v1-stream ${ID}-v1-track"/></source>`
          )
          .join('') +
        `<ssrc-group xmlns="urn:xmpp:jingle:apps:rtp:ssma:0" semantics="FID"><source ssrc="5021"/><source ssrc="5022"/></ssrc-group>` +
        `</description></content></jingle>`
    )
    await devices.stopShare()
    await settle()
    expect(FakePeer.last.sending('2').track).toBeNull()
    await devices.startShare()
    await settle()
    expect(FakePeer.last.sending('2').track).toBe(devices.snapshot().screen.track)
    expect(service.asked('source-add')).toHaveLength(1)
    await meeting.leave()
  })

  it('a share that runs already is part of the next session', async () => {
    const { service, meeting, devices } = await inCall()
    await devices.startShare()
    await settle()
    service.askJingle('session-terminate')
    await service.offer('second')
    expect(service.asked('source-add').map(({ attrs }) => attrs['sid'])).toEqual([SID, 'second'])
    expect(FakePeer.last.sending('2').track).toBe(devices.snapshot().screen.track)
    await meeting.leave()
  })

  it('a share that is refused ends, and everything else goes on', async () => {
    const { service, meeting, devices, told, phases } = await inCall()
    service.jingle = { error: stanzaError('resource-constraint', 'wait') }
    await devices.startShare()
    await settle()
    expect(told.filter(([event]) => event === 'sourceRefused')).toEqual([['sourceRefused', { kind: 'screen' }]])
    expect(devices.snapshot().screen.state).toBe('off')
    expect(FakePeer.last.sending('2').track).toBeNull()
    expect(phases).toEqual([])
    // The next one may be taken.
    service.jingle = 'result'
    await devices.startShare()
    await settle()
    expect(service.asked('source-add')).toHaveLength(2)
    expect(FakePeer.last.sending('2').track).toBe(devices.snapshot().screen.track)
    await meeting.leave()
  })

  it.each(['gone', 'item-not-found'])('a share the session is too old for brings a new session: %s', async (condition) => {
    const { service, meeting, devices, told, phases } = await inCall()
    service.jingle = { error: stanzaError(condition) }
    await devices.startShare()
    await settle()
    expect(phases).toEqual(['reconnecting media 1'])
    expect(told.filter(([event]) => event === 'sourceRefused')).toEqual([])
    expect(devices.snapshot().screen.state).toBe('on')
    await meeting.leave()
  })

  it('are no larger than somebody wants, and nothing when nobody does', async () => {
    const { service, meeting } = await inCall(({ devices }) => devices.setCamera(true))
    const want = async (maxHeight: number) => {
      service.channel.say(JSON.stringify({ colibriClass: 'SenderSourceConstraints', sourceName: `${ID}-v0`, maxHeight }))
      await settle()
      return FakePeer.last.sending('1').encodings
    }
    const sent = (...active: boolean[]) => [
      { active: active[0], scaleResolutionDownBy: 4, maxBitrate: 200_000 },
      { active: active[1], scaleResolutionDownBy: 2, maxBitrate: 500_000 },
      { active: active[2], scaleResolutionDownBy: 1, maxBitrate: 1_500_000 }
    ]
    expect(FakePeer.last.sending('1').encodings).toEqual(sent(true, true, true))
    expect(await want(90)).toEqual(sent(true, false, false))
    expect(await want(180)).toEqual(sent(true, false, false))
    expect(await want(360)).toEqual(sent(true, true, false))
    expect(await want(0)).toEqual(sent(false, false, false))
    expect(await want(2160)).toEqual(sent(true, true, true))
    expect(await want(-1)).toEqual(sent(true, true, true))
    const accept = service.asked('session-accept')[0]?.toString() ?? ''
    expect(accept.match(/semantics="SIM"/gu)).toHaveLength(1)
    expect(accept.match(/semantics="FID"/gu)).toHaveLength(3)
    await meeting.leave()
  })

  it('are one encoding where a browser makes no other, as large as somebody wants', async () => {
    vi.stubGlobal('mozInnerScreenX', 0)
    const { service, meeting } = await inCall(({ devices }) => devices.setCamera(true))
    const want = async (maxHeight: number) => {
      service.channel.say(JSON.stringify({ colibriClass: 'SenderSourceConstraints', sourceName: `${ID}-v0`, maxHeight }))
      await settle()
      return FakePeer.last.sending('1').encodings
    }
    expect(await want(180)).toEqual([{ active: true, scaleResolutionDownBy: 4 }])
    expect(await want(0)).toEqual([{ active: false, scaleResolutionDownBy: 1 }])
    expect(await want(2160)).toEqual([{ active: true, scaleResolutionDownBy: 1 }])
    expect(await want(-1)).toEqual([{ active: true, scaleResolutionDownBy: 1 }])
    expect(service.asked('session-accept')[0]?.toString()).not.toContain('SIM')
    await meeting.leave()
  })
})

describe('without a bridge channel', () => {
  it('a conference still is one', async () => {
    const world = await joined()
    const jingle = fixture('jingle/offer-minimum.xml').replaceAll(/<web-socket[^>]*\/>/gu, '')
    world.service.ask(/<jingle[\s\S]*<\/jingle>/u.exec(jingle)?.[0] ?? '')
    await settle()
    FakePeer.last.go('connected')
    expect(world.meeting.snapshot()).toMatchObject(CONNECTED)
    expect(FakeSocket.all).toHaveLength(1)
    await world.meeting.leave()
  })
})

describe('figures', () => {
  it('come once a second, and go with the session', async () => {
    const { service, meeting } = await inCall()
    const peer = FakePeer.last
    service.channel.say(map('Video', [`${BO}-v0`, 7001, 7002]))
    service.channel.say(JSON.stringify({ colibriClass: 'ConnectionStats', estimatedDownlinkBandwidth: 2_000_000 }))
    const report = (bytes: number, lost: number) =>
      new Map<string, Record<string, unknown>>([
        ['o', { type: 'outbound-rtp', bytesSent: bytes }],
        ['i', { type: 'inbound-rtp', kind: 'video', ssrc: 7001, bytesReceived: 2 * bytes, packetsReceived: 90, packetsLost: lost, framesPerSecond: 30 }],
        ['p', { type: 'candidate-pair', nominated: true, currentRoundTripTime: 0.02 }]
      ])
    peer.report = report(1_000, 0)
    await pass(1_000)
    expect(meeting.snapshot().stats).toBeNull()
    peer.report = report(2_000, 10)
    await pass(1_000)
    expect(meeting.snapshot().stats).toMatchObject({
      sentBps: 8_000,
      receivedBps: 16_000,
      receivedLoss: 1,
      redundantAudio: false,
      roundTripMs: 20,
      downlinkEstimateBps: 2_000_000,
      framesPerSecond: new Map([[`${BO}-v0`, 30]])
    })
    service.askJingle('session-terminate')
    expect(meeting.snapshot().stats).toBeNull()
    await meeting.leave()
  })
})
