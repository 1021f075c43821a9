/**
 * The bar that says what is broken and who repairs it. A short loss of signalling shows nothing;
 * a return is said only when the loss was shown.
 */
import type { ConnectionState } from '@althing/core'

export type Bar =
  | { readonly show: 'nothing' }
  /** Signalling went away a moment ago; `from` is when the bar would appear. */
  | { readonly show: 'soon'; readonly from: number }
  | { readonly show: 'signalling' }
  | { readonly show: 'media'; readonly attempt: number }
  /** The page slept and comes back. */
  | { readonly show: 'awake' }

export type BarEvent =
  | { readonly type: 'connection'; readonly state: ConnectionState; readonly now: number }
  | { readonly type: 'tick'; readonly now: number }
  | { readonly type: 'woke' }

export const calm: Bar = { show: 'nothing' }
export const GRACE_MS = 3000
/** A one-second tick later than this means that the machine slept. */
export const SLEPT_MS = 30_000

export function nextBar(bar: Bar, event: BarEvent): Bar {
  switch (event.type) {
    case 'woke':
      return bar.show === 'nothing' ? bar : { show: 'awake' }
    case 'tick':
      return bar.show === 'soon' && event.now >= bar.from ? { show: 'signalling' } : bar
    case 'connection':
      return connection(bar, event.state, event.now)
  }
}

/** Whether people should be told that it is over. */
export function isShown(bar: Bar): boolean {
  return bar.show !== 'nothing' && bar.show !== 'soon'
}

function connection(bar: Bar, state: ConnectionState, now: number): Bar {
  if (state.phase !== 'reconnecting') return calm
  if (bar.show === 'awake') return bar
  if (state.what === 'media') {
    return bar.show === 'media' && bar.attempt === state.attempt ? bar : { show: 'media', attempt: state.attempt }
  }
  if (bar.show === 'signalling' || bar.show === 'soon') return bar
  const from = state.since + GRACE_MS
  return now >= from ? { show: 'signalling' } : { show: 'soon', from }
}
