import { expect, test } from 'vitest'
import { arrange } from './tiles.ts'
import { constraintsFor, stepFor, type Picture } from './receive.ts'

const camera = (source: string, height: number, onStage = false): Picture => ({ source, height, onStage, kind: 'camera' })

test('the smallest step whose 125 % covers the tile, at most twice for sharp screens', () => {
  expect(stepFor(225, 1)).toBe(180)
  expect(stepFor(226, 1)).toBe(360)
  expect(stepFor(450, 1)).toBe(360)
  expect(stepFor(225, 2)).toBe(360)
  expect(stepFor(225, 3)).toBe(360)
  expect(stepFor(5000, 1)).toBe(2160)
})

test('at 1440 x 900 one tile asks for 720, nine for 360, sixteen for 180', () => {
  const area = { width: 1408, height: 756 }
  for (const [people, height] of [[1, 720], [9, 360], [16, 180]] as const) {
    expect(stepFor(arrange(people, area, 25).height, 1)).toBe(height)
  }
})

test('exactly the pictures on screen are asked for', () => {
  const asked = constraintsFor([camera('b-v0', 500, true), camera('c-v0', 120)], 1)
  expect(asked).toEqual({
    stage: ['b-v0'],
    visible: [
      { source: 'b-v0', maxHeight: 720 },
      { source: 'c-v0', maxHeight: 180 }
    ],
    lastN: -1
  })
})

test('more than two large cameras are all held at 360, a screen on stage is not', () => {
  const screen: Picture = { source: 'd-v1', kind: 'screen', height: 700, onStage: true }
  const asked = constraintsFor([screen, camera('a', 600), camera('b', 600), camera('c', 600)], 1)
  expect(asked.visible.map(v => v.maxHeight)).toEqual([1080, 360, 360, 360])
})
