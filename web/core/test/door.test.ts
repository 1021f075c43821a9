// What a room asks before it lets somebody in: a password, a moderator's hand, a host.

import type { Element } from 'ltx'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { ID, ROOM, type World, begin, installWorld, presence, removeWorld, self, stanzaError, user } from './service.ts'
import { pass, settle } from './socket.ts'

beforeEach(installWorld)
afterEach(removeWorld)

const LOBBY = 'my%20room@lobby.meet.example'
const wantsPassword = presence(ID, stanzaError('not-authorized', 'auth'), 'error')
const lobbyroom = `<lobbyroom xmlns="http://jitsi.org/jitmeet">${LOBBY}</lobbyroom>`
const wantsKnock = (more = '') => presence(ID, stanzaError('registration-required', 'auth', lobbyroom + more), 'error')
const waitsForHost = wantsKnock('<waiting-for-host xmlns="http://jitsi.org/jitmeet"/>')
const inLobby = (inner: string, type = '') =>
  `<presence xmlns="jabber:client" from="${LOBBY}/${ID}"${type && ` type="${type}"`}>${inner}</presence>`
const invite = (more = '') =>
  `<message xmlns="jabber:client" from="${ROOM}">${user(`<invite from="u1@meet.example/r1"/>${more}`)}</message>`

const state = ({ meeting }: World) => meeting.snapshot().connection
const passwords = ({ service }: World) =>
  service.presences
    .filter((one) => one.getChild('x'))
    .map((one) => one.getChild('x')?.getChildText('password') ?? null)
/** What went to the lobby: `in` or `out`, in order. */
const lobby = ({ service }: World) =>
  service.heard
    .filter((stanza: Element) => stanza.attrs['to'] === `${LOBBY}/${ID}`)
    .map((stanza) => (stanza.attrs['type'] === 'unavailable' ? 'out' : 'in'))

async function at(...entries: (() => readonly string[])[]): Promise<World> {
  const world = begin()
  world.service.entry = () => (entries.length > 1 ? entries.shift() : entries[0])?.() ?? []
  await settle()
  return world
}

