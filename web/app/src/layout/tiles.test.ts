import { describe, expect, test } from 'vitest'
import { arrange, pageCap, place, type Area } from './tiles.ts'

const desktop: Area = { width: 1408, height: 756 }
const panelOpen: Area = { width: 1032, height: 756 }
const tablet: Area = { width: 788, height: 1000 }
const phone: Area = { width: 374, height: 620 }
const phoneOnSide: Area = { width: 740, height: 374 }

type Row = [people: number, shape: string, size: string]

function check(area: Area, cap: number, rows: Row[]): void {
  for (const [people, shape, size] of rows) {
    const grid = arrange(people, area, cap)
    expect(`${people}: ${grid.columns}x${grid.rows}`).toBe(`${people}: ${shape}`)
    expect(`${people}: ${Math.floor(grid.width)}x${Math.floor(grid.height)}`).toBe(`${people}: ${size}`)
  }
}

function pages(people: number, area: Area, cap: number): number[] {
  const grid = arrange(people, area, cap)
  return Array.from({ length: grid.pages }, (_, page) => Math.min(grid.perPage, people - page * grid.perPage))
}

describe('the table of the design', () => {
  test('a desktop window', () => {
    check(desktop, 25, [
      [2, '2x1', '699x582'],
      [4, '2x2', '663x373'],
      [6, '3x2', '462x373'],
      [9, '3x3', '436x245'],
      [16, '4x4', '322x181'],
      [25, '5x5', '254x143'],
    ])
    expect(pages(30, desktop, 25)).toEqual([25, 5])
  })

  test('a desktop window with a panel open', () => {
    check(panelOpen, 25, [
      [2, '1x2', '663x373'],
      [4, '2x2', '511x373'],
      [6, '2x3', '436x245'],
      [9, '3x3', '337x245'],
      [16, '4x4', '250x181'],
      [25, '5x5', '198x143'],
    ])
    expect(pages(30, panelOpen, 25)).toEqual([25, 5])
  })

  test('a tablet', () => {
    check(tablet, 16, [
      [2, '1x2', '788x495'],
      [4, '2x2', '389x495'],
      [6, '2x3', '389x326'],
      [9, '3x3', '256x326'],
      [16, '4x4', '189x242'],
    ])
    expect(pages(25, tablet, 16)).toEqual([16, 9])
    expect(pages(30, tablet, 16)).toEqual([16, 14])
  })

  test('a phone held upright', () => {
    check(phone, 8, [
      [2, '1x2', '374x307'],
      [4, '2x2', '184x245'],
      [6, '2x3', '184x202'],
    ])
    expect(pages(9, phone, 8)).toEqual([8, 1])
    expect(pages(16, phone, 8)).toEqual([8, 8])
    expect(pages(25, phone, 8)).toHaveLength(4)
    expect(pages(30, phone, 8)).toHaveLength(4)
  })

  test('a phone on its side', () => {
    check(phoneOnSide, 8, [
      [2, '2x1', '365x304'],
      [4, '2x2', '323x182'],
      [6, '3x2', '240x182'],
    ])
    expect(pages(9, phoneOnSide, 8)).toEqual([8, 1])
    expect(pages(16, phoneOnSide, 8)).toEqual([8, 8])
    expect(pages(30, phoneOnSide, 8)).toHaveLength(4)
  })
})

describe('placing', () => {
  test('no tile overlaps another or leaves the area, however many people and whatever the window', () => {
    for (const area of [desktop, panelOpen, tablet, phone, phoneOnSide, { width: 320, height: 400 }]) {
      for (let people = 1; people <= 40; people++) {
        const grid = arrange(people, area, 25)
        const rects = place(grid, Math.min(people, grid.perPage), area)
        for (const [index, a] of rects.entries()) {
          expect(a.x).toBeGreaterThanOrEqual(-0.01)
          expect(a.y).toBeGreaterThanOrEqual(-0.01)
          expect(a.x + a.width).toBeLessThanOrEqual(area.width + 0.01)
          expect(a.y + a.height).toBeLessThanOrEqual(area.height + 0.01)
          for (const b of rects.slice(index + 1)) {
            const apart =
              a.x + a.width <= b.x + 0.01 ||
              b.x + b.width <= a.x + 0.01 ||
              a.y + a.height <= b.y + 0.01 ||
              b.y + b.height <= a.y + 0.01
            expect(apart).toBe(true)
          }
        }
      }
    }
  })

  test('a short last row is centred', () => {
    const grid = arrange(5, desktop, 25)
    const rects = place(grid, 5, desktop)
    const last = rects.slice(-(5 % grid.columns))
    const start = last[0]!.x
    const end = desktop.width - (last.at(-1)!.x + last.at(-1)!.width)
    expect(start).toBeCloseTo(end)
  })
})

test('columns stay while another arrangement is less than 6 % better', () => {
  let previous = arrange(6, { width: 1000, height: 1000 }, 25).columns
  const fresh = new Set<number>()
  const kept: number[] = []
  for (let width = 1000; width < 1060; width += 4) {
    fresh.add(arrange(6, { width, height: 1000 }, 25).columns)
    const next = arrange(6, { width, height: 1000 }, 25, previous).columns
    if (next !== previous) kept.push(width)
    previous = next
  }
  expect(kept.length).toBeLessThanOrEqual(fresh.size - 1)
  const area = { width: 1032, height: 756 }
  expect(arrange(2, area, 25).columns).toBe(1)
  expect(arrange(2, area, 25, 2).columns).toBe(1)
})

test('an area too small for anything still shows one tile', () => {
  const grid = arrange(12, { width: 90, height: 60 }, 25)
  expect([grid.columns, grid.rows, grid.pages]).toEqual([1, 1, 12])
})

test('a page holds 25 on a desktop, 16 on a tablet, 8 on a phone', () => {
  expect(pageCap({ width: 1440, height: 900 })).toBe(25)
  expect(pageCap({ width: 820, height: 1180 })).toBe(16)
  expect(pageCap({ width: 390, height: 844 })).toBe(8)
  expect(pageCap({ width: 844, height: 390 })).toBe(8)
})
