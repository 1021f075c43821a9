import { expect, test } from 'vitest'
import { launch, MOST_REACTIONS, reactionFor, signOf, type Flying } from './reactions.ts'

const flying = (id: number, until: number): Flying => ({ id, owner: 'a', sign: signOf('like'), at: 0, until })
const key = (code: string, more = {}) => ({ code, altKey: true, ctrlKey: false, metaKey: false, repeat: false, ...more })

test('Alt and a letter react, other keys do not', () => {
  expect(['KeyT', 'KeyC', 'KeyL', 'KeyO', 'KeyB', 'KeyS', 'KeyH'].map(code => reactionFor(key(code)))).toEqual([
    'like',
    'clap',
    'laugh',
    'surprised',
    'boo',
    'silence',
    'love'
  ])
  expect([key('KeyX'), key('KeyT', { altKey: false }), key('KeyT', { ctrlKey: true }), key('KeyT', { repeat: true })].map(reactionFor)).toEqual(
    Array.from({ length: 4 }, () => null)
  )
})

test('the air holds fifty, and what is over is gone', () => {
  const many = Array.from({ length: 70 }, (_, id) => flying(id, 10))
  expect(launch([], many, 0).map(one => one.id)).toEqual(many.slice(-MOST_REACTIONS).map(one => one.id))
  expect(launch([flying(1, 5), flying(2, 9)], [flying(3, 12)], 5).map(one => one.id)).toEqual([2, 3])
})
