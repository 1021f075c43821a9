// A conference: one stream, one room, one media session, put together and kept alive.

import type { Element } from 'ltx'
import { BridgeChannel, type ChannelHandlers, type Constraints } from '../bridge/channel.ts'
import { watchReceiverLevel } from '../media/level.ts'
import { StatsSampler } from '../media/stats.ts'
import { JoinError, type OwnPresence, type Present, Room, type SourceState, requestConference } from '../room/room.ts'
import { normaliseRoomName, roomLocalpart } from '../room/name.ts'
import { readOffer } from '../sdp/offer.ts'
import { type LocalRole, MediaSession } from '../session/session.ts'
import { StanzaError, errorOf, resultOf } from '../stanza/build.ts'
import { NS } from '../stanza/ns.ts'
import { XmppStream } from '../stream/stream.ts'
import type {
  Conference,
  ConferenceEvents,
  ConnectionState,
  DeviceKind,
  FailureCode,
  JoinOptions,
  LocalMedia,
  LocalMediaSnapshot,
  MediaOutcome,
  MediaState,
  OccupantId,
  ReceiveConstraints,
  Role,
  ShareOptions,
  Snapshot
} from '../types.ts'
import { Occupants } from './occupants.ts'

const CHAT_LIMIT = 500
const FIRST_RETRY_MS = 500
const LONGEST_RETRY_MS = 8_000
/** A first join that cannot reach the server fails after this many tries; a lost one never gives up. */
const FIRST_JOIN_TRIES = 3
const STATS_EVERY_MS = 1_000
const MEDIA_RETRY_MS = 2_000

const ROLES: readonly LocalRole[] = ['microphone', 'camera', 'screen']

export class Meeting implements Conference {
  readonly media: LocalMedia
  readonly #options: JoinOptions
  readonly #ownsMedia: boolean
  readonly #occupants: Occupants
  readonly #listeners = new Set<(snapshot: Snapshot) => void>()
  readonly #events = new Map<string, Set<(detail: never) => void>>()
  readonly #sampler = new StatsSampler()
  readonly #cleanups: (() => void)[] = []
  #stream: XmppStream | null = null
  #room: Room | null = null
  #session: MediaSession | null = null
  #channel: BridgeChannel | null = null
  #snapshot: Snapshot
  #announced = false
  #over = false
  #tries = 0
  #retry: { timer: ReturnType<typeof setTimeout>; now(): void } | null = null
  #constraints: Constraints = { lastN: -1, onStageSources: [], constraints: {} }
  #downlink: number | null = null
  #screenKnown = false
  #handRaisedAt: number | null = null
  #name: string | null

