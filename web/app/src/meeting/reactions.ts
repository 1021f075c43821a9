/** The reactions every client knows, as people see and press them. */
import type { Reaction } from '@althing/core'

export interface ReactionSign {
  readonly name: Reaction
  readonly sign: string
  /** With Alt. */
  readonly key: string
}

export const reactionSigns: readonly ReactionSign[] = [
  { name: 'like', sign: '👍', key: 'T' },
  { name: 'clap', sign: '👏', key: 'C' },
  { name: 'laugh', sign: '😀', key: 'L' },
  { name: 'surprised', sign: '😮', key: 'O' },
  { name: 'boo', sign: '👎', key: 'B' },
  { name: 'silence', sign: '🤫', key: 'S' },
  { name: 'love', sign: '❤️', key: 'H' }
]

export const REACTION_MS = 3000
export const MOST_REACTIONS = 50

/** One sign in the air. */
export interface Flying {
  readonly id: number
  readonly owner: string
  readonly sign: string
  /** 0 to 1: where it rises. */
  readonly at: number
  readonly until: number
}

export function signOf(name: Reaction): string {
  return reactionSigns.find(sign => sign.name === name)!.sign
}

/** The physical key, so that a layout which makes letters of Alt does no harm. */
export function reactionFor(event: Pick<KeyboardEvent, 'code' | 'altKey' | 'ctrlKey' | 'metaKey' | 'repeat'>): Reaction | null {
  if (!event.altKey || event.ctrlKey || event.metaKey || event.repeat) return null
  return reactionSigns.find(sign => event.code === `Key${sign.key}`)?.name ?? null
}

/** Adds what was just shown; the oldest go when the air is full. */
export function launch(flying: readonly Flying[], fresh: readonly Flying[], now: number): readonly Flying[] {
  return [...flying.filter(one => one.until > now), ...fresh].slice(-MOST_REACTIONS)
}
