import { createHash } from 'node:crypto'
import { readFileSync, readdirSync } from 'node:fs'
import { type Element, parse } from 'ltx'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { nicknameOf, normaliseRoomName, roomLocalpart } from '../src/room/name.ts'
import { JoinError, requestConference } from '../src/room/join.ts'
import { type OwnPresence, type Present, Room, type RoomExit } from '../src/room/room.ts'
import { XmppStream } from '../src/stream/stream.ts'
import type { ChatMessage } from '../src/types.ts'
import { FakeSocket, installSockets, logIn, pass, settle } from './socket.ts'

const ROOM = 'my%20room@muc.meet.example'
const ME = `${ROOM}/4a1f09c2`
const OWN: OwnPresence = {
  codecs: ['vp8', 'vp9'],
  name: 'Ada',
  sources: new Map([
    ['4a1f09c2-a0', { muted: false, screen: false }],
    ['4a1f09c2-v0', { muted: true, screen: false }],
    ['4a1f09c2-v1', { muted: false, screen: true }]
  ]),
  handRaisedAt: null
}

function fixture(name: string): string {
  return readFileSync(new URL(`../../../fixtures/xmpp/${name}`, import.meta.url), 'utf8').trim()
}

/** Everything the room told, in order. */
type Told =
  | ['present', Present]
  | ['left', string, string | null]
  | ['self', string]
  | ['message', ChatMessage]
  | ['refused', string]
  | ['subject', string | null]
  | ['startedAt', number]
  | ['changed']
  | ['announced', Readonly<Record<string, unknown>>]
  | ['invited', string | null]
  | ['out', RoomExit]
  | ['focus', Element]

let told: Told[] = []
let stream: XmppStream
let socket: FakeSocket
let room: Room

beforeEach(async () => {
  vi.useFakeTimers({ now: 1_767_300_000_000 })
  installSockets()
  const opening = XmppStream.open({ url: 'wss://meet.example/xmpp-websocket', domain: 'meet.example', room: 'my room' })
  socket = FakeSocket.last
  socket.accept()
  await logIn(socket)
  stream = await opening
  told = []
  room = new Room(stream, ROOM, nicknameOf(stream.jid), OWN, {
    present: (occupant) => told.push(['present', occupant]),
    left: (id, by) => told.push(['left', id, by]),
    self: (role) => told.push(['self', role]),
    message: (message) => told.push(['message', message]),
    messageRefused: (id) => told.push(['refused', id]),
    subject: (subject) => told.push(['subject', subject]),
    startedAt: (at) => told.push(['startedAt', at]),
    changed: () => told.push(['changed']),
    announced: (message) => told.push(['announced', message]),
    invited: (password) => told.push(['invited', password]),
    out: (how) => told.push(['out', how]),
    focusRequest: (request) => told.push(['focus', request])
  })
})

