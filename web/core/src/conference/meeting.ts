// A conference: one stream, one room, one media session, put together and kept alive.

import type { Element } from 'ltx'
import { BridgeChannel, type ChannelHandlers, type Constraints } from '../bridge/channel.ts'
import { decodableVideo } from '../media/codecs.ts'
import { watchReceiverLevel } from '../media/level.ts'
import { StatsSampler } from '../media/stats.ts'
import { nicknameOf, normaliseRoomName, roomLocalpart } from '../room/name.ts'
import { JoinError, type OwnPresence, type Present, Room, type RoomExit, type SourceState, requestConference } from '../room/room.ts'
import { type Offer, readOffer } from '../sdp/offer.ts'
import { type LocalRole, MediaSession } from '../session/session.ts'
import { StanzaError, el, errorOf, resultOf } from '../stanza/build.ts'
import { randomHex } from '../stanza/id.ts'
import { NS } from '../stanza/ns.ts'
import { StreamError, XmppStream } from '../stream/stream.ts'
import type {
  ChatMessage,
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
/** Before the first restart of the media session: the path may only have been slow. */
const MEDIA_RETRY_MS = 2_000
/** The focus offers anew at most every five seconds (protocol 2 §11.1). */
const LATER_MEDIA_RETRY_MS = 6_000
/** An offer that was promised and does not come. */
const OFFER_TIMEOUT_MS = 15_000
const LEAVE_TIMEOUT_MS = 1_000

/** Last part of a mute's namespace, and what it is about. */
const MUTES: Readonly<Record<string, LocalRole>> = { audio: 'microphone', video: 'camera', desktop: 'screen' }
/** Slots carry all remote sources and candidates come with the offer, so most need no more than an answer. */
const KNOWN_ACTIONS: ReadonlySet<string> = new Set([
  'session-terminate',
  'session-info',
  'source-add',
  'source-remove',
  'transport-info',
  'transport-replace'
])

const ROLES: readonly LocalRole[] = ['microphone', 'camera', 'screen']

export class Meeting implements Conference {
  readonly media: LocalMedia
  readonly #options: JoinOptions
  readonly #ownsMedia: boolean
  readonly #occupants: Occupants
  readonly #listeners = new Set<(snapshot: Snapshot) => void>()
  readonly #events = new Map<string, Set<(detail: never) => void>>()
  readonly #codecs = decodableVideo()
  /** The service knows this client by it while the page lives. */
  readonly #machine = randomHex(16)
  readonly #cleanups: (() => void)[] = []
  #stream: XmppStream | null = null
  #room: Room | null = null
  #session: MediaSession | null = null
  #sampler = new StatsSampler()
  #channel: BridgeChannel | null = null
  #snapshot: Snapshot
  #announced = false
  #over = false
  #farewell: Promise<void> = Promise.resolve()
  /** Counts connections begun: what an older one still has to say is of no interest. */
  #generation = 0
  #tries = 0
  #mediaTimer: ReturnType<typeof setTimeout> | undefined
  /** The focus refuses every source of ours. */
  #receiveOnly = false
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
    const leave = () => void this.leave()
    options.signal?.addEventListener('abort', leave)
    this.#cleanups.push(() => options.signal?.removeEventListener('abort', leave))
    // The system knows before the next attempt does that the network is back.
    const online = () => this.reconnectNow()
    globalThis.addEventListener?.('online', online)
    this.#cleanups.push(() => globalThis.removeEventListener?.('online', online))
    if (options.signal?.aborted) leave()
    else if (typeof RTCPeerConnection === 'undefined') this.#fail('unsupported')
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
    await this.#farewell
  }

  // -- joining and staying --------------------------------------------------------------------

  async #connect(): Promise<void> {
    const { server, signal } = this.#options
    const name = this.#snapshot.room.name
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
        if (condition === 'conflict') this.#fail('conflict')
        else this.#lost()
      }
      const jid = `${roomLocalpart(name)}@${server.mucDomain}`
      await requestConference(stream, server.focus ?? `focus.${server.domain}`, jid, this.#machine)
      if (stale()) return
      const id = nicknameOf(stream.jid)
      const room = new Room(stream, jid, id, this.#presence(id), {
        present: (occupant) => this.#present(occupant),
        left: (who, kickedBy) => this.#left(who, kickedBy),
        self: (role) => this.#setSelf({ role, id }),
        message: (message) => this.#message(message),
        messageRefused: (message) => this.#emit('chatRefused', { id: message }),
        subject: (subject) => this.#setRoom({ subject }),
        startedAt: (startedAt) => this.#setRoom({ startedAt }),
        out: (how) => this.#out(how),
        focusRequest: (request) => this.#focusRequest(request)
      })
      this.#room = room
      await room.join(this.#options.password)
      if (stale()) return
      this.#tries = 0
      this.#setConnection({ phase: 'joined' })
    } catch (error) {
      if (stale()) return
      if (error instanceof StreamError && error.refused) this.#fail('not-authorized')
      else if (error instanceof JoinError && !(error.transient && this.#mayRetry())) this.#fail(error.code)
      else this.#lost()
    }
  }

  #mayRetry(): boolean {
    return this.#snapshot.connection.phase !== 'connecting' || this.#tries + 1 < FIRST_JOIN_TRIES
  }

  #out(how: RoomExit): void {
    if (how.kind === 'kicked') this.#end({ phase: 'kicked', by: how.by, reason: how.reason })
    else if (how.kind === 'removed') this.#lost()
    else this.#fail(how.kind)
  }

  /** The connection is gone: everything but the local tracks starts anew. */
  #lost(): void {
    if (this.#over) return
    this.#generation++
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
    void this.#room?.leave()
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
    this.#retry = null
    this.#farewell = this.#sayFarewell()
    this.#dropStream()
    for (const cleanup of this.#cleanups) cleanup()
    if (this.#ownsMedia) this.media.dispose()
    this.#setConnection(connection)
  }

  /** Takes the stream along: it closes once the room has answered, or stays silent for too long. */
  async #sayFarewell(): Promise<void> {
    const stream = this.#stream
    const room = this.#room
    this.#stream = null
    this.#room = null
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

  #message(message: ChatMessage): void {
    const { chat } = this.#snapshot
    const same = chat.find((known) => known.id === message.id)
    // A rejoin replays what is already here; anything else with a known id is another message.
    if (same && message.history && same.from === message.from && same.text === message.text) return
    const fresh = same ? { ...message, id: randomHex(8) } : message
    this.#set({ chat: [...chat, fresh].slice(-CHAT_LIMIT) })
    if (!message.history) this.#emit('chatMessage', fresh)
  }

  #focusRequest(request: Element): void {
    const jingle = request.getChild('jingle', NS.jingle)
    const mute = request.getChild('mute')
    if (jingle) this.#jingle(request, jingle)
    else if (mute) {
      this.#stream?.send(resultOf(request))
      if (mute.getText().trim() === 'true') this.#mutedBy(mute)
    } else this.#stream?.send(errorOf(request, 'service-unavailable'))
  }

  #mutedBy(mute: Element): void {
    const by = mute.attrs['actor']?.split('/').at(-1) ?? null
    const kind = MUTES[mute.getNS()?.split('/').at(-1) ?? '']
    if (!kind) return
    this.#switchOff(kind)
    this.#emit('mutedByModerator', { kind, by })
  }

  #switchOff(role: LocalRole): void {
    if (role === 'microphone') void this.media.setMicrophone(false)
    else if (role === 'camera') void this.media.setCamera(false)
    else void this.media.stopShare()
  }

  #jingle(request: Element, jingle: Element): void {
    const stream = this.#stream
    if (!stream) return
    const { action, sid } = jingle.attrs as Record<string, string | undefined>
    if (action === 'session-initiate') {
      const offer = readOffer(jingle, request.attrs['from'] ?? '')
      if (!offer) stream.send(errorOf(request, 'bad-request'))
      else if (offer.sid === this.#session?.offer.sid) stream.send(errorOf(request, 'service-unavailable'))
      else {
        stream.send(resultOf(request))
        this.#startSession(offer)
      }
    } else if (sid !== this.#session?.offer.sid) {
      stream.send(errorOf(request, 'item-not-found', el('unknown-session', NS.jingleErrors)))
    } else if (action !== undefined && KNOWN_ACTIONS.has(action)) {
      stream.send(resultOf(request))
      if (action === 'session-terminate') this.#terminated()
    } else stream.send(errorOf(request, 'bad-request'))
  }

  // -- media ----------------------------------------------------------------------------------

  #startSession(offer: Offer): void {
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
        connectionChanged: (state) => this.#mediaChanged(session, state),
        broken: () => this.#restartMedia(session)
      }
    )
    this.#session = session
    this.#sampler = new StatsSampler()
    this.#set({ media: 'connecting' })
    const local = this.media.snapshot()
    const tracks = this.#receiveOnly ? null : new Map(ROLES.map((role) => [role, local[role].track] as const))
    session.accept(tracks).catch((error: unknown) => this.#acceptFailed(session, error))
    if (local.screen.track) this.#sendTrack(session, 'screen', local.screen.track)
    if (offer.transport.webSocket !== null) {
      this.#channel = new BridgeChannel(offer.transport.webSocket, this.#constraints, this.#channelHandlers())
      this.#tellVideoTypes()
    }
  }

  #acceptFailed(session: MediaSession, error: unknown): void {
    if (session !== this.#session) return
    const condition = error instanceof StanzaError ? error.info.condition : null
    // Replaced already: the offer that takes its place is on its way.
    if (condition === 'gone') return
    // Somebody who may not send still may listen: the next answer signals nothing (protocol 2 §6.3).
    if (condition === 'forbidden') {
      this.#receiveOnly = true
      for (const role of ROLES) this.#refuseSource(role)
    }
    this.#restartMedia(session)
  }

  /** Switches off what the service does not want, and says so if it was on. */
  #refuseSource(role: LocalRole): void {
    if (this.media.snapshot()[role].state !== 'on') return
    this.#switchOff(role)
    this.#emit('sourceRefused', { kind: role })
  }

  #sendTrack(session: MediaSession, role: LocalRole, track: MediaStreamTrack | null): void {
    session.setTrack(role, track).catch((error: unknown) => {
      if (session !== this.#session) return
      const condition = error instanceof StanzaError ? error.info.condition : null
      // The session is at fault then, not the source.
      if (condition === null || condition === 'gone' || condition === 'item-not-found') this.#restartMedia(session)
      else this.#refuseSource(role)
    })
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
    if (this.#over || session !== this.#session || this.#mediaTimer !== undefined) return
    const { connection } = this.#snapshot
    const attempt = connection.phase === 'reconnecting' ? connection.attempt + 1 : 1
    const since = connection.phase === 'reconnecting' ? connection.since : Date.now()
    this.#set({ media: 'interrupted' })
    this.#setConnection({ phase: 'reconnecting', what: 'media', since, attempt })
    this.#mediaTimer = setTimeout(
      () => {
        const stream = this.#stream
        const room = this.#room
        const terminate = session.terminateJingle('connectivity-error', true)
        this.#closeSession()
        if (!stream || !room) return
        // Refused (too often, or out of date), or promised and not kept: a whole new start is left.
        this.#mediaTimer = setTimeout(() => this.#lost(), OFFER_TIMEOUT_MS)
        stream.request('set', room.focus, terminate).catch(() => {
          if (stream === this.#stream && !this.#session) this.#lost()
        })
      },
      attempt === 1 ? MEDIA_RETRY_MS : LATER_MEDIA_RETRY_MS
    )
  }

  /** The focus ended the session: alone in the room, or it moves and offers anew. */
  #terminated(): void {
    this.#closeSession()
    const { connection } = this.#snapshot
    if (connection.phase === 'reconnecting' && connection.what === 'media') this.#setConnection({ phase: 'joined' })
  }

  #closeSession(): void {
    clearTimeout(this.#mediaTimer)
    this.#mediaTimer = undefined
    this.#channel?.close()
    this.#channel = null
    this.#session?.close()
    this.#session = null
    this.#downlink = null
    this.#occupants.sessionEnded()
    this.#set({ media: 'idle', occupants: this.#occupants.views(), stats: null })
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
    if (this.#over) return
    const before = this.#snapshot.self
    this.#setSelf({ microphone: local.microphone, camera: local.camera, screen: local.screen })
    if (this.#receiveOnly) {
      for (const role of ROLES) this.#refuseSource(role)
    } else {
      for (const role of ROLES) {
        const { track } = local[role]
        if (before[role].track !== track && this.#session) this.#sendTrack(this.#session, role, track)
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
    if (this.#hasShared()) this.#channel.setVideoType(session.sourceName('screen'), screen.state === 'on' ? 'desktop' : 'none')
  }

  /** A screen is a source like any other from the first share on, and muted between shares. */
  #hasShared(): boolean {
    this.#screenKnown ||= this.media.snapshot().screen.state === 'on'
    return this.#screenKnown
  }

  #presence(id = this.#snapshot.self.id ?? ''): OwnPresence {
    const { microphone, camera, screen } = this.media.snapshot()
    const sources = new Map<string, SourceState>([
      [`${id}-a0`, { muted: microphone.state !== 'on', screen: false }],
      [`${id}-v0`, { muted: camera.state !== 'on', screen: false }]
    ])
    if (this.#hasShared()) sources.set(`${id}-v1`, { muted: screen.state !== 'on', screen: true })
    return { codecs: this.#codecs, name: this.#name, sources, handRaisedAt: this.#handRaisedAt }
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

  #setSelf(change: Partial<Snapshot['self']>): void {
    const { self } = this.#snapshot
    if (changes(self, change)) this.#set({ self: { ...self, ...change } })
  }

  #setRoom(change: Partial<Snapshot['room']>): void {
    const { room } = this.#snapshot
    if (changes(room, change)) this.#set({ room: { ...room, ...change } })
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

/** Whether a record would become another one. */
function changes<T extends object>(record: T, change: Partial<T>): boolean {
  return (Object.keys(change) as (keyof T)[]).some((key) => change[key] !== record[key])
}
