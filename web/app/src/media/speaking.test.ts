import { expect, test } from 'vitest'
import { SpeakingGate } from './speaking.ts'

function heard(levels: [now: number, level: number][]): boolean[] {
  const gate = new SpeakingGate()
  return levels.map(([now, level]) => {
    gate.hear(level, now)
    return gate.speaking
  })
}

test('on after 80 ms of sound', () => {
  expect(heard([[0, 0.4], [79, 0.4], [80, 0.4]])).toEqual([false, false, true])
})

test('a click of 50 ms lights nothing', () => {
  expect(heard([[0, 0.9], [50, 0], [100, 0.9], [150, 0]])).toEqual([false, false, false, false])
})

test('off after 400 ms of silence, not between words', () => {
  const on: [number, number][] = [[0, 0.4], [100, 0.4]]
  expect(heard([...on, [200, 0], [500, 0], [550, 0.4], [600, 0], [999, 0], [1000, 0]])).toEqual([
    false, true, true, true, true, true, true, false
  ])
})
