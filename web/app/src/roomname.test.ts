import { expect, test } from 'vitest'
import { placeOf, pathOf } from './page.ts'
import { newRoomName, ROOM_NAME_BITS } from './roomname.ts'

const random = (into: Uint8Array<ArrayBuffer>) => crypto.getRandomValues(into)

test('a name has at least 60 bits', () => {
  expect(ROOM_NAME_BITS).toBeGreaterThanOrEqual(60)
})

test('every list has 64 words, so that no byte favours one', () => {
  expect(ROOM_NAME_BITS).toBe(3 * 6 + 9 * 5)
})

test('two names differ, read well and survive the way through an address', () => {
  const names = [newRoomName(random), newRoomName(random)]
  expect(names[0]).not.toBe(names[1])
  for (const name of names) {
    expect(name).toMatch(/^[a-z]+-[a-z]+-[a-z]+-[a-z0-9]{9}$/)
    expect(placeOf(pathOf(name, null)).room).toBe(name)
  }
})
