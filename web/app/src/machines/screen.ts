/** Which screen is shown, as one tagged union and one reducer; no side effects. */
import type { ConnectionState, FailureCode } from '@althing/core'

export type Screen =
  | { readonly at: 'welcome' }
  | { readonly at: 'prejoin'; readonly room: string }
  | { readonly at: 'connecting'; readonly room: string }
  /** `back` while a reloaded page returns to its meeting. */
  | { readonly at: 'meeting'; readonly room: string; readonly since: number; readonly back: boolean }
  | { readonly at: 'ended'; readonly room: string; readonly minutes: number; readonly byModerator: boolean }
  | { readonly at: 'kicked'; readonly room: string; readonly by: string | null; readonly reason: string | null }
  | {
      readonly at: 'error'
      readonly room: string | null
      readonly code: FailureCode
      /** When the page tries again by itself, milliseconds since the epoch; null when it does not. */
      readonly retryAt: number | null
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
const PASSING: ReadonlySet<FailureCode> = new Set(['unreachable', 'request-refused', 'no-bridge', 'room-full'])
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
  if (screen.at !== 'connecting' && screen.at !== 'meeting') return screen
  const { state, now } = event
  switch (state.phase) {
    case 'connecting':
    case 'reconnecting':
      return screen
    case 'joined':
      if (screen.at === 'meeting' && !screen.back) return screen
      return { at: 'meeting', room: screen.room, since: screen.at === 'meeting' ? screen.since : now, back: false }
    case 'left':
      return leave(screen, now, false)
    case 'kicked':
      return { at: 'kicked', room: screen.room, by: event.byName ?? null, reason: state.reason }
    case 'failed': {
      if (state.code === 'destroyed') return leave(screen, now, true)
      const wait = RETRY_FROM_MS + RETRY_SPREAD_MS * event.jitter
      const retryAt = PASSING.has(state.code) ? now + wait : null
      return { at: 'error', room: screen.room, code: state.code, retryAt }
    }
  }
}

function leave(screen: Screen, now: number, byModerator: boolean): Screen {
  if (screen.at === 'connecting') return { at: 'prejoin', room: screen.room }
  if (screen.at !== 'meeting') return screen
  return { at: 'ended', room: screen.room, minutes: Math.round((now - screen.since) / 60_000), byModerator }
}
