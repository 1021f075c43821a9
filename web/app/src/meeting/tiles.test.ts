import { expect, test } from 'vitest'
import { person, screenOf } from '../test/fake.ts'
import { tilesOf } from './tiles.ts'

test('a tile says what is wrong with the way to somebody', () => {
  const camera = person('b').camera!
  const said = (more: Parameters<typeof person>[1]) => tilesOf(person('b', more)).map(tile => tile.connection)
  expect(said({})).toEqual(['good'])
  expect(said({ camera: { ...camera, streaming: 'inactive' } })).toEqual(['paused'])
  expect(said({ camera: { ...camera, streaming: 'restoring' } })).toEqual(['weak'])
  expect(said({ camera: { ...camera, streaming: 'interrupted' } })).toEqual(['lost'])
  // What a switched-off camera does is of no interest, unlike its owner being out of reach.
  expect(said({ camera: { ...camera, streaming: 'inactive', muted: true } })).toEqual(['good'])
  expect(said({ camera: null, reachable: false })).toEqual(['lost'])
  expect(said({ reachable: false, screen: screenOf('b') })).toEqual(['lost', 'lost'])
})
