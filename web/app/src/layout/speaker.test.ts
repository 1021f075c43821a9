import { expect, test } from 'vitest'
import { emptyStage, forget, hear } from './speaker.ts'

test('the first speaker takes the stage at once', () => {
  expect(hear(emptyStage, 'bo', 0).holds).toBe('bo')
})

test('another takes it only after a second of being dominant', () => {
  const bo = hear(emptyStage, 'bo', 0)
  const coughed = hear(bo, 'chen', 5000)
  expect(coughed.holds).toBe('bo')
  expect(hear(coughed, 'bo', 5500)).toEqual({ holds: 'bo', waiting: null })
  expect(hear(coughed, 'chen', 5999).holds).toBe('bo')
  expect(hear(coughed, 'chen', 6000).holds).toBe('chen')
})

test('a third voice starts its own second', () => {
  const waiting = hear(hear(emptyStage, 'bo', 0), 'chen', 100)
  const third = hear(waiting, 'dee', 900)
  expect(hear(third, 'dee', 1200).holds).toBe('bo')
  expect(hear(third, 'dee', 1900).holds).toBe('dee')
})

test('silence and my own voice change nothing', () => {
  const bo = hear(emptyStage, 'bo', 0)
  expect(hear(bo, null, 9000)).toBe(bo)
})

test('whoever leaves gives the stage back', () => {
  const bo = hear(hear(emptyStage, 'bo', 0), 'chen', 100)
  expect(forget(bo, id => id !== 'bo')).toMatchObject({ holds: null, waiting: { id: 'chen' } })
  expect(forget(bo, () => true)).toBe(bo)
})
