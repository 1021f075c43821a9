// The lobby as moderators see it: who waits in it (protocol 4 §9.2).

import type { Element } from 'ltx'
import { el } from '../stanza/build.ts'
import { NS } from '../stanza/ns.ts'
import type { XmppStream } from '../stream/stream.ts'
import type { OccupantId } from '../types.ts'

/** More than these are not listed; whoever fills a lobby fills no memory. */
const MOST_WAITING = 500

export interface Waiting {
  readonly id: OccupantId
  readonly name: string | null
  /** Whole address, by which somebody is let in. */
  readonly jid: string
}

export class LobbyWatch {
  readonly address: string
  readonly #stream: XmppStream
  readonly #id: OccupantId
  readonly #changed: () => void
  readonly #unlisten: () => void
  readonly #waiting = new Map<OccupantId, Waiting>()

  constructor(stream: XmppStream, address: string, id: OccupantId, changed: () => void) {
    this.address = address
    this.#stream = stream
    this.#id = id
    this.#changed = changed
    this.#unlisten = stream.listen(address, (stanza) => this.#heard(stanza))
    stream.send(el('presence', NS.client, { to: `${address}/${id}` }, el('x', NS.muc)))
  }

  get waiting(): readonly Waiting[] {
    return [...this.#waiting.values()]
  }

  jid(id: OccupantId): string | null {
    return this.#waiting.get(id)?.jid ?? null
  }

  leave(): void {
    this.#unlisten()
    this.#stream.send(el('presence', NS.client, { to: `${this.address}/${this.#id}`, type: 'unavailable' }))
  }

  #heard(stanza: Element): void {
    const from = stanza.attrs['from'] ?? ''
    const id = from.slice(this.address.length + 1)
    if (!stanza.is('presence') || id === '' || id === this.#id) return
    if (stanza.attrs['type'] === 'unavailable') {
      if (this.#waiting.delete(id)) this.#changed()
      return
    }
    const item = stanza.getChild('x', NS.mucUser)?.getChild('item')
    const jid = item?.attrs['jid']
    if (stanza.attrs['type'] !== undefined || jid === undefined || item?.attrs['role'] === 'moderator') return
    if (this.#waiting.size >= MOST_WAITING && !this.#waiting.has(id)) return
    this.#waiting.set(id, { id, jid, name: stanza.getChildText('nick', NS.nick)?.trim() || null })
    this.#changed()
  }
}
