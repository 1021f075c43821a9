// @vitest-environment happy-dom
/** An audio hall, as a page shows it. */
import { flushSync } from 'svelte'
import { cleanup, render } from '@testing-library/svelte'
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import type { ConnectionState } from '@althing/core'
import { App } from './app.svelte.ts'
import AppView from './App.svelte'
import { readPageConfig, type PageConfig } from './page.ts'
import { Settings } from './settings.svelte.ts'
import { FakeConference, FakeMedia, frame, person } from './test/fake.ts'

let media: FakeMedia
let conference: FakeConference
let mode: string | undefined

beforeEach(() => {
  media = new FakeMedia()
  conference = new FakeConference()
  sessionStorage.clear()
  Object.assign(globalThis, { RTCPeerConnection: Object, isSecureContext: true })
})
afterEach(cleanup)

function open(config: PageConfig): App {
  history.replaceState(null, '', '/assembly')
  const core = {
    createLocalMedia: () => media.media,
    join: (options: { mode?: string | undefined }) => {
      mode = options.mode
      return conference.conference
    }
  }
  const settings = new Settings(null)
  settings.values.name = 'Ana'
  const app = new App(core, config, settings)
  app.boot()
  render(AppView, { app })
  flushSync()
  return app
}

const find = (selector: string) => document.querySelector<HTMLElement>(selector)

async function enter(app: App): Promise<void> {
  app.join()
  const state: ConnectionState = { phase: 'joined' }
  conference.say({ connection: state })
  conference.emit('connection', state)
  await frame()
  flushSync()
}

test('the page says what rooms are for', () => {
  const written = (text: string) => {
    document.body.innerHTML = `<script type="application/json" id="althing-config">${text}</script>`
    return readPageConfig(document).media
  }
  expect(written('{"media":"audio"}')).toBe('audio')
  expect(written('{"media":"video"}')).toBeUndefined()
  expect(written('{}')).toBeUndefined()
})

test('the page of a room says what that room is for, and nothing of others', () => {
  document.body.innerHTML = '<script type="application/json" id="althing-config">{"roomMedia":"audio"}</script>'
  const app = open(readPageConfig(document))
  expect(media.wanted).toEqual(['microphone on'])
  expect(app.hall).toBe(true)
  app.open({ tenant: null, room: 'standup' })
  expect(app.hall).toBe(false)
  app.open({ tenant: null, room: 'assembly' })
  expect(app.hall).toBe(true)
  cleanup()
  expect(open({ media: 'audio', roomMedia: 'all' }).hall).toBe(false)
})

test('before it nobody is asked for a camera', () => {
  open({ media: 'audio' })
  expect(media.wanted).toEqual(['microphone on'])
  expect(find('[data-audio-only]')).not.toBeNull()
  expect(find('[data-action=mic]')).not.toBeNull()
  expect(find('[data-action=camera]')).toBeNull()
  expect(document.body.textContent).not.toContain('Camera')
})

test('inside there are names, who speaks, and nothing of pictures', async () => {
  const muted = { source: 'b-a0', muted: true, track: null }
  conference.snapshot = {
    ...conference.snapshot,
    room: { ...conference.snapshot.room, media: 'audio' },
    occupants: [person('bo', { audio: muted, camera: null }), person('cy', { camera: null, handRaisedAt: 5, role: 'moderator' })],
    speaker: { id: 'cy', previous: ['bo', 'gone'], silence: false }
  }
  const app = open({ media: 'audio' })
  await enter(app)
  expect(mode).toBe('audio')
  expect(find('[data-view=hall]')).not.toBeNull()
  for (const gone of ['camera', 'camera-menu', 'share', 'layout', 'next-page']) expect(find(`[data-action=${gone}]`), gone).toBeNull()
  expect(document.querySelectorAll('video')).toHaveLength(0)
  const cards = [...document.querySelectorAll('[data-speaker]')]
  expect(cards.map(one => one.getAttribute('data-speaker'))).toEqual(['cy', 'bo'])
  expect(cards[0]!.hasAttribute('data-dominant')).toBe(true)
  expect([...document.querySelectorAll('[data-raised]')].map(one => one.getAttribute('data-raised'))).toEqual(['cy'])
  // Hosts first, then oneself.
  const people = [...document.querySelectorAll('[data-roster] [data-person]')]
  expect(people.map(one => one.getAttribute('data-person'))).toEqual(['cy', 'me', 'bo'])
  // The keys of what is not there do nothing.
  for (const key of ['v', 'd', 'w']) window.dispatchEvent(new KeyboardEvent('keydown', { key }))
  flushSync()
  expect(media.wanted).toEqual(['microphone on'])
  expect(find('[data-view=hall]')).not.toBeNull()
})

test('a room that turns out to be for all has its cameras', async () => {
  const app = open({ media: 'audio' })
  await enter(app)
  expect(find('[data-view=hall]')).toBeNull()
  expect(find('[data-action=camera]')).not.toBeNull()
})

test('a server without time for sound says so after a while', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'Date'] })
  onTestFinished(() => void vi.useRealTimers())
  conference.snapshot = { ...conference.snapshot, media: 'idle', occupants: [person('bo')] }
  await enter(open({}))
  vi.advanceTimersByTime(5_000)
  flushSync()
  expect(find('[data-media-waits]')).toBeNull()
  vi.advanceTimersByTime(3_000)
  flushSync()
  expect(find('[data-media-waits]')).not.toBeNull()
  conference.say({ media: 'connecting' })
  await frame()
  vi.advanceTimersByTime(1_000)
  flushSync()
  expect(find('[data-media-waits]')).toBeNull()
})
