// Stream management: the counting alone, then a conference whose socket goes and comes back.

import { parse } from 'ltx'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { el } from '../src/stanza/build.ts'
import { Management } from '../src/stream/sm.ts'
import { FakePeer } from './peer.ts'
import { ROOM, Service, installWorld, item, joined, presence, removeWorld, self, sources } from './service.ts'
import { pass, settle } from './socket.ts'

const message = (id: string) => el('message', 'jabber:client', { id }, el('body', null, {}, id))
const enabled = '<enabled xmlns="urn:xmpp:sm:3" id="r-77ab" resume="true" max="60"/>'

describe('counting', () => {
  let sm: Management
  beforeEach(() => {
    sm = new Management()
    sm.take(parse(enabled))
  })
  const ids = () => sm.unacknowledged.map(({ attrs }) => attrs['id'])
  const acknowledge = (h: string) => sm.take(el('a', 'urn:xmpp:sm:3', { h }))

  it('keeps what is not acknowledged, and asks every five stanzas', () => {
    const asked = Array.from({ length: 11 }, (_, n) => sm.sent(message(`m${n}`)))
    expect(asked.flatMap((ask, n) => (ask ? [n] : []))).toEqual([4, 9])
    acknowledge('9')
    expect(ids()).toEqual(['m9', 'm10'])
  })

  it('believes no nonsense', () => {
    sm.sent(message('m0'))
    for (const h of ['2', '-1', 'x', '4294967295', '']) acknowledge(h)
    expect(ids()).toEqual(['m0'])
    acknowledge('1')
    acknowledge('0')
    expect(ids()).toEqual([])
  })

  it('says what has come since it was enabled', () => {
    const fresh = new Management()
    fresh.heard()
    fresh.take(parse(enabled))
    fresh.heard()
    fresh.heard()
    expect(fresh.take(el('r', 'urn:xmpp:sm:3'))?.toString()).toBe('<a xmlns="urn:xmpp:sm:3" h="2"/>')
    expect(fresh.resume().toString()).toBe('<resume xmlns="urn:xmpp:sm:3" h="2" previd="r-77ab"/>')
  })

  it('cannot go on where the service does not offer it', () => {
    for (const said of ['<enabled xmlns="urn:xmpp:sm:3" id="r"/>', '<enabled xmlns="urn:xmpp:sm:3" resume="true"/>']) {
      const other = new Management()
      expect(other.previous).toBeNull()
      other.take(parse(said))
      expect(other.previous).toBeNull()
    }
    expect(sm.previous).toBe('r-77ab')
    sm.sent(message('m0'))
    sm.take(parse('<failed xmlns="urn:xmpp:sm:3"/>'))
    expect([sm.previous, ids()]).toEqual([null, []])
  })

  it('gives up rather than keep more than a thousand stanzas', () => {
    for (let n = 0; n < 1_000; n++) sm.sent(message(`m${n}`))
    expect([sm.previous, ids().length]).toEqual(['r-77ab', 1_000])
    sm.sent(message('one too many'))
    sm.sent(message('and another'))
    expect([sm.previous, ids()]).toEqual([null, []])
  })
})

