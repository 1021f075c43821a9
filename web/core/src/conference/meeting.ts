// A conference: its parts put together, and the commands of the application handed to them.

import type { Element } from 'ltx'
import { watchReceiverLevel } from '../media/level.ts'
import { normaliseRoomName } from '../room/name.ts'
import type { Present } from '../room/room.ts'
import type {
  Conference,
  ConferenceEvents,
  DeviceKind,
  JoinOptions,
  LeaveOptions,
  LocalMedia,
  LocalMediaSnapshot,
  MediaOutcome,
  MediaRole,
  OccupantId,
  Reaction,
  ReceiveConstraints,
  Role,
  ShareOptions,
  Snapshot
} from '../types.ts'
import { Chat } from './chat.ts'
import { Connection, type Seat } from './connection.ts'
import { handleFocusRequest } from './focus.ts'
import { Gate } from './gate.ts'
import { handleGesture, reactionMessage } from './gestures.ts'
import { MediaLink, switchOff } from './link.ts'
import { Mode } from './mode.ts'
import { Moderator } from './moderation.ts'
import { Occupants } from './occupants.ts'
import { OwnState } from './own.ts'
import { inRoom } from './reconnect.ts'
import { Rules } from './rules.ts'
import { ConferenceState } from './state.ts'

const STATS_EVERY_MS = 1_000
const AUDIO_ONLY: Promise<MediaOutcome> = Promise.resolve({ ok: false, code: 'audio-only' })
const MODERATED: Promise<MediaOutcome> = Promise.resolve({ ok: false, code: 'moderated' })

export class Meeting implements Conference {
  readonly media: LocalMedia
  readonly #ownsMedia: boolean
  readonly #state: ConferenceState
  readonly #own: OwnState
  readonly #occupants: Occupants
  readonly #chat: Chat
  readonly #connection: Connection
  readonly #link: MediaLink
  readonly #gate: Gate
  readonly #rules: Rules
  readonly #mode: Mode
  readonly moderation: Moderator
  /** Newcomers may have to start muted; who comes back is none. */
  #newcomer = true
  readonly #cleanups: (() => void)[] = []

