// What was said, oldest first.

import { randomHex } from '../stanza/id.ts'
import type { ChatMessage, OccupantId } from '../types.ts'
import type { Seat } from './connection.ts'
import type { ConferenceState } from './state.ts'

const CHAT_LIMIT = 500

export class Chat {
  readonly #state: ConferenceState

  constructor(state: ConferenceState) {
    this.#state = state
  }

  /** Says something to all, or to one; gives the message's id. */
  say({ room }: Seat, text: string, to?: OccupantId): string {
    const id = room.say(text, to)
    // The room echoes what is said to all, but not what is said to one.
    if (to !== undefined) {
      const { name } = this.#state.snapshot.self
      this.#keep({ id, from: room.id, name, own: true, isPrivate: true, to, text, at: Date.now(), history: false })
    }
    return id
  }

  heard(message: ChatMessage): void {
    const same = this.#state.snapshot.chat.find((known) => known.id === message.id)
    // A rejoin replays what is already here; anything else with a known id is another message.
    if (same && message.history && same.from === message.from && same.text === message.text) return
    const fresh = same ? { ...message, id: randomHex(8) } : message
    this.#keep(fresh)
    if (!message.history) this.#state.emit('chatMessage', fresh)
  }

  #keep(message: ChatMessage): void {
    this.#state.set({ chat: [...this.#state.snapshot.chat, message].slice(-CHAT_LIMIT) })
  }
}
