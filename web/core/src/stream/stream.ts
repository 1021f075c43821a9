// XMPP over WebSocket (RFC 7395): one stanza a frame. Opens, logs in anonymously, binds, pings.

import { Element, parse } from 'ltx'
import { StanzaError, el, iq } from '../stanza/build.ts'
import { NS } from '../stanza/ns.ts'

const PING_EVERY_MS = 10_000
const PING_TIMEOUT_MS = 5_000
/** Two pings unanswered in a row: the socket is dead, whatever the system says. */
const PING_LIMIT = 2
const REQUEST_TIMEOUT_MS = 10_000
/** From the first attempt to connect until the address is bound. */
const LOGIN_TIMEOUT_MS = 15_000

export interface StreamOptions {
  readonly url: string
  readonly domain: string
  readonly room: string
  readonly signal?: AbortSignal | undefined
  /** The WebSocket class, for tests and other runtimes. */
  readonly WebSocket?: typeof WebSocket | undefined
}

/** Why a stream could not be opened, or stopped answering. */
export class StreamError extends Error {
  /** The service refused the login: trying again is of no use. */
  readonly refused: boolean
  constructor(message: string, refused = false) {
    super(message)
    this.refused = refused
  }
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
  /** Every stanza that is no answer to a request of ours. */
  onStanza: (stanza: Element) => void = () => {}
  /** The socket is gone, and it was not `close` that did it. Names the stream error, if there was one. */
  onLost: (condition: string | null) => void = () => {}

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
    socket.onclose = () => this.#lost(null)
    this.#pinger = setInterval(() => void this.#ping(), PING_EVERY_MS)
  }

  /** Connects, logs in and binds. */
  static async open(options: StreamOptions): Promise<XmppStream> {
    const url = new URL(options.url)
    url.searchParams.set('room', options.room)
    const Socket = options.WebSocket ?? WebSocket
    const socket = new Socket(url.href, 'xmpp')
    try {
      return new XmppStream(socket, await login(socket, options), options.domain)
    } catch (error) {
      socket.onopen = socket.onerror = socket.onmessage = socket.onclose = null
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

  /** Leaves everything and closes. Not reported as lost. */
  close(): void {
    if (this.#closed) return
    this.send(el('presence', NS.client, { type: 'unavailable' }))
    this.#socket.send(`<close xmlns="${NS.framing}" />`)
    this.#end()
    this.#socket.close()
  }

  #frame(text: string): void {
    if (this.#closed) return
    this.#heard = true
    this.#missed = 0
    let stanza: Element
    try {
      stanza = parse(text)
    } catch {
      return
    }
    if (stanza.is('error', NS.stream)) {
      this.#lost(stanza.getChildElements()[0]?.name ?? 'undefined-condition')
      return
    }
    if (stanza.is('iq') && (stanza.attrs['type'] === 'result' || stanza.attrs['type'] === 'error')) {
      this.#answer(stanza)
      return
    }
    this.onStanza(stanza)
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

  async #ping(): Promise<void> {
    const heard = this.#heard
    this.#heard = false
    if (heard) return
    try {
      await this.request('get', this.#domain, el('ping', NS.ping), PING_TIMEOUT_MS)
    } catch (error) {
      // A refusal is a sign of life as well.
      if (!(error instanceof StanzaError) && ++this.#missed >= PING_LIMIT) this.#lost(null)
    }
  }

  #lost(condition: string | null): void {
    if (this.#closed) return
    this.#end()
    this.#socket.close()
    this.onLost(condition)
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

/** The frames of a login, in order: what each must be, and what is sent after it. Gives our address. */
async function login(socket: WebSocket, { domain, signal }: StreamOptions): Promise<string> {
  const frames = new Frames(socket)
  const abort = () => frames.fail(new StreamError('aborted'))
  const timer = setTimeout(() => frames.fail(new StreamError('the login takes too long')), LOGIN_TIMEOUT_MS)
  signal?.addEventListener('abort', abort)
  if (signal?.aborted) abort()
  const open = el('open', NS.framing, { to: domain, version: '1.0' }).toString()
  try {
    await frames.opened
    socket.send(open)
    await frames.expect('open')
    await frames.expect('features')
    socket.send(el('auth', NS.sasl, { mechanism: 'ANONYMOUS' }).toString())
    await frames.expect('success')
    socket.send(open)
    await frames.expect('open')
    await frames.expect('features')
    socket.send(iq('set', { id: 'bind' }, el('bind', NS.bind)).toString())
    const bound = await frames.expect('iq')
    const jid = bound.getChild('bind', NS.bind)?.getChildText('jid')
    if (!jid) throw new StreamError('no address was given')
    return jid
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', abort)
  }
}

/** A socket's frames, pulled one by one. */
class Frames {
  readonly opened: Promise<void>
  readonly #queue: Element[] = []
  #wanted: { resolve(frame: Element): void; reject(error: Error): void } | null = null
  #failure: StreamError | null = null
  #failOpening: (error: StreamError) => void = () => {}

  constructor(socket: WebSocket) {
    this.opened = new Promise((resolve, reject) => {
      this.#failOpening = reject
      socket.onopen = () => resolve()
    })
    socket.onerror = () => this.fail(new StreamError('the socket does not open'))
    socket.onclose = () => this.fail(new StreamError('the socket closed during login'))
    socket.onmessage = (event) => {
      try {
        this.#push(parse(String(event.data)))
      } catch {
        this.fail(new StreamError('not XML'))
      }
    }
  }

  /** The next frame, which must go by this name. */
  async expect(name: string): Promise<Element> {
    const frame = await this.#next()
    if (frame.getName() === name) return frame
    throw new StreamError(`<${frame.name}> instead of <${name}>`, frame.is('failure', NS.sasl))
  }

  fail(error: StreamError): void {
    this.#failure ??= error
    this.#failOpening(error)
    this.#wanted?.reject(error)
    this.#wanted = null
  }

  #push(frame: Element): void {
    if (this.#wanted) this.#wanted.resolve(frame)
    else this.#queue.push(frame)
    this.#wanted = null
  }

  #next(): Promise<Element> {
    return new Promise((resolve, reject) => {
      const frame = this.#queue.shift()
      if (frame) resolve(frame)
      else if (this.#failure) reject(this.#failure)
      else this.#wanted = { resolve, reject }
    })
  }
}