afterEach(() => {
  stream.close()
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

const user = (inner: string) => `<x xmlns="http://jabber.org/protocol/muc#user">${inner}</x>`
const presence = (from: string, inner: string, type = '') =>
  `<presence xmlns="jabber:client" from="${from}"${type && ` type="${type}"`}>${inner}</presence>`
const item = (role: string) => user(`<item affiliation="none" role="${role}" jid="a@b/c"/>`)

async function joined(): Promise<void> {
  const joining = room.join(undefined)
  socket.say(fixture('presence-self.xml'))
  await joining
  told.length = 0
}

describe('names', () => {
  it.each([
    ['My Room', 'my room', 'my%20room'],
    ['Прив?ет', 'привет', '%d0%bf%d1%80%d0%b8%d0%b2%d0%b5%d1%82'],
    ['ＡＢＣ', 'abc', 'abc'],
    ['<a@b/c>', 'abc', 'abc']
  ])('%s is %s, addressed as %s', (typed, name, localpart) => {
    expect(normaliseRoomName(typed)).toBe(name)
    expect(roomLocalpart(name)).toBe(localpart)
  })

  it('need something that can be written', () => {
    expect(normaliseRoomName(' ?/# ')).toBeNull()
  })

  it('in the room are the start of the address, or random', () => {
    expect(nicknameOf('4A1F09C2-77d0@meet.example/x')).toBe('4a1f09c2')
    expect(nicknameOf('ada@meet.example/x')).toMatch(/^[0-9a-f]{8}$/u)
  })
})

describe('the conference request', () => {
  it('is answered when the focus is there', async () => {
    const asked = requestConference(stream, 'focus.meet.example', ROOM, '5f0c11')
    expect(socket.heard.toString()).toBe(
      `<iq xmlns="jabber:client" type="set" id="a1" to="focus.meet.example"><conference xmlns="http://jitsi.org/protocol/focus" room="${ROOM}" machine-uid="5f0c11"/></iq>`
    )
    socket.say(fixture('conference-result.xml').replace('id="c1"', 'id="a1"'))
    await asked
  })

  it.each([
    ['not-authorized', '', 'not-authorized', false],
    ['not-acceptable', '<reservation-error xmlns="http://jitsi.org/protocol/focus"/>', 'request-refused', false]
  ])('refused with %s', async (condition, more, code, transient) => {
    const asked = requestConference(stream, 'focus.meet.example', ROOM, 'm')
    socket.say(
      `<iq xmlns="jabber:client" type="error" id="a1" from="focus.meet.example"><error type="cancel"><${condition} xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>${more}</error></iq>`
    )
    await expect(asked).rejects.toMatchObject({ code, transient })
  })

  it('that is not ready yet may be asked again', async () => {
    const asked = requestConference(stream, 'focus.meet.example', ROOM, 'm')
    socket.say(fixture('conference-result.xml').replace('id="c1"', 'id="a1"').replace('ready="true"', 'ready="false"'))
    await expect(asked).rejects.toMatchObject({ code: 'request-refused', transient: true })
  })
})

describe('joining', () => {
  it('says everything about us and succeeds with our own presence', async () => {
    const joining = room.join('s3cret')
    const said = socket.heard
    expect(said.attrs['to']).toBe(ME)
    expect(said.getChild('x', 'http://jabber.org/protocol/muc')?.getChildText('password')).toBe('s3cret')
    expect(JSON.parse(said.getChildText('SourceInfo') ?? '')).toEqual({
      '4a1f09c2-a0': { muted: false },
      '4a1f09c2-v0': { muted: true, videoType: 'camera' },
      '4a1f09c2-v1': { muted: false, videoType: 'desktop' }
    })
    expect(said.getChildText('jitsi_participant_codecList')).toBe('vp8,vp9')
    expect(said.getChildText('nick')).toBe('Ada')
    expect(said.getChild('jitsi_participant_raisedHand')).toBeUndefined()

    socket.say(presence(`${ROOM}/focus`, item('moderator')))
    socket.say(presence(`${ROOM}/b2c3d4e5`, `${item('participant')}<nick xmlns="http://jabber.org/protocol/nick"> Bo </nick>`))
    socket.say(fixture('presence-self.xml'))
    await joining
    expect(told).toEqual([
      ['present', { id: 'b2c3d4e5', jid: 'a@b', name: 'Bo', role: 'participant', sources: new Map(), codecs: [], handRaisedAt: null }],
      ['self', 'participant']
    ])
  })

  it('repeats itself in later presences, without the join', async () => {
    await joined()
    room.update({ ...OWN, name: null, handRaisedAt: 1234 })
    expect(socket.heard.getChild('x')).toBeUndefined()
    expect(socket.heard.getChild('nick')).toBeUndefined()
    expect(socket.heard.getChildText('jitsi_participant_raisedHand')).toBe('1234')
  })

  it('says nothing new before it is inside', () => {
    const before = socket.sent.length
    room.update({ ...OWN, name: 'Eve' })
    expect(socket.sent).toHaveLength(before)
  })

  const lobby = '<lobbyroom xmlns="http://jitsi.org/jitmeet">room@lobby.meet.example</lobbyroom>'
  const refusals: [type: string, condition: string, more: string, code: string, transient?: boolean][] = [
    ['auth', 'not-authorized', '', 'password-required'],
    ['auth', 'registration-required', lobby, 'members-only'],
    ['modify', 'not-acceptable', '<displayname-required xmlns="http://jitsi.org/jitmeet" lobby="true"/>', 'name-required'],
    ['wait', 'service-unavailable', '', 'room-full'],
    ['cancel', 'not-allowed', '', 'not-allowed'],
    ['cancel', 'not-allowed', '<authentication-required xmlns="http://jitsi.org/jitmeet"/>', 'not-authorized'],
    ['cancel', 'not-allowed', '<room-does-not-exist xmlns="http://jitsi.org/jitmeet"/>', 'not-allowed', true],
    [
      'cancel',
      'not-allowed',
      '<text xmlns="urn:ietf:params:xml:ns:xmpp-stanzas">Room creation is restricted</text>',
      'not-allowed',
      true
    ],
    ['cancel', 'conflict', '', 'conflict'],
    ['auth', 'forbidden', '', 'forbidden'],
    ['wait', 'resource-constraint', '', 'not-allowed', true],
    ['cancel', 'item-not-found', '', 'not-allowed']
  ]
  it.each(refusals)('refused: %s %s %s', async (type, condition, more, code, transient = false) => {
    const refused = expect(room.join(undefined)).rejects.toMatchObject({ code, transient })
    const error = `<error type="${type}"><${condition} xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>${more}</error>`
    // Somebody else's trouble is not ours.
    socket.say(presence(`${ROOM}/other`, error.replace(condition, 'gone'), 'error'))
    socket.say(presence(ME, `${error}<x xmlns="http://jabber.org/protocol/muc"/>`, 'error'))
    await refused
  })

  it('fails when nobody answers, and stops waiting when we leave', async () => {
    const silent = expect(room.join(undefined)).rejects.toThrow('does not answer')
    await pass(15_000)
    await silent
    const left = expect(room.join(undefined)).rejects.not.toBeInstanceOf(JoinError)
    void room.leave()
    await left
  })
})

describe('people', () => {
  it('bring sources, of which only their own count', async () => {
    await joined()
    const info = {
      'b2c3d4e5-a0': { muted: false },
      'b2c3d4e5-v0': {},
      'b2c3d4e5-v1': { muted: false, videoType: 'desktop' },
      'c3d4e5f6-v0': { muted: false },
      'b2c3d4e5-x0': { muted: false },
      'b2c3d4e5-v99999': { muted: false },
      b2c3d4e5: { muted: false }
    }
    socket.say(
      presence(
        `${ROOM}/b2c3d4e5`,
        `${item('moderator')}<SourceInfo>${JSON.stringify(info).replaceAll('"', '&quot;')}</SourceInfo><jitsi_participant_raisedHand>1767300000000</jitsi_participant_raisedHand><jitsi_participant_codecList>AV1, vp8,</jitsi_participant_codecList>`
      )
    )
    expect(told).toEqual([
      [
        'present',
        {
          id: 'b2c3d4e5',
          jid: 'a@b',
          name: null,
          role: 'moderator',
          sources: new Map([
            ['b2c3d4e5-a0', { muted: false, screen: false }],
            ['b2c3d4e5-v0', { muted: true, screen: false }],
            ['b2c3d4e5-v1', { muted: false, screen: true }]
          ]),
          codecs: ['av1', 'vp8'],
          handRaisedAt: 1_767_300_000_000
        }
      ]
    ])
  })

  it.each(['{', 'null', '[]', '"text"', '42', '{"b2c3d4e5-v0":null}', '{"b2c3d4e5-v0":"x"}', '{"__proto__":{"muted":false}}'])(
    'with SourceInfo %s do no harm',
    async (text) => {
      await joined()
      socket.say(
        presence(`${ROOM}/b2c3d4e5`, `${item('participant')}<SourceInfo>${text.replaceAll('"', '&quot;')}</SourceInfo>`)
      )
      expect(told).toHaveLength(1)
      for (const state of (told[0] as ['present', Present])[1].sources.values()) expect(state.muted).toBe(true)
    }
  )

  it('may claim any number of sources, and get a few', async () => {
    await joined()
    const many = Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`b2c3d4e5-v${index}`, { muted: false }]))
    socket.say(
      presence(`${ROOM}/b2c3d4e5`, `${item('x')}<SourceInfo>${JSON.stringify(many).replaceAll('"', '&quot;')}</SourceInfo>`)
    )
    const [, present] = told[0] as ['present', Present]
    expect(present.sources.size).toBe(20)
    expect(present.role).toBe('none')
  })

  it('without SourceInfo say it the old way', async () => {
    await joined()
    socket.say(
      presence(
        `${ROOM}/b2c3d4e5`,
        `${item('participant')}<audiomuted>true</audiomuted><videomuted>false</videomuted><videoType>desktop</videoType><jitsi_participant_raisedHand>nonsense</jitsi_participant_raisedHand>`
      )
    )
    const [, present] = told[0] as ['present', Present]
    expect(present.handRaisedAt).toBeNull()
    expect([...present.sources]).toEqual([
      ['b2c3d4e5-a0', { muted: true, screen: false }],
      ['b2c3d4e5-v0', { muted: false, screen: true }]
    ])
  })

  it('leave, or are made to', async () => {
    await joined()
    socket.say(presence(`${ROOM}/b2c3d4e5`, `${item('none')}<status>see you</status>`, 'unavailable'))
    const kick = user('<item affiliation="none" role="none"><actor nick="ab12cd34"/></item><status code="307"/>')
    socket.say(presence(`${ROOM}/c3d4e5f6`, kick, 'unavailable'))
    socket.say(presence(`${ROOM}/d4e5f6a7`, '<ignore xmlns="http://jitsi.org/jitmeet/"/>', 'unavailable'))
    socket.say(presence('other@muc.meet.example/e5f6a7b8', item('none'), 'unavailable'))
    expect(told).toEqual([
      ['left', 'b2c3d4e5', null],
      ['left', 'c3d4e5f6', 'ab12cd34']
    ])
  })
})

