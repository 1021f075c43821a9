import { describe, expect, test } from 'vitest'
import { onStage, sceneFor, viewOf, type SceneInput } from './scene.ts'

const base: SceneInput = {
  area: { width: 1408, height: 756 },
  order: [],
  screens: [],
  self: 'me',
  ownScreen: null,
  pinned: [],
  speaker: null,
  mode: 'auto',
  page: 0,
  cap: 25,
  corner: 'bottom-end'
}
const people = (count: number) => Array.from({ length: count }, (_, index) => `p${index}`)
const roles = (input: SceneInput, role: string) =>
  [...sceneFor(input).placed].filter(([, placed]) => placed.role === role).map(([key]) => key)

describe('which view', () => {
  test('alone, two, three; share and pin take the stage; a choice wins', () => {
    expect(viewOf(base)).toBe('alone')
    expect(viewOf({ ...base, order: ['b'] })).toBe('duo')
    expect(viewOf({ ...base, order: ['b', 'c'] })).toBe('grid')
    expect(viewOf({ ...base, order: ['b', 'b-screen'], screens: ['b-screen'] })).toBe('stage')
    expect(viewOf({ ...base, order: ['b', 'c'], pinned: ['c'] })).toBe('stage')
    expect(viewOf({ ...base, order: ['b'], mode: 'grid' })).toBe('grid')
    expect(viewOf({ ...base, order: ['b', 'c', 'd'], mode: 'stage' })).toBe('stage')
    expect(viewOf({ ...base, order: ['b', 's'], screens: ['s'], mode: 'grid' })).toBe('grid')
  })

  test('the stage: pinned, newest share, speaker, last to come', () => {
    const order = ['b', 'c', 's1', 's2']
    expect(onStage({ ...base, order, screens: ['s2', 's1'], pinned: ['b'], speaker: 'c' })).toEqual(['b'])
    expect(onStage({ ...base, order, screens: ['s2', 's1'], speaker: 'c' })).toEqual(['s2'])
    expect(onStage({ ...base, order: ['b', 'c', 'd'], speaker: 'c' })).toEqual(['c'])
    expect(onStage({ ...base, order: ['b', 'c', 'd'], speaker: 'gone' })).toEqual(['d'])
  })
})

describe('grid', () => {
  test('everybody once, myself last on the first page', () => {
    const scene = sceneFor({ ...base, order: people(29) })
    expect([scene.columns, scene.rows, scene.pages, scene.unseen]).toEqual([5, 5, 2, 5])
    expect([...scene.placed.keys()].at(-1)).toBe('me')
    const second = sceneFor({ ...base, order: people(29), page: 1 })
    expect(second.placed.size).toBe(5)
    expect(second.placed.has('me')).toBe(false)
  })

  test('a page that no longer exists becomes the last one', () => {
    expect(sceneFor({ ...base, order: people(4), page: 7 }).page).toBe(0)
  })

  test('the screen I share is one quiet card more', () => {
    expect(sceneFor({ ...base, order: people(3), ownScreen: 'mine' }).placed.has('mine')).toBe(true)
  })
})

describe('stage', () => {
  test('the strip never covers the stage and always holds me', () => {
    for (const area of [base.area, { width: 374, height: 620 }, { width: 740, height: 374 }]) {
      const scene = sceneFor({ ...base, area, order: people(20), mode: 'stage', speaker: 'p3' })
      const stage = scene.placed.get('p3')!
      expect(stage.role).toBe('stage')
      expect(scene.placed.get('me')!.role).toBe('strip')
      for (const [key, tile] of scene.placed) {
        expect(tile.x + tile.width).toBeLessThanOrEqual(area.width + 0.01)
        expect(tile.y + tile.height).toBeLessThanOrEqual(area.height + 0.01)
        if (key === 'p3') continue
        expect(tile.x >= stage.x + stage.width || tile.y >= stage.y + stage.height).toBe(true)
      }
      expect(scene.unseen).toBe(21 - scene.placed.size)
    }
  })

  test('a face is cut at most to 4:3, a screen gets the whole stage', () => {
    const order = ['b', 'c', 'b-screen']
    const face = sceneFor({ ...base, order, mode: 'stage', speaker: 'b' }).placed.get('b')!
    expect(face.width / face.height).toBeGreaterThanOrEqual(4 / 3 - 0.001)
    const screen = sceneFor({ ...base, order, screens: ['b-screen'] }).placed.get('b-screen')!
    expect(screen.height).toBe(756)
  })

  test('several pins share the stage', () => {
    expect(roles({ ...base, order: people(6), pinned: ['p1', 'p4'] }, 'stage')).toEqual(['p1', 'p4'])
  })
})

test('two people: the other is large, I float in my corner', () => {
  const scene = sceneFor({ ...base, order: ['b'] })
  const float = scene.placed.get('me')!
  const other = scene.placed.get('b')!
  expect(float.role).toBe('float')
  expect(float.x + float.width).toBeCloseTo(other.x + other.width - 16)
  expect(sceneFor({ ...base, order: ['b'], corner: 'top-start' }).placed.get('me')!.y).toBeCloseTo(other.y + 16)
})
