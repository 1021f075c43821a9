// XMPP over WebSocket (RFC 7395): one stanza a frame. Opens, logs in anonymously, binds, pings.

import { Element, parse } from 'ltx'
import { StanzaError, el, iq } from '../stanza/build.ts'
import { NS } from '../stanza/ns.ts'

const PING_EVERY_MS = 10_000
const PING_TIMEOUT_MS = 5_000
/** Two pings unanswered in a row: the socket is dead, whatever the system says. */
const PING_LIMIT = 2
const REQUEST_TIMEOUT_MS = 10_000
const OPEN_TIMEOUT_MS = 15_000

export interface StreamOptions {
  readonly url: string
  readonly domain: string
  readonly room: string
  readonly signal?: AbortSignal | undefined
  /** The WebSocket class, for tests and other runtimes. */
  readonly WebSocket?: typeof WebSocket | undefined
}

/** Why a stream could not be opened: the network, or the server's no. */
export class StreamError extends Error {
  readonly refused: boolean
  constructor(message: string, refused: boolean) {
    super(message)
    this.refused = refused
  }
}

interface Waiting {
  resolve(stanza: Element): void
  reject(error: Error): void
  timer: ReturnType<typeof setTimeout>
}

export class XmppStream {
  /** Our full address. */
  readonly jid: string
  /** Every stanza that is no answer to a request of ours. */
  onStanza: (stanza: Element) => void = () => {}
  /** The socket is gone, and it was not `close` that did it. */
  onLost: () => void = () => {}

  readonly #socket: WebSocket
  readonly #domain: string
  readonly #waiting = new Map<string, Waiting>()
  #nextId = 0
  #closed = false
  #heard = false
  #missed = 0
  readonly #pinger: ReturnType<typeof setInterval>

  private constructor(socket: WebSocket, jid: string, domain: string) {
    this.#socket = socket
    this.jid = jid
    this.#domain = domain
    socket.onmessage = (event) => this.#frame(String(event.data))
    socket.onclose = () => this.#lost()
    this.#pinger = setInterval(() => void this.#ping(), PING_EVERY_MS)
  }

  /** Connects, logs in and binds. */
  static async open(options: StreamOptions): Promise<XmppStream> {
    const url = new URL(options.url)
    url.searchParams.set('room', options.room)
    const Socket = options.WebSocket ?? WebSocket
    const socket = new Socket(url.href, 'xmpp')
    try {
      return new XmppStream(socket, await handshake(socket, options), options.domain)
    } catch (error) {
      socket.onclose = null
      socket.close()
      throw error
    }
  }

  send(stanza: Element): void {
    if (!this.#closed) this.#socket.send(stanza.toString())
  }

  /** A fresh stanza id. */
  id(): string {
    return `a${++this.#nextId}`
  }

  /** Sends an IQ and waits for its answer; an error answer rejects with `StanzaError`. */
  request(type: 'get' | 'set', to: string | undefined, payload: Element, timeoutMs = REQUEST_TIMEOUT_MS): Promise<Element> {
    const id = this.id()
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id)
        reject(new StreamError('no answer', false))
      }, timeoutMs)
      this.#waiting.set(id, { resolve, reject, timer })
      this.send(iq(type, { id, to }, payload))
    })
  }

  /** Leaves everything and closes. Not reported as lost. */
  close(): void {
    if (this.#closed) return
    this.send(el('presence', NS.client, { type: 'unavailable' }))
    this.#socket.send(`<close xmlns="${NS.framing}" />`)
    this.#end()
    this.#socket.close()
  }

  #frame(text: string): void {
    this.#heard = true
    let stanza: Element
    try {
      stanza = parse(text)
    } catch {
      return
    }
    if (stanza.is('iq') && (stanza.attrs['type'] === 'result' || stanza.attrs['type'] === 'error')) {
      const waiting = this.#waiting.get(stanza.attrs['id'] ?? '')
      if (waiting) {
        this.#waiting.delete(stanza.attrs['id'] ?? '')
        clearTimeout(waiting.timer)
        if (stanza.attrs['type'] === 'result') waiting.resolve(stanza)
        else waiting.reject(new StanzaError(stanza))
        return
      }
    }
    this.onStanza(stanza)
  }

  async #ping(): Promise<void> {
    const heard = this.#heard
    this.#heard = false
    if (heard) return
    try {
      await this.request('get', this.#domain, el('ping', NS.ping), PING_TIMEOUT_MS)
      this.#missed = 0
    } catch {
      if (++this.#missed >= PING_LIMIT) this.#lost()
    }
  }

  #lost(): void {
    if (this.#closed) return
    this.#end()
    this.#socket.close()
    this.onLost()
  }

  #end(): void {
    this.#closed = true
    clearInterval(this.#pinger)
    for (const waiting of this.#waiting.values()) {
      clearTimeout(waiting.timer)
      waiting.reject(new StreamError('the connection is gone', false))
    }
    this.#waiting.clear()
  }
}

/** The frames of a login, in order; what each must be, and what is sent after it. */
async function handshake(socket: WebSocket, options: StreamOptions): Promise<string> {
  const next = frames(socket, options.signal)
  const open = el('open', NS.framing, { to: options.domain, version: '1.0' }).toString()
  const expect = async (name: string): Promise<Element> => {
    const frame = await next()
    if (frame.getName() !== name) throw new StreamError(`<${frame.name}> instead of <${name}>`, true)
    return frame
  }
  await opened(socket, options.signal)
  socket.send(open)
  await expect('open')
  await expect('features')
  socket.send(el('auth', NS.sasl, { mechanism: 'ANONYMOUS' }).toString())
  await expect('success')
  socket.send(open)
  await expect('open')
  await expect('features')
  socket.send(iq('set', { id: 'bind' }, el('bind', NS.bind)).toString())
  const bound = await expect('iq')
  const jid = bound.getChild('bind', NS.bind)?.getChildText('jid')
  if (!jid) throw new StreamError('no address was given', true)
  return jid
}

function opened(socket: WebSocket, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new StreamError('the socket does not open', false)), OPEN_TIMEOUT_MS)
    const done = (error?: StreamError) => {
      clearTimeout(timer)
      if (error) reject(error)
      else resolve()
    }
    socket.onopen = () => done()
    socket.onerror = () => done(new StreamError('the socket does not open', false))
    signal?.addEventListener('abort', () => done(new StreamError('aborted', false)), { once: true })
  })
}

/** A pull for frames: each call gives the next one. */
function frames(socket: WebSocket, signal: AbortSignal | undefined): () => Promise<Element> {
  const queue: Element[] = []
  let wanted: { resolve(frame: Element): void; reject(error: Error): void } | null = null
  let failure: StreamError | null = null
  const fail = (error: StreamError) => {
    failure = error
    wanted?.reject(error)
    wanted = null
  }
  socket.onmessage = (event) => {
    let frame: Element
    try {
      frame = parse(String(event.data))
    } catch {
      fail(new StreamError('not XML', true))
      return
    }
    if (wanted) wanted.resolve(frame)
    else queue.push(frame)
    wanted = null
  }
  socket.onclose = () => fail(new StreamError('the socket closed during login', false))
  signal?.addEventListener('abort', () => fail(new StreamError('aborted', false)), { once: true })
  return () =>
    new Promise((resolve, reject) => {
      const frame = queue.shift()
      if (frame) resolve(frame)
      else if (failure) reject(failure)
      else wanted = { resolve, reject }
    })
}
