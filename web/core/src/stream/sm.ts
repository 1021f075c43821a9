// Stream management (XEP-0198) without a socket: what was sent is kept until the service has it.

import type { Element } from 'ltx'
import { el } from '../stanza/build.ts'
import { NS } from '../stanza/ns.ts'

/** So many stanzas of ours without a word make us ask. */
const ASK_EVERY = 5
/** More unacknowledged than this, and going on is given up rather than memory. */
const MOST_KEPT = 1_000
const WRAP = 2 ** 32

export class Management {
  /** Names the session to the service; a secret. Null until the service has said that it may be gone on with. */
  #id: string | null = null
  #enabled = false
  /** Stanzas of the service that we have. */
  #handled = 0
  #acknowledged = 0
  #kept: Element[] = []
  #keeps = true
  #sinceAsked = 0
  /** How long the service keeps the session of a socket that is gone, in milliseconds. */
  keptForMs = 0

  /** Null when the session cannot be gone on with. */
  get previous(): string | null {
    return this.#id
  }

  /** What the service may not have, oldest first. */
  get unacknowledged(): readonly Element[] {
    return this.#kept
  }

  enable(): Element {
    return el('enable', NS.sm, { resume: 'true' })
  }

  resume(): Element {
    return el('resume', NS.sm, { h: String(this.#handled), previd: this.#id ?? undefined })
  }

  /** A stanza goes out; whether the service is to be asked what it has. */
  sent(stanza: Element): boolean {
    if (!this.#keeps) return false
    this.#kept.push(stanza)
    if (this.#kept.length > MOST_KEPT) this.#giveUp()
    if (++this.#sinceAsked < ASK_EVERY || !this.#enabled) return false
    this.#sinceAsked = 0
    return true
  }

  /** A stanza has come. */
  heard(): void {
    if (this.#enabled) this.#handled = (this.#handled + 1) % WRAP
  }

  /** An element of stream management has come; gives what it is answered, if anything. */
  take(element: Element): Element | null {
    switch (element.getName()) {
      case 'enabled':
        this.#enabledBy(element)
        return null
      case 'a':
        this.#forget(Number(element.attrs['h']))
        return null
      case 'r':
        return el('a', NS.sm, { h: String(this.#handled) })
      default:
        this.#giveUp()
        return null
    }
  }

  /** The service goes on with the session; gives what it has to be sent again. */
  resumed(answer: Element): readonly Element[] {
    this.#forget(Number(answer.attrs['h']))
    this.#sinceAsked = 0
    return this.#kept
  }

  #enabledBy(element: Element): void {
    this.#enabled = true
    const { id, resume, max } = element.attrs as Record<string, string | undefined>
    if (!id || (resume !== 'true' && resume !== '1')) return
    this.#id = id
    this.keptForMs = Number(max) > 0 ? Number(max) * 1_000 : 60_000
  }

  #giveUp(): void {
    this.#id = null
    this.#keeps = false
    this.#kept = []
  }

  #forget(handled: number): void {
    const count = (handled - this.#acknowledged + WRAP) % WRAP
    // Nonsense: it cannot have more than it was sent.
    if (!Number.isInteger(handled) || count > this.#kept.length) return
    this.#acknowledged = handled
    this.#kept = this.#kept.slice(count)
  }
}
