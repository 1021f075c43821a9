// @vitest-environment happy-dom
import { flushSync } from 'svelte'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { deviceOn, FakeConference, frame, person, said, screenOf } from '../test/fake.ts'
import { Meeting } from './meeting.svelte.ts'

let fake: FakeConference
let meeting: Meeting

beforeEach(() => {
  fake = new FakeConference()
  meeting = new Meeting(fake.conference)
  meeting.area = { width: 1408, height: 756 }
  meeting.window = { width: 1440, height: 900 }
})
afterEach(() => meeting.dispose())

async function say(change: Parameters<FakeConference['say']>[0]): Promise<void> {
  fake.say(change)
  await frame()
  flushSync()
}

const people = (ids: string) => ids.split('').map(id => person(id))

test('several changes within a frame are shown once, the last one', async () => {
  fake.say({ occupants: people('b') })
  fake.say({ occupants: people('bc') })
  expect(meeting.people).toBe(1)
  await frame()
  expect(meeting.people).toBe(3)
})

test('alone, two, grid, share on stage and back', async () => {
  expect(meeting.scene.view).toBe('alone')
  await say({ occupants: people('b') })
  expect(meeting.scene.view).toBe('duo')
  await say({ occupants: people('bc') })
  expect(meeting.scene.view).toBe('grid')
  await say({ occupants: [person('b', { screen: screenOf('b') }), person('c')] })
  expect(meeting.scene.view).toBe('stage')
  expect(meeting.scene.placed.get('b-screen')?.role).toBe('stage')
  await say({ occupants: people('bc') })
  expect(meeting.scene.view).toBe('grid')
})

test('a chosen layout stays, a share takes the stage all the same, and the choice returns after it', async () => {
  await say({ occupants: people('bcd') })
  meeting.toggleLayout()
  expect(meeting.scene.view).toBe('stage')
  meeting.toggleLayout()
  expect(meeting.scene.view).toBe('grid')
  const sharing = [person('b', { screen: screenOf('b') }), person('c'), person('d')]
  await say({ occupants: sharing })
  expect(meeting.scene.view).toBe('stage')
  meeting.toggleLayout()
  expect(meeting.scene.view).toBe('grid')
  await say({ occupants: people('b') })
  expect(meeting.scene.view).toBe('grid')
})

test('exactly the visible sources are asked for', async () => {
  await say({ occupants: people('bcdefghi') })
  const last = fake.asked.at(-1)!
  expect(last.visible.map(one => one.source)).toEqual('bcdefghi'.split('').map(id => `${id}-v0`))
  expect(new Set(last.visible.map(one => one.maxHeight))).toEqual(new Set([360]))
  await say({ occupants: [person('b'), person('c', { camera: null })] })
  expect(fake.asked.at(-1)!.visible.map(one => one.source)).toEqual(['b-v0'])
})

test('off the page means not asked for', async () => {
  meeting.window = { width: 390, height: 844 }
  meeting.area = { width: 374, height: 620 }
  await say({ occupants: people('bcdefghijkl') })
  expect(fake.asked.at(-1)!.visible.map(one => one.source)).toEqual('bcdefgh'.split('').map(id => `${id}-v0`))
  meeting.turnPage(1)
  flushSync()
  expect(fake.asked.at(-1)!.visible.map(one => one.source)).toEqual('ijkl'.split('').map(id => `${id}-v0`))
})

test('a speaker from page two swaps into the first page, the others keep their place', async () => {
  meeting.window = { width: 390, height: 844 }
  meeting.area = { width: 374, height: 620 }
  await say({ occupants: people('bcdefghijkl') })
  const before = [...meeting.scene.placed.keys()]
  await say({ speaker: { id: 'k', previous: [], silence: false } })
  const after = [...meeting.scene.placed.keys()]
  expect(after).toContain('k')
  expect(after.filter((key, slot) => key === before[slot])).toHaveLength(7)
})

test('a pin takes the stage and goes with its person', async () => {
  await say({ occupants: people('bcd') })
  meeting.togglePin('c')
  expect(meeting.scene.placed.get('c')?.role).toBe('stage')
  await say({ occupants: people('bd') })
  expect(meeting.pinned).toEqual([])
  expect(meeting.scene.view).toBe('grid')
})

test('my own voice never takes my stage', async () => {
  await say({ occupants: people('bcd'), speaker: { id: 'b', previous: [], silence: false } })
  meeting.setMode('stage')
  await say({ speaker: { id: 'me', previous: ['b'], silence: false } })
  expect(meeting.scene.placed.get('b')?.role).toBe('stage')
})

test('my own screen is a quiet card, never the stage', async () => {
  await say({ occupants: people('bc'), self: { ...fake.snapshot.self, screen: deviceOn } })
  expect(meeting.scene.view).toBe('grid')
  expect(meeting.scene.placed.has('me-screen')).toBe(true)
  expect(meeting.tiles.find(tile => tile.key === 'me-screen')?.video).toBeNull()
})

test('unread counts what others wrote since the chat was closed', async () => {
  await say({ chat: [said('1', 'earlier', { history: true })] })
  expect(meeting.unread).toBe(0)
  await say({ chat: [...fake.snapshot.chat, said('2', 'hi'), said('3', 'mine', { own: true }), said('4', 'ho')] })
  expect(meeting.unread).toBe(2)
  meeting.openPanel('chat')
  expect(meeting.unread).toBe(0)
  await say({ chat: [...fake.snapshot.chat, said('5', 'seen')] })
  meeting.openPanel(null)
  expect(meeting.unread).toBe(0)
  await say({ chat: [...fake.snapshot.chat, said('6', 'new')] })
  expect(meeting.unread).toBe(1)
})

test('a tile that did not change keeps its record', async () => {
  const b = person('b')
  await say({ occupants: [b, person('c')] })
  const before = meeting.tiles.find(tile => tile.key === 'b')
  await say({ occupants: [b, person('c', { name: 'Chen' })] })
  expect(meeting.tiles.find(tile => tile.key === 'b')).toBe(before)
})

test('hands stand in the order they were raised', async () => {
  await say({ occupants: [person('b', { handRaisedAt: 30 }), person('c'), person('d', { handRaisedAt: 10 })] })
  expect(meeting.hands).toEqual(['d', 'b'])
})
