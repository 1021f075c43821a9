/** Which screen is shown, as one tagged union and one reducer; no side effects. */
import type { ConnectionState, FailureCode } from '@althing/core'

/** The room asks something, or makes us wait; the preview goes on beside it. */
export type AskingScreen =
  | { readonly at: 'password'; readonly room: string; readonly wrong: boolean }
  /** For somebody inside, or for a host; `since` in milliseconds since the epoch. */
  | { readonly at: 'lobby' | 'waithost'; readonly room: string; readonly since: number; readonly wrong: boolean }
  /** Not let in: `until` then, asking again is not offered. Full: then the page tries again. */
  | { readonly at: 'denied' | 'full'; readonly room: string; readonly until: number }

export type Screen =
  | { readonly at: 'welcome' }
  /** `nameNeeded` when the room takes nobody without one. */
  | { readonly at: 'prejoin'; readonly room: string; readonly nameNeeded?: true }
  | { readonly at: 'connecting'; readonly room: string }
  /** `back` while a reloaded page returns to its meeting. */
  | { readonly at: 'meeting'; readonly room: string; readonly since: number; readonly back: boolean }
  | AskingScreen
  | { readonly at: 'ended'; readonly room: string; readonly minutes: number; readonly byModerator: boolean }
  | { readonly at: 'kicked'; readonly room: string; readonly by: string | null; readonly reason: string | null }
  | {
      readonly at: 'error'
      readonly room: string | null
      readonly code: FailureCode
      /** When the page tries again by itself, milliseconds since the epoch; null when it does not. */
      readonly retryAt: number | null
      /** What the service said about it. */
      readonly text?: string | undefined
    }

export type ScreenEvent =
  | { readonly type: 'open'; readonly room: string }
  | { readonly type: 'home' }
  | { readonly type: 'join' }
  /** A reloaded page goes straight back. */
  | { readonly type: 'rejoin'; readonly room: string; readonly now: number }
  | { readonly type: 'left'; readonly now: number }
  | {
      readonly type: 'connection'
      readonly state: ConnectionState
      readonly now: number
      /** Name of whoever removed us, if known. */
      readonly byName?: string | null
      /** 0 to 1, spreads automatic retries. */
      readonly jitter: number
    }
  | { readonly type: 'unusable'; readonly code: FailureCode }

export const start: Screen = { at: 'welcome' }

/** Failures that may pass by waiting. */
const PASSING: ReadonlySet<FailureCode> = new Set(['unreachable', 'server-full', 'server-restarting', 'request-refused', 'no-bridge'])
const FULL_RETRY_MS = 20_000
const ASK_AGAIN_MS = 30_000
const RETRY_FROM_MS = 10_000
const RETRY_SPREAD_MS = 20_000

export function nextScreen(screen: Screen, event: ScreenEvent): Screen {
  switch (event.type) {
    case 'open':
      return { at: 'prejoin', room: event.room }
    case 'home':
      return { at: 'welcome' }
    case 'join':
      return 'room' in screen && screen.room !== null && screen.at !== 'meeting'
        ? { at: 'connecting', room: screen.room }
        : screen
    case 'rejoin':
      return { at: 'meeting', room: event.room, since: event.now, back: true }
    case 'left':
      return leave(screen, event.now, false)
    case 'unusable':
      return { at: 'error', room: 'room' in screen ? screen.room : null, code: event.code, retryAt: null }
    case 'connection':
      return connection(screen, event)
  }
}

function connection(screen: Screen, event: Extract<ScreenEvent, { type: 'connection' }>): Screen {
  if (screen.at !== 'meeting' && screen.at !== 'connecting' && !isWaiting(screen)) return screen
  const { state, now } = event
  const { room } = screen
  switch (state.phase) {
    case 'connecting':
    case 'reconnecting':
      return screen
    case 'asking':
      if (state.for === 'password') return { at: 'password', room, wrong: state.wrong }
      return { at: state.for === 'lobby' ? 'lobby' : 'waithost', room, since: state.since, wrong: state.wrong }
    case 'joined':
      if (screen.at === 'meeting' && !screen.back) return screen
      return { at: 'meeting', room: screen.room, since: screen.at === 'meeting' ? screen.since : now, back: false }
    case 'left':
      return leave(screen, now, false)
    case 'kicked':
      return { at: 'kicked', room: screen.room, by: event.byName ?? null, reason: state.reason }
    case 'failed': {
      if (state.code === 'destroyed') return leave(screen, now, true)
      if (state.code === 'denied') return { at: 'denied', room, until: now + ASK_AGAIN_MS }
      if (state.code === 'room-full') return { at: 'full', room, until: now + FULL_RETRY_MS }
      if (state.code === 'name-required') return { at: 'prejoin', room, nameNeeded: true }
      const wait = RETRY_FROM_MS + RETRY_SPREAD_MS * event.jitter
      const retryAt = PASSING.has(state.code) ? now + wait : null
      const said = state.text === undefined ? {} : { text: state.text }
      return { at: 'error', room, code: state.code, retryAt, ...said }
    }
  }
}

function leave(screen: Screen, now: number, byModerator: boolean): Screen {
  if (screen.at === 'meeting') return ended(screen, now, byModerator)
  // Waiting in front of a meeting that ends: it was not ours, but it is over.
  if (byModerator && 'room' in screen && screen.room !== null) return { at: 'ended', room: screen.room, minutes: 0, byModerator }
  return keepsPreview(screen) ? { at: 'prejoin', room: screen.room } : screen
}

function ended(screen: Extract<Screen, { at: 'meeting' }>, now: number, byModerator: boolean): Screen {
  return { at: 'ended', room: screen.room, minutes: Math.round((now - screen.since) / 60_000), byModerator }
}

type Before = AskingScreen | Extract<Screen, { at: 'prejoin' | 'connecting' }>

/** On the way in: the devices are open, and stay so. */
export function keepsPreview(screen: Screen): screen is Before {
  return screen.at === 'prejoin' || screen.at === 'connecting' || isAsking(screen)
}

export function isAsking(screen: Screen): screen is AskingScreen {
  return isWaiting(screen) || screen.at === 'denied' || screen.at === 'full'
}

/** At the door of a conference that still goes on. */
function isWaiting(screen: Screen): screen is Extract<AskingScreen, { at: 'password' | 'lobby' | 'waithost' }> {
  return screen.at === 'password' || screen.at === 'lobby' || screen.at === 'waithost'
}
