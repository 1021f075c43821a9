import { expect, test } from 'vitest'
import { Settings } from './settings.svelte.ts'

function store(saved?: unknown) {
  const kept = new Map<string, string>()
  if (saved !== undefined) kept.set('althing.settings.1', JSON.stringify(saved))
  return {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value)
  }
}

test('what was set is there on the next visit', () => {
  const shared = store()
  new Settings(shared).set('name', 'Ana')
  expect(new Settings(shared).values.name).toBe('Ana')
})

test('a broken or foreign store gives the defaults, field by field', () => {
  expect(new Settings(store('nonsense')).values.theme).toBe('system')
  const mixed = new Settings(store({ name: 7, mirror: false, microphoneId: 'usb', recent: {}, extra: 1 })).values
  expect(mixed).toMatchObject({ name: '', mirror: false, microphoneId: 'usb', recent: [] })
  expect(new Settings(null).values.cameraOn).toBe(true)
})

test('recent rooms: newest first, each once, at most thirty', () => {
  const settings = new Settings(store())
  for (let index = 0; index < 40; index++) {
    settings.remember({ path: `/room-${index}`, room: `room-${index}`, at: index, minutes: 1 })
  }
  settings.remember({ path: '/room-20', room: 'room-20', at: 99, minutes: 2 })
  expect(settings.values.recent).toHaveLength(30)
  expect(settings.values.recent.slice(0, 2).map(recent => recent.room)).toEqual(['room-20', 'room-39'])
  settings.forget('/room-20')
  expect(settings.values.recent[0]!.room).toBe('room-39')
})
