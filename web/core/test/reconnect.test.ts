// Losing the service and finding it again: the transitions alone, then a conference that goes through them.

import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  type Fault,
  doubtedAfterMs,
  mayRetry,
  mediaBack,
  mediaLost,
  mediaRetryAfterMs,
  retryAfterMs,
  signallingLost
} from '../src/conference/reconnect.ts'
import type { ConnectionState } from '../src/types.ts'
import { FakePeer } from './peer.ts'
import { ID, Service, begin, installWorld, item, joined, presence, removeWorld, self, sources, stanzaError } from './service.ts'
import { FakeSocket, pass, settle } from './socket.ts'

const CONNECTING: ConnectionState = { phase: 'connecting' }
const JOINED: ConnectionState = { phase: 'joined' }

describe('transitions', () => {
  it('a first join stays one for two tries and fails with the third', () => {
    expect(signallingLost(CONNECTING, 1, 5)).toBe(CONNECTING)
    expect(signallingLost(CONNECTING, 2, 5)).toBe(CONNECTING)
    expect(signallingLost(CONNECTING, 3, 5)).toEqual({ phase: 'failed', code: 'unreachable' })
    expect([0, 1, 2].map((tries) => mayRetry(CONNECTING, tries))).toEqual([true, true, false])
  })

  it('whoever was inside never gives up, and remembers when the trouble began', () => {
    const first = signallingLost(JOINED, 1, 100)
    expect(first).toEqual({ phase: 'reconnecting', what: 'signalling', since: 100, attempt: 1 })
    expect(signallingLost(first, 1000, 900)).toEqual({ phase: 'reconnecting', what: 'signalling', since: 100, attempt: 1000 })
    expect(mayRetry(first, 1000)).toBe(true)
  })

  it('trouble of media counts on, turns into trouble of signalling, and passes', () => {
    const first = mediaLost(JOINED, 100)
    expect(first).toEqual({ phase: 'reconnecting', what: 'media', since: 100, attempt: 1 })
    expect(mediaLost(first, 200)).toEqual({ phase: 'reconnecting', what: 'media', since: 100, attempt: 2 })
    const worse = signallingLost(first, 1, 300)
    expect(worse).toEqual({ phase: 'reconnecting', what: 'signalling', since: 100, attempt: 1 })
    expect(mediaBack(first)).toEqual(JOINED)
    // What media says is of no matter to anything else.
    for (const other of [JOINED, CONNECTING, worse]) expect(mediaBack(other)).toBe(other)
    const second = mediaLost(first, 200)
    const after = (fault: Fault, askedAt = -Infinity) => [first, second].map((state) => mediaRetryAfterMs(state, fault, askedAt, 9_000))
    expect(after('broken')).toEqual([2_000, 6_000])
    expect(after('silent')).toEqual([1_000, 1_000])
    expect(after('overdue')).toEqual([0, 0])
    // Sooner than five seconds after the last time the focus would refuse.
    expect(after('overdue', 8_000)).toEqual([4_000, 4_000])
    expect(after('broken', 8_000)).toEqual([4_000, 6_000])
  })

  it('doubts a silent path soon, but not again and again', () => {
    expect([0, 1, 2, 3, 4].map(doubtedAfterMs)).toEqual([1_000, 4_000, 16_000, null, null])
  })

  it('waits double from half a second to eight, give or take a quarter', () => {
    expect([1, 2, 3, 4, 5, 6, 60].map((tries) => retryAfterMs(tries, 0.5))).toEqual([500, 1000, 2000, 4000, 8000, 8000, 8000])
    expect([1, 2, 3, 4, 60].map((tries) => retryAfterMs(tries, 0.5, 'resume'))).toEqual([500, 1000, 2000, 3000, 3000])
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5000 }), fc.double({ min: 0, max: 1, noNaN: true }), (tries, chance) => {
        const wait = retryAfterMs(tries, chance)
        const middle = retryAfterMs(tries, 0.5)
        return wait >= middle * 0.75 && wait <= middle * 1.25 && wait <= 10_000
      })
    )
  })
})

