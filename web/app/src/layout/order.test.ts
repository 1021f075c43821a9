import { expect, test } from 'vitest'
import { bringIntoView, keepOrder } from './order.ts'

test('people keep their place; who comes goes to the end', () => {
  expect(keepOrder(['a', 'b', 'c'], ['d', 'c', 'a'])).toEqual(['a', 'c', 'd'])
})

test('a speaker from page two swaps with whoever spoke longest ago, the others stay', () => {
  const order = 'abcdefghijkl'.split('')
  const spoke: Record<string, number> = { a: 9, b: 8, c: 7, d: 1, e: 6, f: 5, g: 4, h: 3 }
  const swapped = bringIntoView(order, 'k', 8, key => spoke[key] ?? 0, () => false)
  expect(swapped.join('')).toBe('abckefghijdl')
})

test('a fixed tile is not moved, and somebody in view changes nothing', () => {
  const order = ['me', 'b', 'c']
  expect(bringIntoView(order, 'c', 2, () => 0, key => key === 'me')).toEqual(['me', 'c', 'b'])
  expect(bringIntoView(order, 'b', 2, () => 0, () => false)).toBe(order)
  expect(bringIntoView(order, 'c', 2, () => 0, () => true)).toBe(order)
})
