import { describe, expect, test } from 'vitest'
import type { ConnectionState } from '@althing/core'
import { nextScreen, start, type Screen, type ScreenEvent } from './screen.ts'

const connection = (state: ConnectionState, now = 0): ScreenEvent => ({ type: 'connection', state, now, jitter: 0.5 })

function after(...events: ScreenEvent[]): Screen {
  return events.reduce(nextScreen, start)
}

const open: ScreenEvent = { type: 'open', room: 'standup' }
const join: ScreenEvent = { type: 'join' }
const joined = connection({ phase: 'joined' }, 60_000)

describe('the way in', () => {
  test('welcome, prejoin, connecting, meeting', () => {
    expect(after()).toEqual({ at: 'welcome' })
    expect(after(open)).toEqual({ at: 'prejoin', room: 'standup' })
    expect(after(open, join)).toEqual({ at: 'connecting', room: 'standup' })
    expect(after(open, join, joined)).toEqual({ at: 'meeting', room: 'standup', since: 60_000, back: false })
  })

  test('leaving while connecting returns to prejoin', () => {
    expect(after(open, join, { type: 'left', now: 0 })).toEqual({ at: 'prejoin', room: 'standup' })
  })

  test('a reloaded page stays on the meeting while it comes back', () => {
    const back = after({ type: 'rejoin', room: 'standup', now: 1 })
    expect(back).toEqual({ at: 'meeting', room: 'standup', since: 1, back: true })
    expect(nextScreen(back, joined)).toEqual({ at: 'meeting', room: 'standup', since: 1, back: false })
  })

  test('joining from welcome does nothing', () => {
    expect(after(join)).toEqual({ at: 'welcome' })
  })
})

describe('at the door', () => {
  const door = [open, join] as const
  const asking = (whom: 'lobby' | 'host', wrong = false) => connection({ phase: 'asking', for: whom, since: 7, wrong, tried: 0 })
  const password = (wrong: boolean) => connection({ phase: 'asking', for: 'password', wrong, tried: 0 })

  test('a password is asked for, again when it was wrong, and leads in', () => {
    expect(after(...door, password(false))).toEqual({ at: 'password', room: 'standup', wrong: false })
    expect(after(...door, password(false), password(true))).toEqual({ at: 'password', room: 'standup', wrong: true })
    expect(after(...door, password(true), joined).at).toBe('meeting')
  })

  test('lobby and host are waited for', () => {
    expect(after(...door, asking('lobby'))).toEqual({ at: 'lobby', room: 'standup', since: 7, wrong: false })
    expect(after(...door, asking('host', true))).toEqual({ at: 'waithost', room: 'standup', since: 7, wrong: true })
    expect(after(...door, asking('host'), joined).at).toBe('meeting')
  })

  test('refused: asking again is offered half a minute later', () => {
    const denied = after(...door, asking('lobby'), connection({ phase: 'failed', code: 'denied' }, 1_000))
    expect(denied).toEqual({ at: 'denied', room: 'standup', until: 31_000 })
    expect(nextScreen(denied, join)).toEqual({ at: 'connecting', room: 'standup' })
  })

  test('full: tried again in twenty seconds', () => {
    const full = after(...door, connection({ phase: 'failed', code: 'room-full' }, 1_000))
    expect(full).toEqual({ at: 'full', room: 'standup', until: 21_000 })
  })

  test('going back leads to prejoin from everywhere', () => {
    for (const event of [password(false), asking('lobby'), asking('host'), connection({ phase: 'failed', code: 'room-full' })]) {
      expect(after(...door, event, { type: 'left', now: 0 })).toEqual({ at: 'prejoin', room: 'standup' })
    }
  })

  test('a room that takes nobody without a name leads to prejoin, which says so', () => {
    const failed = connection({ phase: 'failed', code: 'name-required' })
    expect(after(...door, failed)).toEqual({ at: 'prejoin', room: 'standup', nameNeeded: true })
  })

  test('the meeting may end while we wait for it', () => {
    const over = connection({ phase: 'failed', code: 'destroyed' })
    expect(after(...door, asking('lobby'), over)).toEqual({ at: 'ended', room: 'standup', minutes: 0, byModerator: true })
  })

  test('a meeting may ask anew, after a reload or a lost connection', () => {
    expect(after({ type: 'rejoin', room: 'standup', now: 1 }, password(false)).at).toBe('password')
  })
})

describe('the way out', () => {
  const meeting = [open, join, joined] as const

  test('reconnecting keeps the meeting, the very same object', () => {
    const screen = after(...meeting)
    const state: ConnectionState = { phase: 'reconnecting', what: 'media', since: 0, attempt: 1 }
    expect(nextScreen(screen, connection(state))).toBe(screen)
    expect(nextScreen(screen, joined)).toBe(screen)
  })

  test('leaving shows how long it was', () => {
    expect(after(...meeting, { type: 'left', now: 60_000 * 55 })).toEqual({
      at: 'ended',
      room: 'standup',
      minutes: 54,
      byModerator: false
    })
  })

  test('a meeting ended for all says so', () => {
    const ended = after(...meeting, connection({ phase: 'failed', code: 'destroyed' }, 120_000))
    expect(ended).toMatchObject({ at: 'ended', byModerator: true, minutes: 1 })
  })

  test('being removed keeps who and why', () => {
    const event = { ...connection({ phase: 'kicked', by: 'ab12cd34', reason: 'noise' }), byName: 'Pia' } as ScreenEvent
    expect(after(...meeting, event)).toEqual({ at: 'kicked', room: 'standup', by: 'Pia', reason: 'noise' })
  })

  test('a failure that may pass is retried in 10 to 30 s, another is not', () => {
    expect(after(open, join, connection({ phase: 'failed', code: 'unreachable' }, 5))).toEqual({
      at: 'error',
      room: 'standup',
      code: 'unreachable',
      retryAt: 20_005
    })
    expect(after(open, join, connection({ phase: 'failed', code: 'forbidden' }))).toMatchObject({ retryAt: null })
  })

  test('what the service says about it is kept', () => {
    const failed = connection({ phase: 'failed', code: 'not-authorized', text: 'token expired' })
    expect(after(open, join, failed)).toMatchObject({ at: 'error', text: 'token expired' })
  })

  test('ended, kicked and error can join again', () => {
    expect(after(...meeting, { type: 'left', now: 0 }, join)).toEqual({ at: 'connecting', room: 'standup' })
    expect(after(open, join, connection({ phase: 'failed', code: 'unreachable' }), join).at).toBe('connecting')
  })

  test('news of a connection that is over changes nothing', () => {
    const ended = after(...meeting, { type: 'left', now: 0 })
    expect(nextScreen(ended, connection({ phase: 'left' }))).toBe(ended)
    expect(nextScreen(start, { type: 'left', now: 0 })).toBe(start)
  })

  test('a browser that cannot do it is told at once', () => {
    expect(after(open, { type: 'unusable', code: 'unsupported' })).toEqual({
      at: 'error',
      room: 'standup',
      code: 'unsupported',
      retryAt: null
    })
  })
})
