// XMPP over WebSocket (RFC 7395): one stanza a frame. Pings; goes on over another socket (XEP-0198).

import { type Element, parse } from 'ltx'
import { StanzaError, el, iq } from '../stanza/build.ts'
import { NS } from '../stanza/ns.ts'
import { StreamError } from './error.ts'
import { Frames, logIn } from './login.ts'
import { Management } from './sm.ts'

const PING_EVERY_MS = 10_000
const PING_TIMEOUT_MS = 5_000
/** Two pings unanswered in a row: the socket is dead, whatever the system says. */
const PING_LIMIT = 2
const REQUEST_TIMEOUT_MS = 10_000
/** From a new socket until an old stream goes on: what hangs is tried again sooner than a system would. */
const RESUME_TIMEOUT_MS = 6_000

export interface StreamOptions {
  readonly url: string
  readonly domain: string
  readonly room: string
  /** Who we are, signed by somebody the service trusts. Only ever in the address of the socket. */
  readonly token?: string | undefined
  readonly signal?: AbortSignal | undefined
  /** The WebSocket class, for tests and other runtimes. */
  readonly WebSocket?: typeof WebSocket | undefined
}

interface Waiting {
  /** Who must answer; anybody else's answer is not one. */
  readonly to: string
  resolve(stanza: Element): void
  reject(error: Error): void
  timer: ReturnType<typeof setTimeout>
}

export class XmppStream {
  /** Our full address. */
  readonly jid: string
  /** Every stanza that is no answer to a request of ours, and that nobody `listen`s to. */
  onStanza: (stanza: Element) => void = () => {}
  /**
   * The socket is gone, and it was not `close` that did it. With `resumable`, everything is kept, and what is
   * sent waits, for `resume` to go on with; `condition` names the stream error, if there was one.
   */
  onLost: (condition: string | null, resumable: boolean) => void = () => {}

  readonly #options: StreamOptions
  readonly #waiting = new Map<string, Waiting>()
  readonly #listeners = new Map<string, (stanza: Element) => void>()
  #management: Management | null
  #socket: WebSocket
  #connected = true
  #nextId = 0
  #closed = false
  #lostAt = 0
  #heard = false
  #missed = 0
  #pinger: ReturnType<typeof setInterval> | undefined

