// Messages between people over the bridge channel that every client knows: reactions, and hands lowered.

import type { OccupantId, Reaction } from '../types.ts'
import type { ConferenceState } from './state.ts'

export const REACTIONS: readonly Reaction[] = ['like', 'clap', 'laugh', 'surprised', 'boo', 'silence', 'love']
/** Somebody may press a button that often before a message goes out. */
const MOST_AT_ONCE = 20

/** What goes out for some reactions. */
export function reactionMessage(reactions: readonly Reaction[]): Readonly<Record<string, unknown>> {
  return { name: 'endpoint-reaction', reactions, timestamp: Date.now() }
}

/** Acts on a message, if it is one of these. */
export function handleGesture(
  state: ConferenceState,
  from: OccupantId,
  payload: Readonly<Record<string, unknown>>,
  lowerHand: () => void
): void {
  const sender = state.snapshot.occupants.find(({ id }) => id === from)
  if (payload['name'] === 'endpoint-reaction' && Array.isArray(payload['reactions'])) {
    const known = payload['reactions'].filter((name): name is Reaction => REACTIONS.includes(name as Reaction))
    if (sender && known.length > 0) state.emit('reaction', { from, reactions: known.slice(0, MOST_AT_ONCE) })
  }
  if (payload['name'] === 'lower-hand-message' && sender?.role === 'moderator' && state.snapshot.self.handRaisedAt !== null) {
    lowerHand()
    state.emit('handLowered', { by: from })
  }
}
