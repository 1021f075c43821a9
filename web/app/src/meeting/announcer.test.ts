import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Announcer } from './announcer.svelte.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

test('people who come within three seconds are told together', () => {
  const announcer = new Announcer()
  for (const name of ['Bo', 'Chen', 'Dee', 'Eli', 'Fay']) announcer.joined(name, 6)
  expect(announcer.polite).toBe('')
  vi.advanceTimersByTime(3000)
  expect(announcer.polite).toBe('Bo, Chen, and 3 others joined')
  announcer.joined('Gus', 7)
  vi.advanceTimersByTime(3000)
  expect(announcer.polite).toBe('Gus joined')
})

test('a large room is quiet about who comes and goes', () => {
  const announcer = new Announcer()
  announcer.joined('Bo', 31)
  announcer.left('Bo', 31)
  vi.advanceTimersByTime(4000)
  expect(announcer.polite).toBe('')
})

test('messages come 300 ms apart, urgent ones first, none doubled', () => {
  const announcer = new Announcer()
  announcer.say('one')
  announcer.say('two')
  announcer.say('two')
  announcer.urgent('now')
  expect(announcer.polite).toBe('one')
  vi.advanceTimersByTime(299)
  expect(announcer.assertive).toBe('')
  vi.advanceTimersByTime(1)
  expect(announcer.assertive).toBe('now')
  vi.advanceTimersByTime(300)
  expect(announcer.polite).toBe('two')
  vi.advanceTimersByTime(600)
  announcer.say('two')
  expect(announcer.polite.trim()).toBe('two')
  expect(announcer.polite).not.toBe('two')
})
