// In and out of the room, and back into it: one stream, one room, and the wait between two of them.

import { nicknameOf, roomLocalpart } from '../room/name.ts'
import { JoinError } from '../room/join.ts'
import { type OwnPresence, Room, type RoomExit, type RoomHandlers } from '../room/room.ts'
import { randomHex } from '../stanza/id.ts'
import { StreamError } from '../stream/error.ts'
import { XmppStream } from '../stream/stream.ts'
import type { ConnectionState, FailureCode, JoinOptions, MediaMode } from '../types.ts'
import { Door } from './door.ts'
import { inRoom, mayRetry, retryAfterMs, signallingLost } from './reconnect.ts'
import type { ConferenceState } from './state.ts'

const LEAVE_TIMEOUT_MS = 1_000

/** Our place in a room: valid until the stream is gone. */
export interface Seat {
  readonly stream: XmppStream
  readonly room: Room
}

export interface ConnectionHandlers extends Omit<RoomHandlers, 'out' | 'invited'> {
  /** What the room is to know about us, who go by this id in it. */
  presence(id: string): OwnPresence
  /** What of media the room is for, before we are in it; null if the service did not say. */
  answered(mode: MediaMode | null): void
  /** We are in the room, for the first time or anew. */
  entered(seat: Seat): void
  /** The socket was gone, and nothing else: all that was said meanwhile is heard now. */
  resumed(): void
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
  #door: Door | null = null
  #password: string | undefined
  #suspended = false
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
    this.#password = options.password
  }

  /** Without a socket for a moment: what is said waits. */
  get suspended(): boolean {
    return this.#suspended
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

  tryPassword(password: string): void {
    this.#door?.tryPassword(password)
  }

  /** The connection is gone: everything but the local tracks starts anew. */
  lost(): void {
    if (this.#over) return
    this.#generation++
    this.#drop()
    this.#tryAgain(() => void this.#connect())
  }

  fail(code: FailureCode, text?: string): void {
    this.#end(text === undefined ? { phase: 'failed', code } : { phase: 'failed', code, text })
  }

  /** Resolves when the service knows, or stays silent for too long; `atOnce` says farewell and waits for nobody. */
  async leave(atOnce: boolean): Promise<void> {
    if (atOnce && !this.#over) {
      this.#stream?.close()
      this.#stream = null
    }
    this.#end({ phase: 'left' })
    await this.#farewell
  }

  #tryAgain(what: () => void, aim: 'join' | 'resume' = 'join'): void {
    const next = signallingLost(this.#state.snapshot.connection, ++this.#tries, Date.now())
    if (next.phase === 'failed') {
      this.#end(next)
      return
    }
    const now = () => {
      clearTimeout(this.#retry?.timer)
      this.#retry = null
      what()
    }
    this.#retry = { timer: setTimeout(now, retryAfterMs(this.#tries, Math.random(), aim)), now }
    this.#state.setConnection(next)
  }

  async #connect(): Promise<void> {
    const { server, signal, token } = this.#options
    const { name } = this.#state.snapshot.room
    const generation = ++this.#generation
    const stale = () => this.#over || generation !== this.#generation
    try {
      const stream = await XmppStream.open({ url: server.webSocketUrl, domain: server.domain, room: name, token, signal })
      if (stale()) {
        stream.close()
        return
      }
      this.#stream = stream
      stream.onLost = (condition, resumable) => this.#streamLost(condition, resumable)
      const jid = `${roomLocalpart(name)}@${server.mucDomain}`
      const room = this.#room(stream, jid)
      const seat = { stream, room }
      this.#seat = seat
      const focus = server.focus ?? `focus.${server.domain}`
      const answered = (mode: MediaMode | null) => this.#handlers.answered(mode)
      const door = new Door({ state: this.#state, stream, room, focus, jid, machine: this.#machine, answered }, this.#password)
      this.#door = door
      await door.enter()
      if (stale()) return
      this.#password = door.password
      this.#tries = 0
      this.#state.setConnection({ phase: 'joined' })
      this.#handlers.entered(seat)
    } catch (error) {
      if (!stale()) this.#refused(error)
    }
  }

  #streamLost(condition: string | null, resumable: boolean): void {
    if (condition === 'conflict') this.fail('conflict')
    else if (resumable && inRoom(this.#state.snapshot.connection)) {
      this.#suspended = true
      this.#tryAgain(() => void this.#resume(), 'resume')
    } else this.lost()
  }

  /** Goes on where the socket went; when that cannot be, joins anew. */
  async #resume(): Promise<void> {
    const stream = this.#stream
    if (!stream || this.#over) return
    const generation = ++this.#generation
    const stale = () => this.#over || generation !== this.#generation
    try {
      const goesOn = await stream.resume()
      if (stale()) return
      if (!goesOn) {
        this.#drop()
        void this.#connect()
        return
      }
    } catch (error) {
      if (stale()) return
      if (error instanceof StreamError && error.refused) this.lost()
      else this.#tryAgain(() => void this.#resume(), 'resume')
      return
    }
    this.#suspended = false
    this.#tries = 0
    this.#state.setConnection({ phase: 'joined' })
    this.#handlers.resumed()
  }

  #room(stream: XmppStream, jid: string): Room {
    const id = nicknameOf(stream.jid)
    return new Room(stream, jid, id, this.#handlers.presence(id), {
      ...this.#handlers,
      self: (role) => {
        this.#state.patch('self', { id })
        this.#handlers.self(role)
      },
      invited: (password) => this.#door?.admitted(password),
      out: (how) => this.#out(how)
    })
  }

  #refused(error: unknown): void {
    const { connection } = this.#state.snapshot
    if (error instanceof StreamError && error.refused) this.fail('not-authorized', error.text ?? undefined)
    else if (error instanceof JoinError && !(error.transient && mayRetry(connection, this.#tries))) {
      this.fail(error.code, error.text ?? undefined)
    } else this.lost()
  }

  #out(how: RoomExit): void {
    if (how.kind === 'kicked') this.#end({ phase: 'kicked', by: how.by, reason: how.reason })
    else if (how.kind === 'removed') this.lost()
    else this.fail(how.kind)
  }

  #drop(): void {
    this.#tellUnheard()
    this.#suspended = false
    this.#handlers.dropped()
    this.#door?.close()
    this.#door = null
    void this.#seat?.room.leave()
    this.#seat = null
    if (!this.#stream) return
    this.#stream.onLost = () => {}
    this.#stream.close()
    this.#stream = null
  }

  /** What was said and may never have arrived is said to be so, rather than silently lost. */
  #tellUnheard(): void {
    if (!this.#suspended || this.#over) return
    for (const stanza of this.#stream?.unacknowledged ?? []) {
      const { id } = stanza.attrs as { id?: string }
      if (id !== undefined && stanza.is('message') && stanza.getChild('body')) this.#handlers.messageRefused(id)
    }
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
    if (this.#suspended) {
      stream.close()
      return
    }
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
