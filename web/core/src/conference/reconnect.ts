// The one state machine of a join, as plain transitions: no timers, no sockets.

import type { ConnectionState } from '../types.ts'

const FIRST_RETRY_MS = 500
const LONGEST_RETRY_MS = 8_000
/** Between two tries to go on where we were: that costs nobody anything, and our place is kept for a minute. */
const LONGEST_RESUME_MS = 3_000
/** A first join that cannot reach the server fails after this many tries; a lost one never gives up. */
const FIRST_JOIN_TRIES = 3
/** Before the first restart of the media session: the path may only have been slow. */
const MEDIA_RETRY_MS = 2_000
/** The focus offers anew at most this often (protocol 2 §11.1). */
export const SOONEST_OFFER_MS = 5_000
const LATER_MEDIA_RETRY_MS = 6_000
/** How long a path may be silent before it is doubted. Browsers give it up after fifteen seconds, which is too long. */
const DOUBTED_AFTER_MS = 1_000
/** From then until a session is ended for a new one: the path may still come back. */
const DOUBTED_RETRY_MS = 1_000
/** How long the service may take to answer once a path that was silent speaks again. */
export const PROVE_MS = 2_000
/** Sessions ended before the browser had given them up, a minute; the focus offers five times in one. */
const MOST_DOUBTED = 3
export const DOUBTS_COUNT_MS = 60_000

export type Reconnecting = Extract<ConnectionState, { phase: 'reconnecting' }>

/** The socket is gone, or a try did not get through: the `tries`th in a row. */
export function signallingLost(before: ConnectionState, tries: number, now: number): ConnectionState {
  // Whoever waits at a door comes back to it.
  if (before.phase === 'asking') return before
  if (before.phase !== 'connecting') {
    return { phase: 'reconnecting', what: 'signalling', since: troubleSince(before, now), attempt: tries }
  }
  return tries < FIRST_JOIN_TRIES ? before : { phase: 'failed', code: 'unreachable' }
}

/** Whether a refusal that may pass is worth another try. */
export function mayRetry(before: ConnectionState, triesSoFar: number): boolean {
  return before.phase !== 'connecting' || triesSoFar + 1 < FIRST_JOIN_TRIES
}

/** How long to wait before the next try; `chance`, 0 to 1, keeps a room from coming back all at once. */
export function retryAfterMs(tries: number, chance: number, what: 'join' | 'resume' = 'join'): number {
  const longest = what === 'join' ? LONGEST_RETRY_MS : LONGEST_RESUME_MS
  return Math.min(FIRST_RETRY_MS * 2 ** (tries - 1), longest) * (0.75 + chance / 2)
}

/** Whether the room hears us: it does while only media are being repaired. */
export function inRoom(connection: ConnectionState): boolean {
  return connection.phase === 'joined' || (connection.phase === 'reconnecting' && connection.what === 'media')
}

/** The path to the bridge is gone, the room is not. */
export function mediaLost(before: ConnectionState, now: number): Reconnecting {
  const attempt = before.phase === 'reconnecting' ? before.attempt + 1 : 1
  return { phase: 'reconnecting', what: 'media', since: troubleSince(before, now), attempt }
}

/** Media flows again, or is not needed any more. */
export function mediaBack(before: ConnectionState): ConnectionState {
  return before.phase === 'reconnecting' && before.what === 'media' ? { phase: 'joined' } : before
}

/**
 * What is wrong with a media session: it does not work; its path is silent, and a word would mend it; or it broke
 * while the service was out of reach, which was wait enough.
 */
export type Fault = 'broken' | 'silent' | 'overdue'

/** From a media session's failure until it is ended for a new one, which was last done at `askedAt`. */
export function mediaRetryAfterMs({ attempt }: Reconnecting, fault: Fault, askedAt: number, now: number): number {
  const waits = { broken: attempt === 1 ? MEDIA_RETRY_MS : LATER_MEDIA_RETRY_MS, silent: DOUBTED_RETRY_MS, overdue: 0 }
  return Math.max(waits[fault], askedAt + SOONEST_OFFER_MS - now)
}

/**
 * How long a silent path is waited for when this many were given up within the last minute; null is for as long
 * as the browser does.
 */
export function doubtedAfterMs(lately: number): number | null {
  return lately < MOST_DOUBTED ? DOUBTED_AFTER_MS * 4 ** lately : null
}

function troubleSince(before: ConnectionState, now: number): number {
  return before.phase === 'reconnecting' ? before.since : now
}
