// In front of a room: the lobby, seen by somebody who waits in it (protocol 4 §9).

import type { Element } from 'ltx'
import { el } from '../stanza/build.ts'
import { NS } from '../stanza/ns.ts'
import type { XmppStream } from '../stream/stream.ts'

/** How waiting ends. `open`: the lobby is gone, the room may be tried again. */
export type KnockEnd = 'denied' | 'ended' | 'open'

export class Knock {
  /** Resolves when waiting is over other than by being let in. */
  readonly over: Promise<KnockEnd>
  readonly #stream: XmppStream
  readonly #address: string
  readonly #unlisten: () => void
  #end: (end: KnockEnd) => void = () => {}
  #gone = false

  /** Knocks: `lobby` is the address of the lobby room, `id` what we are called in rooms. */
  constructor(stream: XmppStream, lobby: string, id: string, name: string | null) {
    this.#stream = stream
    this.#address = `${lobby}/${id}`
    this.over = new Promise((resolve) => {
      this.#end = resolve
    })
    this.#unlisten = stream.listen(lobby, (stanza) => this.#heard(stanza))
    const named = name === null ? [] : [el('nick', NS.nick, {}, name)]
    stream.send(el('presence', NS.client, { to: this.#address }, el('x', NS.muc), ...named))
  }

  leave(): void {
    this.#unlisten()
    if (this.#gone) return
    this.#gone = true
    this.#stream.send(el('presence', NS.client, { to: this.#address, type: 'unavailable' }))
  }

  #heard(stanza: Element): void {
    if (!stanza.is('presence') || stanza.attrs['from'] !== this.#address) return
    const type = stanza.attrs['type']
    if (type !== 'error' && type !== 'unavailable') return
    this.#gone = true
    // A lobby that does not take us is none: the room itself says what is the matter.
    this.#end(type === 'error' ? 'open' : endOf(stanza))
  }
}

function endOf(stanza: Element): KnockEnd {
  const user = stanza.getChild('x', NS.mucUser)
  const codes = user?.getChildren('status').map((status) => status.attrs['code']) ?? []
  if (codes.includes('307') || codes.includes('301')) return 'denied'
  const destroy = user?.getChild('destroy')
  return destroy && destroy.attrs['jid'] === undefined ? 'ended' : 'open'
}