  constructor(options: JoinOptions, media: LocalMedia, ownsMedia: boolean) {
    this.media = media
    this.#ownsMedia = ownsMedia
    this.#own = new OwnState(media, options.name?.trim() || null, options.codecs)
    this.#state = new ConferenceState(normaliseRoomName(options.room) ?? '', this.#own.name, options.mode ?? 'all', media.snapshot())
    this.#occupants = new Occupants((source) => this.#link.track(source))
    this.#chat = new Chat(this.#state)
    this.#gate = new Gate(this.#state, this.#occupants, options.server.domain)
    this.#rules = new Rules(this.#state, (kind) => switchOff(media, kind))
    this.#mode = new Mode(this.#state, (kind) => switchOff(media, kind))
    this.#connection = new Connection(options, this.#state, {
      presence: (id) => this.#own.presence(id),
      present: (occupant) => this.#present(occupant),
      left: (who, kickedBy) => this.#left(who, kickedBy),
      message: (message) => this.#chat.heard(message),
      messageRefused: (id) => this.#state.emit('chatRefused', { id }),
      subject: (subject) => this.#state.patch('room', { subject }),
      startedAt: (startedAt) => this.#state.patch('room', { startedAt }),
      focusRequest: (request) => this.#focusRequest(request),
      self: (role) => this.#roleIs(role),
      changed: () => this.#gate.changed(),
      answered: (mode) => this.#mode.answered(mode),
      announced: (message) => {
        this.#rules.heard(message)
        this.#mode.heard(message)
      },
      entered: (seat) => this.#entered(seat),
      resumed: () => this.#link.resumed(),
      dropped: () => this.#dropped(),
      over: () => this.#cleanUp()
    })
    this.#link = new MediaLink({
      connection: this.#connection,
      state: this.#state,
      occupants: this.#occupants,
      media,
      own: this.#own,
      message: (from, payload) => {
        handleGesture(this.#state, from, payload, () => this.setHandRaised(false))
        this.#state.emit('endpointMessage', { from, payload })
      }
    })
    this.moderation = new Moderator({
      connection: this.#connection,
      occupants: this.#occupants,
      gate: this.#gate,
      sendMessage: (to, payload) => this.#link.sendMessage(to, payload)
    })
    this.#watch(options.signal)
    if (options.signal?.aborted) void this.leave()
    else if (typeof RTCPeerConnection === 'undefined') this.#connection.fail('unsupported')
    else if (this.snapshot().room.name === '') this.#connection.fail('bad-room-name')
    else this.#connection.start()
  }

  snapshot(): Snapshot {
    return this.#state.snapshot
  }

  subscribe(listener: (snapshot: Snapshot) => void): () => void {
    return this.#state.subscribe(listener)
  }

  on<K extends keyof ConferenceEvents>(event: K, listener: (detail: ConferenceEvents[K]) => void): () => void {
    return this.#state.on(event, listener)
  }

  setMicrophone(on: boolean): Promise<MediaOutcome> {
    return on && this.#mustAsk('microphone') ? MODERATED : this.media.setMicrophone(on)
  }

  setCamera(on: boolean): Promise<MediaOutcome> {
    if (on && this.#mode.audioOnly) return AUDIO_ONLY
    return on && this.#mustAsk('camera') ? MODERATED : this.media.setCamera(on)
  }

  startShare(options?: ShareOptions): Promise<MediaOutcome> {
    if (this.#mode.audioOnly) return AUDIO_ONLY
    return this.#mustAsk('screen') ? MODERATED : this.media.startShare(options)
  }

  stopShare(): Promise<void> {
    return this.media.stopShare()
  }

  selectDevice(kind: DeviceKind, id: string): Promise<MediaOutcome> {
    return this.media.selectDevice(kind, id)
  }

  setDisplayName(name: string): void {
    this.#own.name = name.trim() || null
    this.#state.patch('self', { name: this.#own.name })
    this.#publishPresence()
  }

  setHandRaised(raised: boolean): void {
    this.#own.handRaisedAt = raised ? Date.now() : null
    this.#state.patch('self', { handRaisedAt: this.#own.handRaisedAt })
    this.#publishPresence()
  }

  react(reaction: Reaction): void {
    const { id } = this.snapshot().self
    this.#link.sendMessage(undefined, reactionMessage([reaction]))
    if (id !== null) this.#state.emit('reaction', { from: id, reactions: [reaction] })
  }

  sendChat(text: string, to?: OccupantId): string | null {
    const { seat } = this.#connection
    const heard = inRoom(this.snapshot().connection) || this.#connection.suspended
    return seat && heard ? this.#chat.say(seat, text, to) : null
  }

  setSubject(subject: string): void {
    this.#connection.seat?.room.setSubject(subject)
  }

  setReceiveConstraints(constraints: ReceiveConstraints): void {
    this.#link.setReceiveConstraints(constraints)
  }

  sendEndpointMessage(payload: Readonly<Record<string, unknown>>, to?: OccupantId): boolean {
    return this.#link.sendMessage(to, payload)
  }

  watchLevel(who: OccupantId | 'self', listener: (level: number) => void): () => void {
    if (who === 'self' || who === this.snapshot().self.id) return this.media.watchLevel(listener)
    return watchReceiverLevel(() => this.#link.receiver(`${who}-a0`), listener)
  }

  reconnectNow(): void {
    this.#connection.retryNow()
    this.#link.retryNow()
  }

  givePassword(password: string): void {
    this.#connection.tryPassword(password)
  }

  leave(options: LeaveOptions = {}): Promise<void> {
    return this.#connection.leave(options.atOnce ?? false)
  }

  // -- what the world around says -------------------------------------------------------------

  #watch(signal: AbortSignal | undefined): void {
    const { media } = this
    const stats = setInterval(() => this.#sample(), STATS_EVERY_MS)
    const leave = () => void this.leave()
    // The system knows before the next attempt does that the network is back.
    const online = () => this.reconnectNow()
    signal?.addEventListener('abort', leave)
    globalThis.addEventListener?.('online', online)
    this.#cleanups.push(
      media.subscribe((snapshot) => this.#localChanged(snapshot)),
      media.on('deviceLost', (detail) => this.#state.emit('deviceLost', detail)),
      media.on('shareEnded', (detail) => this.#state.emit('shareEnded', detail)),
      () => clearInterval(stats),
      () => signal?.removeEventListener('abort', leave),
      () => globalThis.removeEventListener?.('online', online)
    )
  }

  #localChanged(local: LocalMediaSnapshot): void {
    if (this.#connection.over) return
    const before = this.snapshot().self
    const { microphone, camera, screen } = local
    this.#state.patch('self', { microphone, camera, screen })
    this.#link.localChanged(before, local)
    const states = (['microphone', 'camera', 'screen'] as const).some((role) => before[role].state !== local[role].state)
    if (states) this.#publishPresence()
  }

  #sample(): void {
    if (this.#occupants.checkFrozen(Date.now())) this.#showOccupants()
    void this.#link.sample()
  }

  // -- what the room says ---------------------------------------------------------------------

  #present(present: Present): void {
    const before = this.snapshot().occupants.find(({ id }) => id === present.id)
    const joined = this.#occupants.update(present)
    this.#showOccupants()
    this.#link.occupantsChanged()
    const inside = inRoom(this.snapshot().connection)
    if (joined && inside) {
      this.#state.emit('occupantJoined', joined)
      this.#gate.refresh()
    }
    const now = this.snapshot().occupants.find(({ id }) => id === present.id)
    if (now && inside && now.handRaisedAt !== null && (before?.handRaisedAt ?? null) === null) this.#state.emit('handRaised', now)
  }

  #left(id: OccupantId, kickedBy: OccupantId | null): void {
    const occupant = this.#occupants.remove(id)
    this.#showOccupants()
    this.#link.occupantsChanged()
    this.#gate.refresh()
    if (occupant) this.#state.emit('occupantLeft', { occupant, kickedBy })
  }

  #focusRequest(request: Element): void {
    handleFocusRequest(request, {
      sid: () => this.#link.sid,
      reply: (answer) => this.#connection.seat?.stream.send(answer),
      offered: (offer) => this.#link.start(offer),
      terminated: () => this.#link.terminated(),
      muted: (kind, by) => {
        switchOff(this.media, kind)
        this.#state.emit('mutedByModerator', { kind, by })
      }
    })
  }

  #roleIs(role: Role): void {
    const before = this.snapshot().self.role
    this.#state.patch('self', { role })
    if (role === before || !inRoom(this.snapshot().connection)) return
    this.#rules.apply()
    this.#gate.refresh()
    this.#state.emit('roleChanged', { role, before })
  }

  #entered(seat: Seat): void {
    if (this.#newcomer) this.#startMuted()
    this.#newcomer = false
    this.#rules.apply()
    this.#gate.entered(seat)
  }

  #startMuted(): void {
    const { microphone, camera } = this.media.snapshot()
    const wanted = this.#rules.startMuted()
    const muted = {
      microphone: wanted.microphone && microphone.state !== 'off',
      camera: wanted.camera && camera.state !== 'off'
    }
    for (const kind of ['microphone', 'camera'] as const) if (muted[kind]) switchOff(this.media, kind)
    if (muted.microphone || muted.camera) this.#state.emit('startedMuted', muted)
  }

  #mustAsk(kind: MediaRole): boolean {
    return !this.snapshot().rules[kind].allowed
  }

  #dropped(): void {
    this.#link.close()
    this.#rules.forget()
    this.#gate.dropped()
    this.#occupants.clear()
    this.#state.set({ occupants: this.#occupants.views(), speaker: null })
  }

  #cleanUp(): void {
    for (const cleanup of this.#cleanups) cleanup()
    if (this.#ownsMedia) this.media.dispose()
  }

  // -- what we say ----------------------------------------------------------------------------

  #showOccupants(): void {
    this.#state.set({ occupants: this.#occupants.views() })
  }

  #publishPresence(): void {
    const { seat } = this.#connection
    seat?.room.update(this.#own.presence(seat.room.id))
  }
}
