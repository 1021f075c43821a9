// Between a session and a room: the request for the conference, and whatever the room asks before it lets us in.

import { JoinError, requestConference } from '../room/join.ts'
import { Knock } from '../room/knock.ts'
import type { Room } from '../room/room.ts'
import { StreamError } from '../stream/error.ts'
import type { XmppStream } from '../stream/stream.ts'
import type { MediaMode } from '../types.ts'
import type { ConferenceState } from './state.ts'

/** Whoever waits for a host asks again so often (protocol 4 §23). */
const ASK_HOST_EVERY_MS = 5_000
/** A lobby that was there a moment ago and is not any more: the room is asked again, but not in a loop. */
const LOBBY_GONE_MS = 1_000

export interface DoorParts {
  readonly state: ConferenceState
  readonly stream: XmppStream
  readonly room: Room
  /** Takes requests for the conference. */
  readonly focus: string
  readonly jid: string
  readonly machine: string
  /** The service said what of media the room is for, or nothing of it. */
  answered(mode: MediaMode | null): void
}

/** What ended waiting: a password to try, somebody's hand, or nothing but time. */
type News = { readonly password: string } | 'time' | 'admitted' | 'denied' | 'ended' | 'open'

export class Door {
  readonly #parts: DoorParts
  #password: string | undefined
  #tried = 0
  #closed = false
  #knock: Knock | null = null
  #lobby: { readonly address: string; readonly awaitsHost: boolean } | null = null
  #waiter: ((news: News) => void) | null = null
  /** What happened while nobody waited for it: the room was being asked. */
  #missed: News | null = null
  #fail: (error: Error) => void = () => {}
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(parts: DoorParts, password: string | undefined) {
    this.#parts = parts
    this.#password = password
  }

  /** What let us in, for the next time. */
  get password(): string | undefined {
    return this.#password
  }

  /** Resolves inside. Rejects with `JoinError` when nothing can be done here, with `StreamError` without a service. */
  async enter(): Promise<void> {
    const { stream, room, focus, jid, machine, answered } = this.#parts
    try {
      for (;;) {
        try {
          answered(await requestConference(stream, focus, jid, machine))
          if (this.#closed) throw new StreamError('left')
          await room.join(this.#password)
          return
        } catch (error) {
          if (!(error instanceof JoinError)) throw error
          await this.#ask(error)
        }
      }
    } finally {
      clearTimeout(this.#timer)
      this.#knock?.leave()
    }
  }

  /** Somebody typed one. */
  tryPassword(password: string): void {
    this.#happened({ password })
  }

  /** Somebody inside let us in. */
  admitted(password: string | null): void {
    if (password !== null) this.#password = password
    this.#happened('admitted')
  }

  close(): void {
    this.#closed = true
    this.#fail(new StreamError('left'))
  }

  /** Resolves when it is worth trying again. */
  async #ask(error: JoinError): Promise<void> {
    const { state } = this.#parts
    if (error.code === 'members-only' && error.lobby !== null) {
      this.#lobby = { address: error.lobby, awaitsHost: error.awaitsHost }
    }
    // Whoever waits in a lobby and tries a wrong password still waits in the lobby.
    if (this.#lobby && (error.code === 'members-only' || (error.code === 'password-required' && this.#knock))) {
      await this.#askLobby(this.#lobby.address, this.#lobby.awaitsHost)
    } else if (error.code === 'password-required') {
      const wrong = this.#password !== undefined
      state.setConnection({ phase: 'asking', for: 'password', wrong, tried: this.#tried })
      this.#take(await this.#wait())
    } else if (error.awaitsHost) {
      this.#showWaiting('host', false)
      this.#take(await this.#wait(ASK_HOST_EVERY_MS))
    } else throw error
  }

  async #askLobby(lobby: string, awaitsHost: boolean): Promise<void> {
    const { state, stream, room } = this.#parts
    const wrong = this.#tried > 0 && this.#password !== undefined
    this.#password = undefined
    this.#showWaiting(awaitsHost ? 'host' : 'lobby', wrong)
    if (!this.#knock) {
      const knock = new Knock(stream, lobby, room.id, state.snapshot.self.name)
      this.#knock = knock
      void knock.over.then((end) => this.#happened(end))
    }
    const news = await this.#wait()
    if (news === 'denied') throw new JoinError('denied')
    if (news === 'ended') throw new JoinError('destroyed')
    if (news === 'open') {
      this.#knock.leave()
      this.#knock = null
      await this.#wait(LOBBY_GONE_MS)
    }
    this.#take(news)
  }

  #showWaiting(whom: 'lobby' | 'host', wrong: boolean): void {
    const { connection } = this.#parts.state.snapshot
    const waits = connection.phase === 'asking' && connection.for === whom
    const since = waits ? connection.since : Date.now()
    this.#parts.state.setConnection({ phase: 'asking', for: whom, since, wrong, tried: this.#tried })
  }

  #take(news: News): void {
    if (typeof news !== 'object') return
    this.#tried++
    this.#password = news.password
  }

  #happened(news: News): void {
    if (this.#waiter) this.#waiter(news)
    else this.#missed = news
  }

  async #wait(ms?: number): Promise<News> {
    if (this.#closed) throw new StreamError('left')
    const missed = this.#missed
    this.#missed = null
    if (missed !== null) return missed
    try {
      return await new Promise((resolve, reject) => {
        this.#waiter = resolve
        this.#fail = reject
        if (ms !== undefined) this.#timer = setTimeout(() => resolve('time'), ms)
      })
    } finally {
      clearTimeout(this.#timer)
      this.#waiter = null
      this.#fail = () => {}
    }
  }
}
