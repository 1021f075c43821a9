import { expect, test } from 'vitest'
import { FakeConference, deviceOn, person, screenOf } from '../test/fake.ts'
import { matches, rosterOf } from './roster.ts'

const { self } = new FakeConference().snapshot

test('moderators, oneself, the rest by name; each with what it sends', () => {
  const occupants = [
    person('z', { name: 'Zoe' }),
    person('m', { name: 'Mo', role: 'moderator', screen: screenOf('m') }),
    person('a', { name: 'Ana', audio: null, camera: null })
  ]
  const roster = rosterOf({ self: { ...self, name: 'Kim', microphone: deviceOn }, occupants })
  expect(roster.map(one => one.id)).toEqual(['m', 'me', 'a', 'z'])
  expect(roster[0]).toMatchObject({ own: false, microphone: true, camera: true, sharing: true })
  expect(roster[1]).toMatchObject({ own: true, microphone: true, camera: false, sharing: false })
  expect(roster[2]).toMatchObject({ microphone: false, camera: false })
  expect(rosterOf({ self: { ...self, role: 'moderator' }, occupants })[0]!.id).toBe('me')
})

test('a search finds names whatever their accents', () => {
  expect([matches('Ana Díaz', ' diaz '), matches('Ana', 'díaz'), matches('Bo', '')]).toEqual([true, false, true])
})
