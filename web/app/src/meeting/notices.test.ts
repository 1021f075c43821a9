import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Notices } from './notices.svelte.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const texts = (notices: Notices) => notices.all.map(notice => notice.text)

test('a notice goes after five seconds, one with a button after ten', () => {
  const notices = new Notices()
  notices.show('plain')
  notices.show('button', { action: { label: 'Undo', run: () => undefined } })
  vi.advanceTimersByTime(5000)
  expect(texts(notices)).toEqual(['button'])
  vi.advanceTimersByTime(5000)
  expect(texts(notices)).toEqual([])
})

test('none goes while somebody looks', () => {
  const notices = new Notices()
  notices.show('plain')
  notices.pause()
  vi.advanceTimersByTime(60_000)
  expect(texts(notices)).toEqual(['plain'])
  notices.resume()
  vi.advanceTimersByTime(5000)
  expect(texts(notices)).toEqual([])
})

test('the same words once, at most four at a time', () => {
  const notices = new Notices()
  for (const text of ['a', 'b', 'a', 'c', 'd', 'e']) notices.show(text)
  expect(texts(notices)).toEqual(['a', 'c', 'd', 'e'])
})
