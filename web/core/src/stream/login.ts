// From an open socket to a session: what the frames of a login must be, in order, and what is sent after each.

import { type Element, parse } from 'ltx'
import { el, iq } from '../stanza/build.ts'
import { NS } from '../stanza/ns.ts'
import { StreamError } from './error.ts'

/** From the first attempt to connect until the address is bound. */
const LOGIN_TIMEOUT_MS = 15_000

/** Logged in; what remains is to take an address, or to go on with the one we had. */
export interface Login {
  bind(): Promise<{ readonly jid: string; readonly managed: boolean }>
  /** The service's word on how far it got, or null when it does not know the session. */
  resume(request: Element): Promise<Element | null>
}

export interface LoginOptions {
  readonly domain: string
  readonly signal?: AbortSignal | undefined
}

export async function logIn(
  socket: WebSocket,
  frames: Frames,
  { domain, signal }: LoginOptions,
  timeoutMs = LOGIN_TIMEOUT_MS
): Promise<Login> {
  const abort = () => frames.fail(new StreamError('aborted'))
  const timer = setTimeout(() => frames.fail(new StreamError('the login takes too long')), timeoutMs)
  const done = () => {
    clearTimeout(timer)
    signal?.removeEventListener('abort', abort)
  }
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
    const features = await frames.expect('features')
    return {
      bind: () => bind(socket, frames, features).finally(done),
      resume: (request) => resume(socket, frames, request).finally(done)
    }
  } catch (error) {
    done()
    throw error
  }
}

async function bind(socket: WebSocket, frames: Frames, features: Element) {
  socket.send(iq('set', { id: 'bind' }, el('bind', NS.bind)).toString())
  const bound = await frames.expect('iq')
  const jid = bound.getChild('bind', NS.bind)?.getChildText('jid')
  if (!jid) throw new StreamError('no address was given')
  return { jid, managed: features.getChild('sm', NS.sm) !== undefined }
}

async function resume(socket: WebSocket, frames: Frames, request: Element): Promise<Element | null> {
  socket.send(request.toString())
  const answer = await frames.expect('resumed', 'failed')
  return answer.getName() === 'resumed' ? answer : null
}

/** A socket's frames, pulled one by one. */
export class Frames {
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

  /** The next frame, which must go by one of these names. */
  async expect(...names: string[]): Promise<Element> {
    const frame = await this.#next()
    if (names.includes(frame.getName())) return frame
    const refused = frame.is('failure', NS.sasl)
    throw new StreamError(`<${frame.name}> instead of <${names[0]}>`, refused, refused ? frame.getChildText('text') : null)
  }

  /** What came on top of what was expected. */
  rest(): readonly Element[] {
    return this.#queue.splice(0)
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