describe('a first join', () => {
  beforeEach(installWorld)
  afterEach(removeWorld)

  it('that reaches nobody is tried three times', async () => {
    const service = new Service()
    service.reachable = false
    const { meeting, phases } = begin({}, service)
    const start = Date.now()
    await pass(499)
    expect(service.attempts).toHaveLength(1)
    await pass(1)
    expect(meeting.snapshot().connection.phase).toBe('connecting')
    await pass(1_000)
    expect(service.attempts.map((at) => at - start)).toEqual([0, 500, 1500])
    expect(phases).toEqual(['failed unreachable'])
    await pass(60_000)
    expect(service.attempts).toHaveLength(3)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('gets through in the end', async () => {
    const service = new Service()
    service.reachable = false
    const { meeting, phases } = begin({}, service)
    await pass(600)
    service.reachable = true
    await pass(1_000)
    expect(phases).toEqual(['joined'])
    await meeting.leave()
  })

  it('is tried again when the room ended in between, and no more than that', async () => {
    const service = new Service()
    const ended = '<room-does-not-exist xmlns="http://jitsi.org/jitmeet"/>'
    service.entry = () => [presence(ID, stanzaError('not-allowed', 'cancel', ended), 'error')]
    const { phases } = begin({}, service)
    await pass(1_500)
    expect(service.attempts).toHaveLength(3)
    expect(phases).toEqual(['failed not-allowed'])
    expect(vi.getTimerCount()).toBe(0)
  })

  it.each([
    ['the focus has answered', (service: Service) => (service.conference = 'silence')],
    ['the room has answered', (service: Service) => (service.entry = () => [])]
  ])('whose socket goes before %s counts that as one try', async (_, hold) => {
    const service = new Service()
    hold(service)
    const { meeting } = begin({}, service)
    for (const wait of [500, 1_000]) {
      await settle()
      service.socket.drop()
      await pass(wait - 1)
      expect(meeting.snapshot().connection).toEqual(CONNECTING)
      if (wait === 1_000) {
        service.conference = 'result'
        service.entry = () => [self()]
      }
      await pass(1)
    }
    expect(meeting.snapshot().connection).toEqual(JOINED)
    await pass(60_000)
    expect(service.attempts).toHaveLength(3)
    await meeting.leave()
    expect(vi.getTimerCount()).toBe(0)
  })

  it('does not wait for ever: neither for the focus nor for the room', async () => {
    const service = new Service()
    service.conference = 'silence'
    const { meeting, phases } = begin({}, service)
    const start = Date.now()
    await pass(30_000)
    service.conference = 'result'
    service.entry = () => []
    await pass(40_000)
    // Half a minute for the focus, fifteen seconds for the room.
    expect(service.attempts.map((at) => at - start)).toEqual([0, 30_500, 46_500])
    expect(phases).toEqual(['failed unreachable'])
    await meeting.leave()
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('a lost connection', () => {
  beforeEach(installWorld)
  afterEach(removeWorld)

  it('is sought at growing intervals, for as long as it takes', async () => {
    const { service, meeting, phases } = await joined()
    service.attempts.length = 0
    service.reachable = false
    const lostAt = Date.now()
    service.socket.drop()
    expect(meeting.snapshot().connection).toEqual({ phase: 'reconnecting', what: 'signalling', since: lostAt, attempt: 1 })
    await pass(120_000)
    expect(service.attempts.slice(0, 7).map((at) => at - lostAt)).toEqual([500, 1500, 3500, 7500, 15_500, 23_500, 31_500])
    expect(meeting.snapshot().connection).toEqual({
      phase: 'reconnecting',
      what: 'signalling',
      since: lostAt,
      attempt: service.attempts.length + 1
    })
    service.reachable = true
    await pass(8_000)
    expect(phases.at(-1)).toBe('joined')
    // The next trouble starts from the beginning.
    service.socket.drop()
    expect(meeting.snapshot().connection).toMatchObject({ since: Date.now(), attempt: 1 })
    await pass(500)
    expect(meeting.snapshot().connection).toEqual(JOINED)
    await meeting.leave()
    expect(vi.getTimerCount()).toBe(0)
  })

  it('brings back what belongs to us and drops what does not', async () => {
    const { service, meeting, devices, told } = await joined()
    await devices.setMicrophone(true)
    const { track } = meeting.media.snapshot().microphone
    service.say(presence('b2c3d4e5', item('participant') + sources('b2c3d4e5', { a0: false })))
    await service.offer()
    FakePeer.last.go('connected')
    meeting.setHandRaised(true)
    meeting.setReceiveConstraints({ visible: [{ source: 'b2c3d4e5-v0', maxHeight: 360 }], lastN: 5 })
    await pass(100)
    told.length = 0

    service.socket.drop()
    expect(meeting.snapshot()).toMatchObject({ occupants: [], media: 'idle', speaker: null, stats: null })
    expect(FakePeer.all.map(({ closed }) => closed)).toEqual([true])
    expect(service.channel.readyState).toBe(3)
    service.entry = () => [presence('b2c3d4e5', item('participant')), self('moderator')]
    await pass(500)
    const again = service.presences.at(-1)
    expect(again?.getChild('x', 'http://jabber.org/protocol/muc')).toBeDefined()
    expect(again?.getChildText('jitsi_participant_raisedHand')).toBeTruthy()
    expect(JSON.parse(again?.getChildText('SourceInfo') ?? '')).toMatchObject({ [`${ID}-a0`]: { muted: false } })
    expect(meeting.snapshot()).toMatchObject({ connection: JOINED, self: { role: 'moderator' }, occupants: [{ id: 'b2c3d4e5' }] })
    // People who were there all the time neither leave nor come.
    expect(told.map(([event]) => event)).toEqual(['connection', 'connection'])

    await service.offer('second')
    expect(FakePeer.all).toHaveLength(2)
    expect(FakePeer.last.sending('0').track).toBe(track)
    expect(JSON.parse(service.channel.sent[0] ?? '')).toMatchObject({
      colibriClass: 'ReceiverVideoConstraints',
      lastN: 5,
      constraints: { 'b2c3d4e5-v0': { maxHeight: 360 } }
    })
    await meeting.leave()
    expect(vi.getTimerCount()).toBe(0)
  })

  it('is noticed when nobody answers any more', async () => {
    const { service, meeting, phases } = await joined()
    const mute = service.socket
    FakeSocket.service = null
    // A sign of life was heard before the first beat; two pings after that stay unanswered.
    await pass(35_000)
    expect(phases).toEqual(['reconnecting signalling 1'])
    expect(mute.readyState).toBe(3)
    await meeting.leave()
  })

  it.each([
    ['the focus is gone', presence('focus', item('none'), 'unavailable')],
    ['the service stops', presence(ID, '<x xmlns="http://jabber.org/protocol/muc#user"><item role="none"/><status code="332"/></x>', 'unavailable')]
  ])('is what it is when %s', async (_, stanza) => {
    const { service, meeting, phases } = await joined()
    service.say(stanza)
    await pass(500)
    expect(phases).toEqual(['reconnecting signalling 1', 'joined'])
    expect(service.attempts).toHaveLength(2)
    await meeting.leave()
  })

  it('is over when the service then refuses us for good', async () => {
    const { service, phases } = await joined()
    service.entry = () => [presence(ID, stanzaError('forbidden', 'auth'), 'error')]
    service.socket.drop()
    await pass(500)
    expect(phases).toEqual(['reconnecting signalling 1', 'failed forbidden'])
    expect(vi.getTimerCount()).toBe(0)
  })

  it('need not wait when somebody, or the system, knows better', async () => {
    const network = new EventTarget()
    vi.stubGlobal('addEventListener', network.addEventListener.bind(network))
    vi.stubGlobal('removeEventListener', network.removeEventListener.bind(network))
    const { service, meeting, phases } = await joined()
    service.reachable = false
    service.socket.drop()
    await pass(3_600)
    const tries = service.attempts.length
    meeting.reconnectNow()
    await settle()
    expect(service.attempts).toHaveLength(tries + 1)
    service.reachable = true
    network.dispatchEvent(new Event('online'))
    await settle()
    expect(phases.at(-1)).toBe('joined')
    // While all is well it means nothing, and after the end neither.
    meeting.reconnectNow()
    await meeting.leave()
    network.dispatchEvent(new Event('online'))
    await pass(10_000)
    expect(service.attempts).toHaveLength(tries + 2)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('may be left for good while it is sought, and while it is told', async () => {
    const first = await joined()
    first.service.reachable = false
    first.service.socket.drop()
    await first.meeting.leave()
    expect(first.phases).toEqual(['reconnecting signalling 1', 'left'])
    await pass(60_000)
    expect(first.service.attempts).toHaveLength(1)

    const second = await joined()
    second.meeting.on('connection', ({ phase }) => phase === 'reconnecting' && void second.meeting.leave())
    second.service.socket.drop()
    await pass(60_000)
    expect(second.meeting.snapshot().connection).toEqual({ phase: 'left' })
    expect(second.service.attempts).toHaveLength(1)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('has nothing more to say: what the old socket tells comes too late', async () => {
    const { service, meeting } = await joined()
    const old = service.socket
    old.drop()
    await pass(500)
    old.say(presence('evil', item('moderator')))
    old.drop()
    expect(meeting.snapshot()).toMatchObject({ connection: JOINED, occupants: [] })
    await meeting.leave()
  })
})
