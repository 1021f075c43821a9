// How the room is set, what the service can do, and who waits in the lobby: asked when we come in, and
// again whenever the room says that something changed.

import { type Components, type RoomInfo, askRoom, askService } from '../room/info.ts'
import { LobbyWatch } from '../room/lobby.ts'
import type { Knocker } from '../types.ts'
import type { Seat } from './connection.ts'
import type { Occupants } from './occupants.ts'
import type { ConferenceState } from './state.ts'

export class Gate {
  readonly #state: ConferenceState
  readonly #occupants: Occupants
  readonly #domain: string
  #seat: Seat | null = null
  #components: Components = new Map()
  #info: RoomInfo = { locked: false, lobby: null, startedAt: null }
  #watch: LobbyWatch | null = null
  readonly #since = new Map<string, number>()
  /** Counts questions to the room: an answer that a newer one has overtaken is of no interest. */
  #asked = 0

  constructor(state: ConferenceState, occupants: Occupants, domain: string) {
    this.#state = state
    this.#occupants = occupants
    this.#domain = domain
  }

  get locked(): boolean {
    return this.#info.locked
  }

  get lobby(): string | null {
    return this.#info.lobby
  }

  get watch(): LobbyWatch | null {
    return this.#watch
  }

  component(type: string): string | null {
    return this.#components.get(type) ?? null
  }

  entered(seat: Seat): void {
    this.#seat = seat
    void this.#askService(seat)
    this.changed()
  }

  /** The room says that its settings changed. */
  changed(): void {
    if (this.#seat) void this.#askRoom(this.#seat, ++this.#asked)
  }

  /** Our own role, or who is inside, changed. */
  refresh(): void {
    const { role } = this.#state.snapshot.self
    const wanted = role === 'moderator' ? this.#info.lobby : null
    if (this.#watch && this.#watch.address !== wanted) {
      this.#watch.leave()
      this.#watch = null
    }
    if (!this.#watch && wanted !== null && this.#seat) {
      const { stream, room } = this.#seat
      this.#watch = new LobbyWatch(stream, wanted, room.id, () => this.#showKnocking())
    }
    this.#showKnocking()
  }

  dropped(): void {
    this.#seat = null
    this.#watch = null
    this.#info = { locked: false, lobby: null, startedAt: null }
    this.#since.clear()
    this.#state.set({ knocking: [] })
  }

  async #askService(seat: Seat): Promise<void> {
    const components = await askService(seat.stream, this.#domain).catch(() => null)
    if (!components || seat !== this.#seat) return
    this.#components = components
    const can = {
      lobby: components.has('lobbyrooms'),
      rules: components.has('av_moderation'),
      endForAll: components.has('end_conference')
    }
    this.#state.set({ can })
  }

  async #askRoom(seat: Seat, asked: number): Promise<void> {
    const info = await askRoom(seat.stream, seat.room.jid).catch(() => null)
    if (!info || seat !== this.#seat || asked !== this.#asked) return
    this.#info = info
    this.#state.patch('room', { locked: info.locked, lobby: info.lobby !== null })
    if (info.startedAt !== null && this.#state.snapshot.room.startedAt === null) {
      this.#state.patch('room', { startedAt: info.startedAt })
    }
    this.refresh()
  }

  #showKnocking(): void {
    const waiting = this.#watch?.waiting.filter(({ id }) => this.#occupants.jid(id) === null) ?? []
    const before = this.#state.snapshot.knocking
    for (const id of this.#since.keys()) if (!waiting.some((one) => one.id === id)) this.#since.delete(id)
    const knocking: Knocker[] = waiting.map(({ id, name }) => {
      const since = this.#since.get(id) ?? Date.now()
      this.#since.set(id, since)
      return before.find((one) => one.id === id && one.name === name) ?? { id, name, since }
    })
    const fresh = knocking.filter(({ id }) => !before.some((one) => one.id === id))
    if (fresh.length === 0 && knocking.length === before.length && knocking.every((one, at) => one === before[at])) return
    this.#state.set({ knocking })
    for (const knocker of fresh) this.#state.emit('knock', knocker)
  }
}