describe('being put out', () => {
  it.each<[string, string, RoomExit]>([
    ['kicked', fixture('presence-kicked.xml'), { kind: 'kicked', by: 'ab12cd34', reason: 'noise' }],
    ['ended for all', fixture('presence-destroyed.xml'), { kind: 'destroyed' }],
    ['removed', presence(ME, user('<item role="none"/><status code="110"/><status code="332"/>'), 'unavailable'), { kind: 'removed' }],
    ['left by the focus', presence(`${ROOM}/focus`, item('none'), 'unavailable'), { kind: 'removed' }],
    [
      'without a bridge',
      presence(`${ROOM}/focus`, `${item('moderator')}<bridgeNotAvailable xmlns="http://jitsi.org/protocol/focus"/>`),
      { kind: 'no-bridge' }
    ]
  ])('%s', async (_, stanza, how) => {
    await joined()
    socket.say(stanza)
    expect(told).toEqual([['out', how]])
  })

  it('leaving waits for the room, which says nothing else any more', async () => {
    await joined()
    const done = vi.fn<() => void>()
    void room.leave().then(done)
    expect(socket.heard.toString()).toBe(`<presence xmlns="jabber:client" to="${ME}" type="unavailable"/>`)
    socket.say(presence(`${ROOM}/b2c3d4e5`, item('participant')))
    await settle()
    expect(done).not.toHaveBeenCalled()
    socket.say(presence(ME, user('<item role="none"/><status code="110"/>'), 'unavailable'))
    await settle()
    expect(done).toHaveBeenCalledOnce()
    expect(told).toEqual([])
  })
})