  private constructor(socket: WebSocket, jid: string, managed: boolean, options: StreamOptions) {
    this.#socket = socket
    this.jid = jid
    this.#options = options
    this.#management = managed ? new Management() : null
    if (this.#management) socket.send(this.#management.enable().toString())
  }

  /** Connects, logs in and binds. */
  static async open(options: StreamOptions): Promise<XmppStream> {
    const { socket, frames } = connect(options)
    try {
      const login = await logIn(socket, frames, options)
      const { jid, managed } = await login.bind()
      const stream = new XmppStream(socket, jid, managed, options)
      stream.#adopt(socket, frames)
      return stream
    } catch (error) {
      abandon(socket)
      throw error
    }
  }

  /**
   * Goes on over a new socket after a loss that was `resumable`: nothing that was said on either side is lost.
   * False when the service does not know the session any more; rejects when it cannot be reached.
   */
  async resume(): Promise<boolean> {
    const management = this.#management
    const previous = management?.previous
    if (this.#closed || !management || !previous || Date.now() - this.#lostAt > management.keptForMs) return false
    const { socket, frames } = connect(this.#options, previous)
    try {
      const login = await logIn(socket, frames, this.#options, RESUME_TIMEOUT_MS)
      const answer = await login.resume(management.resume())
      if (!answer || this.#closed) {
        abandon(socket)
        return false
      }
      const again = management.resumed(answer)
      this.#socket = socket
      this.#connected = true
      for (const stanza of again) socket.send(stanza.toString())
      this.#adopt(socket, frames)
      return true
    } catch (error) {
      abandon(socket)
      throw error
    }
  }

  /** Takes what comes from one address, until the function it gives is called. */
  listen(address: string, listener: (stanza: Element) => void): () => void {
    this.#listeners.set(address, listener)
    return () => {
      if (this.#listeners.get(address) === listener) this.#listeners.delete(address)
    }
  }

  /** What the service may never have got. */
  get unacknowledged(): readonly Element[] {
    return this.#management?.unacknowledged ?? []
  }

  send(stanza: Element): void {
    if (this.#closed) return
    const ask = this.#management?.sent(stanza) ?? false
    if (!this.#connected) return
    this.#socket.send(stanza.toString())
    if (ask) this.#socket.send(el('r', NS.sm).toString())
  }

  /** A fresh stanza id. */
  id(): string {
    return `a${++this.#nextId}`
  }

  /** Sends an IQ and waits for its answer; an error answer rejects with `StanzaError`. */
  request(type: 'get' | 'set', to: string, payload: Element, timeoutMs = REQUEST_TIMEOUT_MS): Promise<Element> {
    if (this.#closed) return Promise.reject(new StreamError('the connection is gone'))
    const id = this.id()
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id)
        reject(new StreamError('no answer'))
      }, timeoutMs)
      this.#waiting.set(id, { to, resolve, reject, timer })
      this.send(iq(type, { id, to }, payload))
    })
  }

  /** Whether the service answers within a few seconds. */
  async ping(timeoutMs = PING_TIMEOUT_MS): Promise<boolean> {
    try {
      await this.request('get', this.#options.domain, el('ping', NS.ping), timeoutMs)
      return true
    } catch (error) {
      // A refusal is a sign of life as well.
      return error instanceof StanzaError
    }
  }

  /** Leaves a socket on which nobody answers, to `resume`; false when that cannot be, and it stays. */
  giveUp(): boolean {
    if ((this.#management?.previous ?? null) === null) return false
    this.#lost(null)
    return true
  }

  /** Leaves everything and closes. Not reported as lost. */
  close(): void {
    if (this.#closed) return
    if (this.#connected) {
      this.#socket.send(el('presence', NS.client, { type: 'unavailable' }).toString())
      this.#socket.send(`<close xmlns="${NS.framing}" />`)
    }
    this.#end()
    this.#socket.close()
  }

  #adopt(socket: WebSocket, frames: Frames): void {
    this.#heard = false
    this.#missed = 0
    socket.onmessage = (event) => socket === this.#socket && this.#text(String(event.data))
    socket.onclose = () => socket === this.#socket && this.#lost(null)
    socket.onerror = socket.onopen = null
    this.#pinger = setInterval(() => void this.#pingIfSilent(), PING_EVERY_MS)
    for (const frame of frames.rest()) this.#frame(frame)
  }

  #text(text: string): void {
    let frame: Element
    try {
      frame = parse(text)
    } catch {
      return
    }
    this.#frame(frame)
  }

  #frame(stanza: Element): void {
    if (this.#closed || !this.#connected) return
    this.#heard = true
    this.#missed = 0
    if (stanza.is('error', NS.stream)) {
      this.#lost(stanza.getChildElements()[0]?.name ?? 'undefined-condition')
      return
    }
    if (stanza.getNS() === NS.sm) {
      const answer = this.#management?.take(stanza)
      if (answer) this.#socket.send(answer.toString())
      return
    }
    this.#management?.heard()
    if (stanza.is('iq') && (stanza.attrs['type'] === 'result' || stanza.attrs['type'] === 'error')) {
      this.#answer(stanza)
      return
    }
    const from = stanza.attrs['from']?.split('/', 1)[0] ?? ''
    const listener = this.#listeners.get(from) ?? this.onStanza
    listener(stanza)
  }

  #answer(stanza: Element): void {
    const id = stanza.attrs['id'] ?? ''
    const waiting = this.#waiting.get(id)
    // Ids are easily guessed: an occupant must not be able to answer for the service.
    const from = stanza.attrs['from']
    if (!waiting || (from !== undefined && from !== waiting.to)) return
    this.#waiting.delete(id)
    clearTimeout(waiting.timer)
    if (stanza.attrs['type'] === 'result') waiting.resolve(stanza)
    else waiting.reject(new StanzaError(stanza))
  }

  async #pingIfSilent(): Promise<void> {
    const heard = this.#heard
    this.#heard = false
    if (heard || (await this.ping())) return
    if (++this.#missed >= PING_LIMIT) this.#lost(null)
  }

  #lost(condition: string | null): void {
    if (this.#closed || !this.#connected) return
    const resumable = condition === null && (this.#management?.previous ?? null) !== null
    clearInterval(this.#pinger)
    this.#connected = false
    this.#lostAt = Date.now()
    this.#socket.close()
    if (!resumable) this.#end()
    this.onLost(condition, resumable)
  }

  #end(): void {
    this.#closed = true
    clearInterval(this.#pinger)
    for (const waiting of this.#waiting.values()) {
      clearTimeout(waiting.timer)
      waiting.reject(new StreamError('the connection is gone'))
    }
    this.#waiting.clear()
  }
}

function connect({ url, room, token, WebSocket: Socket = WebSocket }: StreamOptions, previous?: string) {
  const address = new URL(url)
  address.searchParams.set('room', room)
  if (token !== undefined) address.searchParams.set('token', token)
  if (previous !== undefined) address.searchParams.set('previd', previous)
  const socket = new Socket(address.href, 'xmpp')
  return { socket, frames: new Frames(socket) }
}

function abandon(socket: WebSocket): void {
  socket.onopen = socket.onerror = socket.onmessage = socket.onclose = null
  socket.close()
}
