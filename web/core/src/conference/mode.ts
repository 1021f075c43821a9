// What of media the room is for: the answer to the request for the conference says it, else the room's
// metadata, else the page. In an audio hall nobody has a camera or a screen to show.

import { readMediaMode } from '../room/join.ts'
import type { MediaMode, MediaRole } from '../types.ts'
import type { ConferenceState } from './state.ts'

export class Mode {
  readonly #state: ConferenceState
  readonly #switchOff: (kind: MediaRole) => void
  /** The answer said it: the metadata say no more. */
  #answered = false

  constructor(state: ConferenceState, switchOff: (kind: MediaRole) => void) {
    this.#state = state
    this.#switchOff = switchOff
  }

  get audioOnly(): boolean {
    return this.#state.snapshot.room.media === 'audio'
  }

  /** The service answered; null if it did not say. */
  answered(mode: MediaMode | null): void {
    this.#answered = mode !== null
    if (mode !== null) this.#be(mode)
  }

  /** A message of the service; only metadata are of interest. */
  heard({ type, metadata }: Readonly<Record<string, unknown>>): void {
    if (this.#answered || type !== 'room_metadata' || typeof metadata !== 'object' || metadata === null) return
    const mode = readMediaMode((metadata as { readonly media?: unknown }).media)
    if (mode !== null) this.#be(mode)
  }

  #be(mode: MediaMode): void {
    this.#state.patch('room', { media: mode })
    if (mode === 'audio') for (const kind of ['camera', 'screen'] as const) this.#switchOff(kind)
  }
}