describe('a password', () => {
  it('is asked for, refused when wrong, and opens', async () => {
    const world = await at(() => [wantsPassword])
    expect(state(world)).toEqual({ phase: 'asking', for: 'password', wrong: false, tried: 0 })
    world.meeting.givePassword('wrong')
    await settle()
    expect(state(world)).toEqual({ phase: 'asking', for: 'password', wrong: true, tried: 1 })
    world.service.entry = () => [self()]
    world.meeting.givePassword('s3cret')
    await settle()
    expect(state(world)).toEqual({ phase: 'joined' })
    expect(passwords(world)).toEqual([null, 'wrong', 's3cret'])
    // A password is not asked for twice.
    world.service.socket.drop()
    await pass(500)
    expect(passwords(world)).toEqual([null, 'wrong', 's3cret', 's3cret'])
    // One too many does nothing.
    world.meeting.givePassword('again')
    await world.meeting.leave()
    expect(vi.getTimerCount()).toBe(0)
  })

  it('need not be known to go away, or to wait out a lost connection', async () => {
    const world = await at(() => [wantsPassword])
    world.service.reachable = false
    world.service.socket.drop()
    await pass(60_000)
    expect(state(world)).toMatchObject({ phase: 'asking', for: 'password' })
    world.service.reachable = true
    await pass(8_000)
    expect(world.service.joins).toBe(2)
    await world.meeting.leave()
    expect(world.phases.at(-1)).toBe('left')
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('a lobby', () => {
  it('is waited in until somebody opens', async () => {
    const world = await at(
      () => [wantsKnock()],
      () => [self()]
    )
    expect(state(world)).toEqual({ phase: 'asking', for: 'lobby', since: 1_767_300_000_000, wrong: false, tried: 0 })
    const knock = world.service.heard.find((stanza) => stanza.attrs['to'] === `${LOBBY}/${ID}`)
    expect(knock?.toString()).toBe(
      `<presence xmlns="jabber:client" to="${LOBBY}/${ID}"><x xmlns="http://jabber.org/protocol/muc"/><nick xmlns="http://jabber.org/protocol/nick">Ada</nick></presence>`
    )
    world.service.say(inLobby(user('<item role="participant"/><status code="110"/>')))
    await pass(3_600_000)
    expect(state(world).phase).toBe('asking')
    world.service.say(invite())
    await settle()
    expect(state(world)).toEqual({ phase: 'joined' })
    expect(lobby(world)).toEqual(['in', 'out'])
    expect(passwords(world)).toEqual([null, null])
    await world.meeting.leave()
    expect(vi.getTimerCount()).toBe(0)
  })

  it('hands over the password of the room where it has one', async () => {
    const world = await at(
      () => [wantsKnock()],
      () => [self()]
    )
    world.service.say(invite('<password>s3cret</password>'))
    await settle()
    expect(passwords(world)).toEqual([null, 's3cret'])
    await world.meeting.leave()
  })

  it.each([
    ['refused', user('<item role="none"/><status code="307"/><status code="110"/>'), 'denied'],
    ['over with the meeting', user('<item role="none"/><destroy><reason>over</reason></destroy>'), 'destroyed']
  ])('may end: %s', async (_, inner, code) => {
    const world = await at(() => [wantsKnock()])
    world.service.say(inLobby(inner, 'unavailable'))
    await settle()
    expect(state(world)).toEqual({ phase: 'failed', code })
    expect(lobby(world)).toEqual(['in'])
    expect(vi.getTimerCount()).toBe(0)
  })

  it.each([
    ['it was taken away', inLobby(user(`<item role="none"/><destroy jid="${ROOM}"/>`), 'unavailable')],
    ['it is gone', inLobby(stanzaError('not-allowed'), 'error')]
  ])('that does not hold us any more lets us try the room: %s', async (_, stanza) => {
    const world = await at(
      () => [wantsKnock()],
      () => [self()]
    )
    world.service.say(stanza)
    await pass(1_000)
    expect(state(world)).toEqual({ phase: 'joined' })
    await world.meeting.leave()
  })

  it('opens to a password, too; a wrong one changes nothing', async () => {
    const world = await at(
      () => [wantsKnock()],
      () => [wantsPassword],
      () => [wantsKnock()],
      () => [self()]
    )
    for (const [password, tried] of [
      ['wrong', 1],
      ['worse', 2]
    ] as const) {
      world.meeting.givePassword(password)
      await settle()
      expect(state(world)).toMatchObject({ for: 'lobby', wrong: true, tried, since: 1_767_300_000_000 })
    }
    expect(lobby(world)).toEqual(['in'])
    world.meeting.givePassword('right')
    await settle()
    expect(state(world)).toEqual({ phase: 'joined' })
    expect(lobby(world)).toEqual(['in', 'out'])
    await world.meeting.leave()
  })

  it('may be left', async () => {
    const world = await at(() => [wantsKnock()])
    await world.meeting.leave()
    expect(state(world)).toEqual({ phase: 'left' })
    expect(world.service.heard.slice(-2).map(({ name, attrs }) => [name, attrs['type']])).toEqual([
      ['presence', 'unavailable'],
      ['close', undefined]
    ])
    expect(vi.getTimerCount()).toBe(0)
  })

  it('is no place to invite from: only the room itself opens', async () => {
    const world = await at(() => [wantsKnock()])
    world.service.say(invite().replace(`from="${ROOM}"`, `from="${ROOM}/evil"`), invite().replace(ROOM, LOBBY))
    await settle()
    expect(state(world).phase).toBe('asking')
    await world.meeting.leave()
  })
})

describe('a host', () => {
  it('is waited for by asking every five seconds', async () => {
    const world = begin()
    world.service.conference = { error: stanzaError('not-authorized', 'auth') }
    await settle()
    const asked = () => world.service.heard.filter((stanza) => stanza.getChild('conference')).length
    expect(state(world)).toMatchObject({ phase: 'asking', for: 'host', since: 1_767_300_000_000 })
    await pass(12_000)
    expect([asked(), world.service.joins]).toEqual([3, 0])
    world.service.conference = 'result'
    await pass(3_000)
    expect(state(world)).toEqual({ phase: 'joined' })
    await world.meeting.leave()
    expect(vi.getTimerCount()).toBe(0)
  })

  it('or in a lobby that ends when one comes', async () => {
    const world = await at(
      () => [waitsForHost],
      () => [self()]
    )
    expect(state(world)).toMatchObject({ phase: 'asking', for: 'host' })
    world.service.say(inLobby(user(`<item role="none"/><destroy jid="${ROOM}"><reason>Host arrived.</reason></destroy>`), 'unavailable'))
    await pass(1_000)
    expect(state(world)).toEqual({ phase: 'joined' })
    await world.meeting.leave()
  })
})

describe('a token', () => {
  it('goes into the address of the socket, and nowhere else', async () => {
    const world = begin({ token: 'ey.J.x' })
    await settle()
    expect(world.service.socket.url).toBe('wss://meet.example/xmpp-websocket?room=my+room&token=ey.J.x')
    expect(world.service.heard.join('')).not.toContain('ey.J.x')
    expect(JSON.stringify(world.meeting.snapshot())).not.toContain('ey.J.x')
    await world.meeting.leave()
  })
})
