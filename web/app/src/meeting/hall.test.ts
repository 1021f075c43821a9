import { describe, expect, test } from 'vitest'
import { ROW, seenOf } from './hall.ts'

const desktop = { width: 1000, height: 400 }

describe('of a long list', () => {
  test('only what is seen is in the page, and a little more', () => {
    const seen = seenOf(300, desktop, 0)
    expect(seen).toEqual({ columns: 4, from: 0, to: 56, above: 0, below: 61 * ROW })
    expect(seen.to - seen.from).toBeLessThan(80)
  })

  test('nobody is left out, and the list is as high as it would be whole', () => {
    for (const count of [0, 1, 5, 299, 300, 1000]) {
      for (const area of [desktop, { width: 300, height: 600 }, { width: 0, height: 0 }, { width: 4000, height: 3000 }]) {
        const rows = Math.ceil(count / seenOf(count, area, 0).columns)
        const seen = new Set<number>()
        for (let scrolled = 0; scrolled <= rows * ROW; scrolled += ROW) {
          const { columns, from, to, above, below } = seenOf(count, area, scrolled)
          expect(to - from).toBeLessThan(80)
          expect(above + Math.ceil((to - from) / columns) * ROW + below).toBe(rows * ROW)
          for (let one = from; one < to; one++) seen.add(one)
        }
        expect(seen.size).toBe(count)
      }
    }
  })

  test('what is seen is there wherever it is scrolled to', () => {
    for (const scrolled of [0, 100, 1_234, 3_000, 99_999]) {
      const { columns, from, to } = seenOf(300, desktop, scrolled)
      const end = Math.ceil(300 / columns) * ROW
      const top = Math.min(scrolled, end - desktop.height)
      expect(from).toBeLessThanOrEqual(Math.floor(top / ROW) * columns)
      expect(to).toBeGreaterThanOrEqual(Math.min(300, Math.ceil((top + desktop.height) / ROW) * columns))
    }
  })
})