describe('what is said', () => {
  const message = (from: string, type: string, inner: string, id = 'm1') =>
    `<message xmlns="jabber:client" from="${from}" type="${type}"${id && ` id="${id}"`}>${inner}</message>`
  const body = '<body>1 &lt; 2 &amp; "quoted" 😀</body>'

  it('to all, by others and by us', async () => {
    await joined()
    socket.say(presence(`${ROOM}/b2c3d4e5`, `${item('participant')}<nick xmlns="http://jabber.org/protocol/nick">Bo</nick>`))
    const fake = '<display-name xmlns="http://jitsi.org/protocol/display-name" source="guest">Not Bo</display-name>'
    socket.say(message(`${ROOM}/b2c3d4e5`, 'groupchat', body + fake))
    socket.say(message(ME, 'groupchat', '<body>own</body>', 'm2'))
    expect(told.slice(1)).toEqual([
      [
        'message',
        {
          id: 'm1',
          from: 'b2c3d4e5',
          name: 'Bo',
          own: false,
          isPrivate: false,
          to: null,
          text: '1 < 2 & "quoted" 😀',
          at: 1_767_300_000_000,
          history: false
        }
      ],
      ['message', expect.objectContaining({ id: 'm2', from: '4a1f09c2', name: 'Ada', own: true })]
    ])
  })

  it('before we came keeps its time and the name of who is gone', async () => {
    await joined()
    const delay = (stamp: string) => `<delay xmlns="urn:xmpp:delay" from="${ROOM}" stamp="${stamp}"/>`
    const name = '<display-name xmlns="http://jitsi.org/protocol/display-name" source="guest">Cy</display-name>'
    socket.say(message(`${ROOM}/c3d4e5f6`, 'groupchat', `${body}${delay('2026-01-01T10:00:00Z')}${name}`))
    socket.say(message(`${ROOM}/c3d4e5f6`, 'groupchat', `${body}${delay('2026-01-01T10:00:00Z')}`, ''))
    socket.say(message(`${ROOM}/c3d4e5f6`, 'groupchat', `${body}${delay('yesterday')}`, 'm3'))
    const said = told.map(([, said1]) => said1 as ChatMessage)
    expect(said.map(({ id, name: who, at, history }) => [id, who, at, history])).toEqual([
      ['m1', 'Cy', Date.UTC(2026, 0, 1, 10), true],
      ['c3d4e5f6@2026-01-01T10:00:00Z', null, Date.UTC(2026, 0, 1, 10), true],
      ['m3', null, 1_767_300_000_000, true]
    ])
  })

  it('to one', async () => {
    await joined()
    const id = room.say('psst', 'b2c3d4e5')
    expect(socket.heard.toString()).toBe(
      `<message xmlns="jabber:client" id="${id}" to="${ROOM}/b2c3d4e5" type="chat"><body>psst</body></message>`
    )
    socket.say(message(`${ROOM}/b2c3d4e5`, 'chat', '<body>what?</body>'))
    expect(told).toEqual([['message', expect.objectContaining({ isPrivate: true, from: 'b2c3d4e5', to: null })]])
  })

  it('is refused by nobody but whom it was for', async () => {
    await joined()
    const id = room.say('hello', undefined)
    expect(socket.heard.attrs).toMatchObject({ id, to: ROOM, type: 'groupchat' })
    const error = '<error type="auth"><forbidden xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error>'
    socket.say(message(`${ROOM}/evil`, 'error', error, id))
    socket.say(message(ROOM, 'error', error, 'something-else'))
    expect(told).toEqual([])
    socket.say(message(ROOM, 'error', error, id))
    expect(told).toEqual([['refused', id]])
  })

  it('as a subject, and by the room itself', async () => {
    await joined()
    socket.say(message(ROOM, 'groupchat', '<subject/>'))
    socket.say(message(`${ROOM}/b2c3d4e5`, 'groupchat', '<subject>Plans</subject>'))
    socket.say(message(ROOM, 'groupchat', body))
    socket.say(message('other@muc.meet.example/x', 'groupchat', body))
    socket.say(message(`${ROOM}/b2c3d4e5`, 'groupchat', '<json-message xmlns="http://jitsi.org/jitmeet">{}</json-message>'))
    expect(told).toEqual([
      ['subject', null],
      ['subject', 'Plans']
    ])
    room.setSubject('Ours')
    expect(socket.heard.getChildText('subject')).toBe('Ours')
  })
})