  constructor(options: JoinOptions, media: LocalMedia, ownsMedia: boolean) {
    this.#options = options
    this.media = media
    this.#ownsMedia = ownsMedia
    this.#name = options.name?.trim() || null
    this.#occupants = new Occupants((source) => this.#session?.track(source) ?? null)
    const local = media.snapshot()
    this.#snapshot = {
      connection: { phase: 'connecting' },
      media: 'idle',
      room: { name: normaliseRoomName(options.room) ?? '', subject: null, startedAt: null },
      self: {
        id: null,
        name: this.#name,
        role: 'none',
        microphone: local.microphone,
        camera: local.camera,
        screen: local.screen,
        handRaisedAt: null
      },
      occupants: [],
      speaker: null,
      chat: [],
      stats: null
    }
    this.#cleanups.push(
      media.subscribe((snapshot) => this.#localChanged(snapshot)),
      media.on('deviceLost', (detail) => this.#emit('deviceLost', detail)),
      media.on('shareEnded', (detail) => this.#emit('shareEnded', detail))
    )
    const stats = setInterval(() => void this.#sample(), STATS_EVERY_MS)
    this.#cleanups.push(() => clearInterval(stats))
    options.signal?.addEventListener('abort', () => void this.leave(), { once: true })
    if (typeof RTCPeerConnection === 'undefined') this.#fail('unsupported')
    else if (this.#snapshot.room.name === '') this.#fail('bad-room-name')
    else void this.#connect()
  }

  snapshot(): Snapshot {
    return this.#snapshot
  }

  subscribe(listener: (snapshot: Snapshot) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  on<K extends keyof ConferenceEvents>(event: K, listener: (detail: ConferenceEvents[K]) => void): () => void {
    const set = this.#events.get(event) ?? new Set()
    this.#events.set(event, set)
    set.add(listener as (detail: never) => void)
    return () => set.delete(listener as (detail: never) => void)
  }

  setMicrophone(on: boolean): Promise<MediaOutcome> {
    return this.media.setMicrophone(on)
  }

  setCamera(on: boolean): Promise<MediaOutcome> {
    return this.media.setCamera(on)
  }

  startShare(options?: ShareOptions): Promise<MediaOutcome> {
    return this.media.startShare(options)
  }

  stopShare(): Promise<void> {
    return this.media.stopShare()
  }

  selectDevice(kind: DeviceKind, id: string): Promise<MediaOutcome> {
    return this.media.selectDevice(kind, id)
  }

  setDisplayName(name: string): void {
    this.#name = name.trim() || null
    this.#setSelf({ name: this.#name })
    this.#room?.update(this.#presence())
  }

  setHandRaised(raised: boolean): void {
    this.#handRaisedAt = raised ? Date.now() : null
    this.#setSelf({ handRaisedAt: this.#handRaisedAt })
    this.#room?.update(this.#presence())
  }

  sendChat(text: string, to?: OccupantId): string | null {
    if (this.#snapshot.connection.phase !== 'joined' || !this.#room) return null
    const id = this.#room.say(text, to)
    // The room echoes what is said to all, but not what is said to one.
    if (to !== undefined) {
      const own = { id, from: this.#room.id, name: this.#name, own: true, isPrivate: true, to, text, at: Date.now(), history: false }
      this.#set({ chat: [...this.#snapshot.chat, own].slice(-CHAT_LIMIT) })
    }
    return id
  }

  setSubject(subject: string): void {
    this.#room?.setSubject(subject)
  }

  setReceiveConstraints(constraints: ReceiveConstraints): void {
    this.#constraints = {
      lastN: constraints.lastN ?? -1,
      onStageSources: constraints.stage ?? [],
      constraints: Object.fromEntries(constraints.visible.map(({ source, maxHeight }) => [source, { maxHeight }]))
    }
    this.#channel?.setConstraints(this.#constraints)
  }

  sendEndpointMessage(payload: Readonly<Record<string, unknown>>, to?: OccupantId): boolean {
    return this.#channel?.sendMessage(to ?? '', payload) ?? false
  }

  watchLevel(who: OccupantId | 'self', listener: (level: number) => void): () => void {
    if (who === 'self' || who === this.#snapshot.self.id) return this.media.watchLevel(listener)
    return watchReceiverLevel(() => this.#session?.receiver(`${who}-a0`) ?? null, listener)
  }

  reconnectNow(): void {
    this.#retry?.now()
  }

  async leave(): Promise<void> {
    if (!this.#over) this.#end({ phase: 'left' })
  }

  // -- joining and staying --------------------------------------------------------------------

  async #connect(): Promise<void> {
    const { server, room: typed, signal } = this.#options
    const name = normaliseRoomName(typed) ?? ''
    try {
      const stream = await XmppStream.open({ url: server.webSocketUrl, domain: server.domain, room: name, signal })
      if (this.#over) {
        stream.close()
        return
      }
      this.#stream = stream
      stream.onLost = () => this.#lost()
      const jid = `${roomLocalpart(name)}@${server.mucDomain}`
      await requestConference(stream, server.focus ?? `focus.${server.domain}`, jid, crypto.randomUUID())
      if (this.#over) return
      const room: Room = new Room(stream, jid, this.#presence(stream.jid.slice(0, 8)), {
        present: (occupant) => this.#present(occupant),
        left: (id, kickedBy) => this.#left(id, kickedBy),
        self: (role) => this.#setSelf({ role, id: stream.jid.slice(0, 8) }),
        message: (message) => this.#message(message),
        messageRefused: (id) => this.#emit('chatRefused', { id }),
        subject: (subject) => this.#set({ room: { ...this.#snapshot.room, subject } }),
        startedAt: (startedAt) => this.#set({ room: { ...this.#snapshot.room, startedAt } }),
        out: (how) => {
          if (how.kind === 'kicked') this.#end({ phase: 'kicked', by: how.by, reason: how.reason })
          else this.#fail(how.kind === 'destroyed' ? 'destroyed' : 'no-bridge')
        },
        focusRequest: (request) => this.#focusRequest(request)
      })
      this.#room = room
      await room.join(this.#options.password)
      this.#tries = 0
      this.#setConnection({ phase: 'joined' })
    } catch (error) {
      if (this.#over) return
      if (error instanceof JoinError) this.#fail(error.code)
      else this.#lost()
    }
  }

  /** The connection is gone: everything but the local tracks starts anew. */
  #lost(): void {
    if (this.#over) return
    this.#dropStream()
    const { connection } = this.#snapshot
    this.#tries++
    if (connection.phase === 'connecting') {
      if (this.#tries >= FIRST_JOIN_TRIES) {
        this.#fail('unreachable')
        return
      }
    } else {
      const since = connection.phase === 'reconnecting' ? connection.since : Date.now()
      this.#setConnection({ phase: 'reconnecting', what: 'signalling', since, attempt: this.#tries })
    }
    const wait = Math.min(FIRST_RETRY_MS * 2 ** (this.#tries - 1), LONGEST_RETRY_MS) * (0.75 + Math.random() / 2)
    const now = () => {
      clearTimeout(this.#retry?.timer)
      this.#retry = null
      void this.#connect()
    }
    this.#retry = { timer: setTimeout(now, wait), now }
  }

  #dropStream(): void {
    this.#closeSession()
    this.#room = null
    if (this.#stream) {
      this.#stream.onLost = () => {}
      this.#stream.close()
      this.#stream = null
    }
    this.#occupants.clear()
    this.#set({ occupants: this.#occupants.views(), speaker: null })
  }

  #fail(code: FailureCode): void {
    this.#end({ phase: 'failed', code })
  }

  #end(connection: ConnectionState): void {
    if (this.#over) return
    this.#over = true
    clearTimeout(this.#retry?.timer)
    this.#room?.leave()
    this.#dropStream()
    for (const cleanup of this.#cleanups) cleanup()
    if (this.#ownsMedia) this.media.dispose()
    this.#setConnection(connection)
  }

  // -- what the room says ---------------------------------------------------------------------

  #present(present: Present): void {
    const joined = this.#occupants.update(present)
    this.#set({ occupants: this.#occupants.views() })
    if (joined && this.#snapshot.connection.phase === 'joined') this.#emit('occupantJoined', joined)
  }

  #left(id: OccupantId, kickedBy: OccupantId | null): void {
    const occupant = this.#occupants.remove(id)
    this.#set({ occupants: this.#occupants.views() })
    if (occupant) this.#emit('occupantLeft', { occupant, kickedBy })
  }

  #message(message: Snapshot['chat'][number]): void {
    // A rejoin replays what is already here.
    if (message.history && this.#snapshot.chat.some((known) => known.id === message.id)) return
    this.#set({ chat: [...this.#snapshot.chat, message].slice(-CHAT_LIMIT) })
    if (!message.history) this.#emit('chatMessage', message)
  }

  #focusRequest(request: Element): void {
    const jingle = request.getChild('jingle', NS.jingle)
    if (jingle) {
      this.#jingle(request, jingle)
      return
    }
    const mute = request.getChild('mute')
    if (mute && mute.getText().trim() === 'true') this.#mutedBy(mute)
    this.#stream?.send(resultOf(request))
  }

  #mutedBy(mute: Element): void {
    const by = mute.attrs['actor']?.split('/').at(-1) ?? null
    const what = mute.getNS()?.split('/').at(-1)
    if (what === 'audio') {
      void this.media.setMicrophone(false)
      this.#emit('mutedByModerator', { kind: 'microphone', by })
    } else if (what === 'video') {
      void this.media.setCamera(false)
      this.#emit('mutedByModerator', { kind: 'camera', by })
    } else if (what === 'desktop') {
      void this.media.stopShare()
      this.#emit('mutedByModerator', { kind: 'screen', by })
    }
  }

  #jingle(request: Element, jingle: Element): void {
    const stream = this.#stream
    if (!stream) return
    const from = request.attrs['from'] ?? ''
    const action = jingle.attrs['action']
    if (action === 'session-initiate') {
      const offer = readOffer(jingle, from)
      if (!offer) {
        stream.send(errorOf(request, 'bad-request'))
        return
      }
      stream.send(resultOf(request))
      this.#startSession(offer)
      return
    }
    if (jingle.attrs['sid'] !== this.#session?.offer.sid) {
      stream.send(errorOf(request, 'item-not-found'))
      return
    }
    stream.send(resultOf(request))
    if (action === 'session-terminate') this.#closeSession()
  }

  // -- media ----------------------------------------------------------------------------------

  #startSession(offer: NonNullable<ReturnType<typeof readOffer>>): void {
    this.#closeSession()
    const stream = this.#stream
    const room = this.#room
    if (!stream || !room) return
    const session: MediaSession = new MediaSession(
      offer,
      { endpoint: room.id, jid: stream.jid },
      {
        request: async (jingle) => {
          await stream.request('set', room.focus, jingle)
        },
        tracksChanged: () => {
          this.#occupants.tracksChanged()
          this.#set({ occupants: this.#occupants.views() })
        },
        connectionChanged: (state) => this.#mediaChanged(session, state)
      }
    )
    this.#session = session
    this.#set({ media: 'connecting' })
    const local = this.media.snapshot()
    const tracks = new Map(ROLES.map((role) => [role, local[role].track] as const))
    session.accept(tracks).catch((error: unknown) => this.#refused(session, error))
    if (offer.transport.webSocket !== null) {
      this.#channel = new BridgeChannel(offer.transport.webSocket, this.#constraints, this.#channelHandlers())
      this.#tellVideoTypes()
    }
  }

  #refused(session: MediaSession, error: unknown): void {
    if (session !== this.#session) return
    if (error instanceof StanzaError) this.#emit('sourceRefused', { kind: 'camera' })
    this.#restartMedia(session)
  }

  #mediaChanged(session: MediaSession, state: RTCPeerConnectionState): void {
    if (session !== this.#session) return
    const media: Partial<Record<RTCPeerConnectionState, MediaState>> = {
      connected: 'connected',
      connecting: 'connecting',
      disconnected: 'interrupted',
      failed: 'interrupted'
    }
    const now = media[state]
    if (now) this.#set({ media: now })
    const { connection } = this.#snapshot
    if (state === 'connected' && connection.phase === 'reconnecting' && connection.what === 'media') {
      this.#setConnection({ phase: 'joined' })
    }
    if (state === 'failed') this.#restartMedia(session)
  }

  /** Ends the session in a way that makes the focus offer anew (protocol 2 §11.1). */
  #restartMedia(session: MediaSession): void {
    const stream = this.#stream
    const room = this.#room
    const { connection } = this.#snapshot
    if (!stream || !room || this.#over) return
    const attempt = connection.phase === 'reconnecting' ? connection.attempt + 1 : 1
    const since = connection.phase === 'reconnecting' ? connection.since : Date.now()
    this.#setConnection({ phase: 'reconnecting', what: 'media', since, attempt })
    const timer = setTimeout(() => {
      if (session !== this.#session) return
      const terminate = session.terminateJingle('connectivity-error', true)
      this.#closeSession()
      // Refused (too often, or out of date): a whole new start is the only way left.
      stream.request('set', room.focus, terminate).catch(() => this.#lost())
    }, Math.min(MEDIA_RETRY_MS * attempt, LONGEST_RETRY_MS))
    this.#cleanups.push(() => clearTimeout(timer))
  }

  #closeSession(): void {
    this.#channel?.close()
    this.#channel = null
    this.#session?.close()
    this.#session = null
    this.#screenKnown = false
    this.#occupants.sessionEnded()
    this.#set({ media: 'idle', occupants: this.#occupants.views() })
  }

  #channelHandlers(): ChannelHandlers {
    return {
      mapped: (sources) => this.#session?.map(sources),
      forwarded: (sources) => {
        this.#occupants.setForwarded(sources)
        this.#set({ occupants: this.#occupants.views() })
      },
      speaker: (id, previous, silence) => {
        const speaker = { id, previous, silence }
        this.#set({ speaker })
        this.#emit('dominantSpeaker', speaker)
      },
      wanted: (source, maxHeight) => this.#session?.setWantedHeight(source, maxHeight),
      message: (from, payload) => this.#emit('endpointMessage', { from, payload }),
      downlink: (bps) => (this.#downlink = bps)
    }
  }

  #localChanged(local: LocalMediaSnapshot): void {
    const before = this.#snapshot.self
    this.#setSelf({ microphone: local.microphone, camera: local.camera, screen: local.screen })
    for (const role of ROLES) {
      if (before[role].track !== local[role].track) {
        void this.#session?.setTrack(role, local[role].track).catch((error: unknown) => {
          if (!(error instanceof StanzaError)) return
          if (role === 'screen') void this.media.stopShare()
          this.#emit('sourceRefused', { kind: role })
        })
      }
    }
    if (ROLES.some((role) => before[role].state !== local[role].state)) {
      this.#room?.update(this.#presence())
      this.#tellVideoTypes()
    }
  }

  #tellVideoTypes(): void {
    const session = this.#session
    if (!session || !this.#channel) return
    const { camera, screen } = this.media.snapshot()
    this.#channel.setVideoType(session.sourceName('camera'), camera.state === 'on' ? 'camera' : 'none')
    if (this.#screenKnown) {
      this.#channel.setVideoType(session.sourceName('screen'), screen.state === 'on' ? 'desktop' : 'none')
    }
  }

  #presence(id = this.#snapshot.self.id ?? ''): OwnPresence {
    const { microphone, camera, screen } = this.media.snapshot()
    if (screen.state === 'on') this.#screenKnown = true
    const sources = new Map<string, SourceState>([
      [`${id}-a0`, { muted: microphone.state !== 'on', screen: false }],
      [`${id}-v0`, { muted: camera.state !== 'on', screen: false }]
    ])
    if (this.#screenKnown) sources.set(`${id}-v1`, { muted: screen.state !== 'on', screen: true })
    return { name: this.#name, sources, handRaisedAt: this.#handRaisedAt }
  }

  async #sample(): Promise<void> {
    if (this.#occupants.checkFrozen(Date.now())) this.#set({ occupants: this.#occupants.views() })
    const session = this.#session
    if (!session) return
    const stats = await this.#sampler.sample(session.pc, session.sources(), this.#downlink).catch(() => null)
    if (stats && session === this.#session) this.#set({ stats })
  }

  // -- telling the application ----------------------------------------------------------------

  #setConnection(connection: ConnectionState): void {
    this.#set({ connection })
    this.#emit('connection', connection)
  }

  #setSelf(change: Partial<Snapshot['self']> & { role?: Role }): void {
    this.#set({ self: { ...this.#snapshot.self, ...change } })
  }

  #set(change: Partial<Snapshot>): void {
    this.#snapshot = { ...this.#snapshot, ...change }
    if (this.#announced) return
    this.#announced = true
    queueMicrotask(() => {
      this.#announced = false
      for (const listener of this.#listeners) listener(this.#snapshot)
    })
  }

  #emit<K extends keyof ConferenceEvents>(event: K, detail: ConferenceEvents[K]): void {
    for (const listener of this.#events.get(event) ?? []) (listener as (detail: ConferenceEvents[K]) => void)(detail)
  }
}