describe('a socket that goes', () => {
  beforeEach(installWorld)
  afterEach(removeWorld)

  const BO = 'b2c3d4e5'
  async function managed() {
    const service = new Service()
    service.managed = true
    const world = await joined({}, service)
    world.service.say(presence(BO, item('participant') + sources(BO, { a0: false })))
    await world.service.offer()
    FakePeer.last.go('connected')
    await settle()
    world.told.length = 0
    world.phases.length = 0
    return world
  }
  const bodies = (service: Service) => service.heard.flatMap((stanza) => stanza.getChildText('body') ?? [])

  it('is replaced by another: people, media and chat stay', async () => {
    const { service, meeting, phases, told } = await managed()
    const [first, peer] = [service.socket, FakePeer.last]
    const presences = service.presences.length
    meeting.sendChat('one')
    first.drop()
    expect(meeting.snapshot()).toMatchObject({ occupants: [{ id: BO }], media: 'connected' })
    expect(meeting.sendChat('two')).not.toBeNull()
    meeting.setHandRaised(true)
    service.missed = [
      `<message xmlns="jabber:client" type="groupchat" id="x" from="${ROOM}/${BO}"><body>are you there?</body></message>`
    ]
    await pass(500)
    expect(service.socket.url).toContain('previd=r-77ab')
    expect(phases).toEqual(['reconnecting signalling 1', 'joined'])
    expect(meeting.snapshot()).toMatchObject({ occupants: [{ id: BO }], media: 'connected', chat: [{ text: 'are you there?' }] })
    expect(bodies(service)).toEqual(['one', 'two'])
    expect(service.presences.slice(presences).map((one) => one.getChildText('jitsi_participant_raisedHand'))).not.toContain(null)
    expect(service.presences.slice(presences).some((one) => one.getChild('x'))).toBe(false)
    expect([peer.closed, FakePeer.all.length]).toEqual([false, 1])
    expect(told.map(([event]) => event).filter((event) => event !== 'connection')).toEqual(['chatMessage'])
    // What the old socket still says is of no interest, and the new one may go as well.
    first.say(presence('evil', item('moderator')))
    service.socket.drop()
    await pass(500)
    expect(phases.at(-1)).toBe('joined')
    await meeting.leave()
    expect(vi.getTimerCount()).toBe(0)
  })

  it('is sought again and again while nobody answers', async () => {
    const { service, meeting, phases } = await managed()
    service.reachable = false
    service.socket.drop()
    await pass(4_000)
    expect(phases).toEqual([1, 2, 3, 4].map((n) => `reconnecting signalling ${n}`))
    expect(meeting.snapshot().occupants).toHaveLength(1)
    service.reachable = true
    await pass(4_000)
    expect(phases.at(-1)).toBe('joined')
    expect(service.joins).toBe(1)
    await meeting.leave()
  })

  it.each([
    ['the service has forgotten us', (service: Service) => (service.remembers = false), 500],
    ['it took longer than a minute', (service: Service) => (service.reachable = false), 70_000]
  ])('is a new start when %s; what was not heard is said to be so', async (_, happen, ms) => {
    const { service, meeting, phases, told } = await managed()
    happen(service)
    service.socket.drop()
    const id = meeting.sendChat('lost?')
    await pass(ms)
    service.reachable = true
    await pass(8_000)
    expect(phases.at(-1)).toBe('joined')
    expect(service.joins).toBe(2)
    expect(told.filter(([event]) => event === 'chatRefused')).toEqual([['chatRefused', { id }]])
    expect(bodies(service)).toEqual([])
    expect(FakePeer.all[0]?.closed).toBe(true)
    await meeting.leave()
    expect(vi.getTimerCount()).toBe(0)
  })

  it('may take the media along: they are repaired when the focus can be asked', async () => {
    const { service, meeting, phases } = await managed()
    service.socket.drop()
    FakePeer.last.go('failed')
    expect(meeting.snapshot().media).toBe('interrupted')
    await pass(500)
    expect(phases).toEqual(['reconnecting signalling 1', 'joined', 'reconnecting media 1'])
    await pass(2_000)
    expect(service.asked('session-terminate')).toHaveLength(1)
    await service.offer('second')
    FakePeer.last.go('connected')
    expect(phases.at(-1)).toBe('joined')
    await meeting.leave()
  })

  it('may be left for good meanwhile', async () => {
    const { service, meeting, phases } = await managed()
    service.socket.drop()
    await meeting.leave()
    await pass(60_000)
    expect(phases).toEqual(['reconnecting signalling 1', 'left'])
    expect(service.attempts).toHaveLength(1)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('which only seems to be there is left behind: leaving at once says so and waits for nothing', async () => {
    const { service, meeting } = await managed()
    const heard = service.socket.sent.length
    void meeting.leave({ atOnce: true })
    expect(service.socket.sent.slice(heard)).toEqual([
      '<presence xmlns="jabber:client" type="unavailable"/>',
      '<close xmlns="urn:ietf:params:xml:ns:xmpp-framing" />'
    ])
    expect(service.socket.readyState).toBe(3)
    expect(meeting.snapshot().connection).toEqual({ phase: 'left' })
    await settle()
    expect(vi.getTimerCount()).toBe(0)
  })

  it('comes back to a service without stream management as ever', async () => {
    const { service, meeting, phases } = await joined()
    service.entry = () => [self()]
    service.socket.drop()
    await pass(500)
    expect(phases).toEqual(['reconnecting signalling 1', 'joined'])
    expect(service.joins).toBe(2)
    await meeting.leave()
  })
})
