// A WebSocket whose other end is the test.

import { type Element, parse } from 'ltx'
import { vi } from 'vitest'

export class FakeSocket {
  static readonly OPEN = 1
  static all: FakeSocket[] = []
  /** Answers what the client sends; null leaves it unanswered. */
  static service: ((frame: string, socket: FakeSocket) => void) | null = null
  /** Told of each new socket once its maker has had time to listen. */
  static door: ((socket: FakeSocket) => void) | null = null

  readonly url: string
  readonly protocols: string | undefined
  readyState = 0
  readonly sent: string[] = []
  onopen: (() => void) | null = null
  onmessage: ((event: { data: string }) => void) | null = null
  onclose: (() => void) | null = null
  onerror: (() => void) | null = null

  constructor(url: string, protocols?: string) {
    if (!/^wss?:/u.test(url)) throw new SyntaxError('not an address of a socket')
    this.url = url
    this.protocols = protocols
    FakeSocket.all.push(this)
    queueMicrotask(() => FakeSocket.door?.(this))
  }

  /** The latest one made. */
  static get last(): FakeSocket {
    const last = FakeSocket.all.at(-1)
    if (!last) throw new Error('no socket was made')
    return last
  }

  send(text: string): void {
    if (this.readyState !== 1) return
    this.sent.push(text)
    FakeSocket.service?.(text, this)
  }

  close(): void {
    if (this.readyState === 3) return
    this.readyState = 3
    queueMicrotask(() => this.onclose?.())
  }

  // -- the other end --

  accept(): void {
    this.readyState = 1
    this.onopen?.()
  }

  refuse(): void {
    this.readyState = 3
    this.onerror?.()
    this.onclose?.()
  }

  say(text: string): void {
    this.onmessage?.({ data: text })
  }

  drop(): void {
    this.readyState = 3
    this.onclose?.()
  }

  /** What was sent last, parsed. */
  get heard(): Element {
    const text = this.sent.at(-1)
    if (text === undefined) throw new Error('nothing was sent')
    return parse(text)
  }
}

export function installSockets(): void {
  FakeSocket.all = []
  FakeSocket.service = null
  FakeSocket.door = null
  vi.stubGlobal('WebSocket', FakeSocket)
}

/** Lets everything that is ready run, without letting time pass. */
export async function settle(): Promise<void> {
  await vi.advanceTimersByTimeAsync(0)
}

export async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms)
}

export const JID = '4a1f09c2-77d0-4f10-8a52-5d9d1c0c3f1e@meet.example/Xk2pQ7'

const OPENED = '<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" from="meet.example" id="s1" version="1.0"/>'
const features = (inner: string) => `<stream:features xmlns:stream="http://etherx.jabber.org/streams">${inner}</stream:features>`

/** The server's half of a login, frame by frame, each with what it answers to. */
export const LOGIN: readonly (readonly [heard: string, said: readonly string[]])[] = [
  ['<open ', [OPENED, features('<mechanisms xmlns="urn:ietf:params:xml:ns:xmpp-sasl"><mechanism>ANONYMOUS</mechanism></mechanisms>')]],
  ['<auth ', ['<success xmlns="urn:ietf:params:xml:ns:xmpp-sasl"/>']],
  ['<open ', [OPENED, features('<bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/>')]],
  [
    '<iq ',
    [
      `<iq type="result" id="bind" xmlns="jabber:client"><bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"><jid>${JID}</jid></bind></iq>`
    ]
  ]
]

/** The last step before an address is bound, of a service with stream management. */
export const MANAGED: (typeof LOGIN)[number] = [
  '<open ',
  [OPENED, features('<bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/><sm xmlns="urn:xmpp:sm:3"/>')]
]

/** Plays the login on a socket that is open; throws when the client says something else. */
export async function logIn(socket: FakeSocket): Promise<void> {
  let step = 0
  for (const [heard, said] of LOGIN) {
    await settle()
    const frame = socket.sent[step++]
    if (!frame?.startsWith(heard)) throw new Error(`${heard} was expected, not ${frame}`)
    for (const one of said) socket.say(one)
  }
  await settle()
}