describe('requests', () => {
  it('for what we are get an answer whose hash is the one in our presence', async () => {
    await joined()
    room.update(OWN)
    const caps = socket.heard.getChild('c', 'http://jabber.org/protocol/caps')
    const node = `${caps?.attrs['node']}#${caps?.attrs['ver']}`
    socket.say(
      `<iq xmlns="jabber:client" type="get" id="d1" from="${ROOM}/focus"><query xmlns="http://jabber.org/protocol/disco#info" node="${node}"/></iq>`
    )
    expect(socket.heard.attrs).toMatchObject({ type: 'result', id: 'd1', to: `${ROOM}/focus` })
    const query = socket.heard.getChild('query')
    expect(query?.attrs['node']).toBe(node)
    const identity = query?.getChild('identity')?.attrs ?? {}
    const features = query?.getChildren('feature').map((feature) => feature.attrs['var'] ?? '') ?? []
    expect(features).toContain('http://jitsi.org/ssrc-rewriting-1')
    // Protocol 2 §10.3: no data channel is wanted.
    expect(features).not.toContain('urn:xmpp:jingle:transports:dtls-sctp:1')
    const text = `${identity['category']}/${identity['type']}//${identity['name']}<${features.toSorted().join('<')}<`
    expect(caps?.attrs['ver']).toBe(createHash('sha1').update(text).digest('base64'))
  })

  it('of the focus are handed on, those of anybody else refused', async () => {
    await joined()
    const set = (from: string, id: string) =>
      `<iq xmlns="jabber:client" type="set" id="${id}" from="${from}"><jingle xmlns="urn:xmpp:jingle:1" action="session-initiate"/></iq>`
    socket.say(set(`${ROOM}/focus`, 'j1'))
    expect(told).toEqual([['focus', expect.anything()]])
    socket.say(set(`${ROOM}/evil`, 'j2'))
    expect(socket.heard.attrs).toMatchObject({ type: 'error', id: 'j2', to: `${ROOM}/evil` })
    expect(socket.heard.getChild('error')?.getChild('service-unavailable')).toBeDefined()
    expect(told).toHaveLength(1)
  })

  it('start of the conference comes with the focus', async () => {
    await joined()
    const properties = (value: string) =>
      `<conference-properties xmlns="http://jitsi.org/protocol/focus"><property key="bridge-count" value="1"/><property key="created-ms" value="${value}"/></conference-properties>`
    socket.say(presence(`${ROOM}/focus`, item('moderator') + properties('1767225600000')))
    socket.say(presence(`${ROOM}/focus`, item('moderator') + properties('soon')))
    expect(told).toEqual([['startedAt', 1_767_225_600_000]])
  })
})

describe('captures', () => {
  const files = readdirSync(new URL('../../../fixtures/xmpp/', import.meta.url)).filter((name) => name.endsWith('.xml'))
  it.each(files)('%s is read whole', (name) => {
    const text = fixture(name)
    const stanza = parse(text)
    expect(parse(stanza.toString()).toString()).toBe(stanza.toString())
    expect(stanza.getNS()).toBe('jabber:client')
  })

  it('are taken as they come, the ends as ends', async () => {
    await joined()
    for (const name of files) socket.say(fixture(name))
    // In the order of the alphabet: destroyed comes first, and after that nothing is ours.
    expect(told.filter(([kind]) => kind === 'out')).toEqual([['out', { kind: 'destroyed' }]])
  })
})
