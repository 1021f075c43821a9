// In and out of the room, and back into it: one stream, one room, and the wait between two of them.

import { nicknameOf, roomLocalpart } from '../room/name.ts'
import { JoinError, type OwnPresence, Room, type RoomExit, type RoomHandlers, requestConference } from '../room/room.ts'
import { randomHex } from '../stanza/id.ts'
import { StreamError, XmppStream } from '../stream/stream.ts'
import type { ConnectionState, FailureCode, JoinOptions } from '../types.ts'
import { mayRetry, retryAfterMs, signallingLost } from './reconnect.ts'
import type { ConferenceState } from './state.ts'

const LEAVE_TIMEOUT_MS = 1_000

/** Our place in a room: valid until the stream is gone. */
export interface Seat {
  readonly stream: XmppStream
  readonly room: Room
}

export interface ConnectionHandlers extends Omit<RoomHandlers, 'self' | 'out'> {
  /** What the room is to know about us, who go by this id in it. */
  presence(id: string): OwnPresence
  /** The seat is lost: what hung on it must go. */
  dropped(): void
  /** It is over; called once. */
  over(): void
}

export class Connection {
  readonly #options: JoinOptions
  readonly #state: ConferenceState
  readonly #handlers: ConnectionHandlers
  /** The service knows this client by it while the page lives. */
  readonly #machine = randomHex(16)
  #stream: XmppStream | null = null
  #seat: Seat | null = null
  /** Counts connections begun: what an older one still has to say is of no interest. */
  #generation = 0
  #tries = 0
  #retry: { timer: ReturnType<typeof setTimeout>; now(): void } | null = null
  #over = false
  #farewell: Promise<void> = Promise.resolve()

  constructor(options: JoinOptions, state: ConferenceState, handlers: ConnectionHandlers) {
    this.#options = options
    this.#state = state
    this.#handlers = handlers
  }

  get seat(): Seat | null {
    return this.#seat
  }

  get over(): boolean {
    return this.#over
  }

  /** Begins; later tries follow by themselves. */
  start(): void {
    void this.#connect()
  }

  /** Skips the wait between two tries. */
  retryNow(): void {
    this.#retry?.now()
  }

  /** The connection is gone: everything but the local tracks starts anew. */
  lost(): void {
    if (this.#over) return
    this.#generation++
    this.#drop()
    const next = signallingLost(this.#state.snapshot.connection, ++this.#tries, Date.now())
    if (next.phase === 'failed') {
      this.#end(next)
      return
    }
    const now = () => {
      clearTimeout(this.#retry?.timer)
      this.#retry = null
      void this.#connect()
    }
    this.#retry = { timer: setTimeout(now, retryAfterMs(this.#tries, Math.random())), now }
    this.#state.setConnection(next)
  }

  fail(code: FailureCode): void {
    this.#end({ phase: 'failed', code })
  }

  /** Resolves when the service knows, or stays silent for too long. */
  async leave(): Promise<void> {
    this.#end({ phase: 'left' })
    await this.#farewell
  }

  async #connect(): Promise<void> {
    const { server, signal, password } = this.#options
    const { name } = this.#state.snapshot.room
    const generation = ++this.#generation
    const stale = () => this.#over || generation !== this.#generation
    try {
      const stream = await XmppStream.open({ url: server.webSocketUrl, domain: server.domain, room: name, signal })
      if (stale()) {
        stream.close()
        return
      }
      this.#stream = stream
      stream.onLost = (condition) => {
        if (condition === 'conflict') this.fail('conflict')
        else this.lost()
      }
      const jid = `${roomLocalpart(name)}@${server.mucDomain}`
      await requestConference(stream, server.focus ?? `focus.${server.domain}`, jid, this.#machine)
      if (stale()) return
      const room = this.#room(stream, jid)
      this.#seat = { stream, room }
      await room.join(password)
      if (stale()) return
      this.#tries = 0
      this.#state.setConnection({ phase: 'joined' })
    } catch (error) {
      if (!stale()) this.#refused(error)
    }
  }

  #room(stream: XmppStream, jid: string): Room {
    const id = nicknameOf(stream.jid)
    return new Room(stream, jid, id, this.#handlers.presence(id), {
      ...this.#handlers,
      self: (role) => this.#state.patch('self', { role, id }),
      out: (how) => this.#out(how)
    })
  }

  #refused(error: unknown): void {
    const { connection } = this.#state.snapshot
    if (error instanceof StreamError && error.refused) this.fail('not-authorized')
    else if (error instanceof JoinError && !(error.transient && mayRetry(connection, this.#tries))) this.fail(error.code)
    else this.lost()
  }

  #out(how: RoomExit): void {
    if (how.kind === 'kicked') this.#end({ phase: 'kicked', by: how.by, reason: how.reason })
    else if (how.kind === 'removed') this.lost()
    else this.fail(how.kind)
  }

  #drop(): void {
    this.#handlers.dropped()
    void this.#seat?.room.leave()
    this.#seat = null
    if (!this.#stream) return
    this.#stream.onLost = () => {}
    this.#stream.close()
    this.#stream = null
  }

  #end(connection: ConnectionState): void {
    if (this.#over) return
    this.#over = true
    clearTimeout(this.#retry?.timer)
    this.#retry = null
    this.#farewell = this.#sayFarewell()
    this.#drop()
    this.#handlers.over()
    this.#state.setConnection(connection)
  }

  /** Takes the stream along: it closes once the room has answered, or stays silent for too long. */
  async #sayFarewell(): Promise<void> {
    const stream = this.#stream
    const room = this.#seat?.room
    this.#stream = null
    this.#seat = null
    if (!stream) return
    let timer: ReturnType<typeof setTimeout> | undefined
    const enough = new Promise<void>((resolve) => {
      stream.onLost = () => resolve()
      timer = setTimeout(resolve, LEAVE_TIMEOUT_MS)
    })
    await Promise.race([room?.leave(), enough])
    clearTimeout(timer)
    stream.close()
  }
}
