import { expect, test } from 'vitest'
import type { ConnectionState } from '@althing/core'
import { calm, isShown, nextBar, type Bar, type BarEvent } from './reconnect.ts'

const joined: ConnectionState = { phase: 'joined' }
const lost = (what: 'signalling' | 'media', attempt = 1): ConnectionState => ({
  phase: 'reconnecting',
  what,
  since: 1000,
  attempt
})
const connection = (state: ConnectionState, now = 1000): BarEvent => ({ type: 'connection', state, now })
const tick = (now: number): BarEvent => ({ type: 'tick', now })
const after = (...events: BarEvent[]): Bar => events.reduce(nextBar, calm)

test('signalling lost for less than three seconds shows nothing', () => {
  const soon = after(connection(lost('signalling')), tick(3999))
  expect(isShown(soon)).toBe(false)
  expect(nextBar(soon, connection(joined, 3999))).toEqual(calm)
})

test('signalling lost for longer shows the bar until it is back', () => {
  const bar = after(connection(lost('signalling')), tick(4000))
  expect(bar).toEqual({ show: 'signalling' })
  expect(nextBar(bar, connection(lost('signalling', 2), 5000))).toBe(bar)
  expect(nextBar(bar, connection(joined))).toEqual(calm)
})

test('a loss that is already old shows at once', () => {
  expect(after(connection(lost('signalling'), 9000))).toEqual({ show: 'signalling' })
})

test('lost media shows at once and counts the attempts', () => {
  expect(after(connection(lost('media')))).toEqual({ show: 'media', attempt: 1 })
  expect(after(connection(lost('signalling')), connection(lost('media', 3)))).toEqual({ show: 'media', attempt: 3 })
})

test('a page that slept is welcomed back, but only when something is broken', () => {
  expect(after({ type: 'woke' })).toBe(calm)
  expect(after(connection(lost('signalling')), { type: 'woke' })).toEqual({ show: 'awake' })
  expect(after(connection(lost('media')), { type: 'woke' }, connection(lost('media', 2)))).toEqual({ show: 'awake' })
})
