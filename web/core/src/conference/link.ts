// The way to the bridge: a media session and its channel, from one offer of the focus to the next.

import { BridgeChannel, type ChannelHandlers, type Constraints } from '../bridge/channel.ts'
import { codecFor } from '../media/codecs.ts'
import { StatsSampler } from '../media/stats.ts'
import type { Offer } from '../sdp/offer.ts'
import { type LocalRole, MediaSession } from '../session/session.ts'
import { StanzaError } from '../stanza/build.ts'
import type { LocalMedia, LocalMediaSnapshot, MediaState, OccupantId, ReceiveConstraints, Snapshot } from '../types.ts'
import type { Connection } from './connection.ts'
import type { Occupants } from './occupants.ts'
import type { OwnState } from './own.ts'
import {
  DOUBTS_COUNT_MS,
  type Fault,
  PROVE_MS,
  SOONEST_OFFER_MS,
  doubtedAfterMs,
  mediaBack,
  mediaLost,
  mediaRetryAfterMs
} from './reconnect.ts'
import type { ConferenceState } from './state.ts'

/** An offer that was promised and does not come. */
const OFFER_TIMEOUT_MS = 15_000
const ROLES: readonly LocalRole[] = ['microphone', 'camera', 'screen']

const MEDIA_STATES: Readonly<Partial<Record<RTCPeerConnectionState, MediaState>>> = {
  connected: 'connected',
  connecting: 'connecting',
  disconnected: 'interrupted',
  failed: 'interrupted'
}

export interface LinkParts {
  readonly connection: Connection
  readonly state: ConferenceState
  readonly occupants: Occupants
  readonly media: LocalMedia
  readonly own: OwnState
  /** Somebody says something over the bridge. */
  message(from: OccupantId, payload: Readonly<Record<string, unknown>>): void
}

export class MediaLink {
  readonly #parts: LinkParts
  #session: MediaSession | null = null
  #channel: BridgeChannel | null = null
  #sampler = new StatsSampler()
  /** Either until a broken session is ended, or until the offer that shall replace it must be here. */
  #timer: ReturnType<typeof setTimeout> | undefined
  /** Broken, and about to be ended. */
  #broken: MediaSession | null = null
  #fault: Fault = 'broken'
  /** Broke while the service was out of reach. */
  #brokenMeanwhile: MediaSession | null = null
  #askedAt = -Infinity
  /** Until a path that fell silent is doubted. */
  #doubt: ReturnType<typeof setTimeout> | undefined
  /** When paths were doubted, and their sessions ended for it, lately. */
  #doubted: readonly number[] = []
  #wasSilent = false
  /** The focus refuses every source of ours. */
  #receiveOnly = false
  #constraints: Constraints = { lastN: -1, onStageSources: [], constraints: {} }
  #downlink: number | null = null

  constructor(parts: LinkParts) {
    this.#parts = parts
  }

  /** The session's id, as the focus knows it. */
  get sid(): string | undefined {
    return this.#session?.offer.sid
  }

  /** The track that carries a remote source now. */
  track(source: string): MediaStreamTrack | null {
    return this.#session?.track(source) ?? null
  }

  receiver(source: string): RTCRtpReceiver | null {
    return this.#session?.receiver(source) ?? null
  }

  setReceiveConstraints(constraints: ReceiveConstraints): void {
    this.#constraints = {
      lastN: constraints.lastN ?? -1,
      onStageSources: constraints.stage ?? [],
      constraints: Object.fromEntries(constraints.visible.map(({ source, maxHeight }) => [source, { maxHeight }]))
    }
    this.#channel?.setConstraints(this.#constraints)
  }

  /** Skips the wait before a broken session is ended, unless the focus would find that too soon. */
  retryNow(): void {
    if (this.#broken && Date.now() - this.#askedAt >= SOONEST_OFFER_MS) this.#askForOffer(this.#broken)
  }

  /** The service is within reach again. */
  resumed(): void {
    const session = this.#brokenMeanwhile
    this.#brokenMeanwhile = null
    if (session) this.#restart(session, 'overdue')
    else if (this.#session?.pc.connectionState === 'disconnected') this.#waitInDoubt(this.#session)
  }

  sendMessage(to: OccupantId | undefined, payload: Readonly<Record<string, unknown>>): boolean {
    return this.#channel?.sendMessage(to ?? '', payload) ?? false
  }

  /** Answers an offer; a session there was is replaced. */
  start(offer: Offer): void {
    this.close()
    const { connection, state, occupants, media } = this.#parts
    const { seat } = connection
    if (!seat) return
    const { stream, room } = seat
    const session: MediaSession = new MediaSession(
      offer,
      { endpoint: room.id, jid: stream.jid, codec: this.#codec() },
      {
        request: async (jingle) => {
          await stream.request('set', room.focus, jingle)
        },
        tracksChanged: () => {
          occupants.tracksChanged()
          state.set({ occupants: occupants.views() })
        },
        connectionChanged: (now) => this.#pathChanged(session, now),
        broken: () => this.#restart(session)
      }
    )
    this.#session = session
    this.#sampler = new StatsSampler()
    state.set({ media: 'connecting' })
    const local = media.snapshot()
    const tracks = this.#receiveOnly ? null : new Map(ROLES.map((role) => [role, local[role].track] as const))
    session.accept(tracks).catch((error: unknown) => this.#acceptFailed(session, error))
    if (local.screen.track) this.#send(session, 'screen', local.screen.track)
    if (offer.transport.webSocket !== null) {
      this.#channel = new BridgeChannel(offer.transport.webSocket, this.#constraints, this.#channelHandlers())
      this.#tellVideoTypes()
    }
  }

  /** Somebody came, went, or decodes something else now. */
  occupantsChanged(): void {
    this.#session?.setCodec(this.#codec())
  }

  #codec(): string {
    return codecFor(this.#parts.own.codecs, this.#parts.occupants.codecs())
  }

  /** The focus ended the session: nobody is there to hear us, or it offers anew. */
  terminated(): void {
    const { state } = this.#parts
    this.close()
    state.setConnection(mediaBack(state.snapshot.connection))
  }

  close(): void {
    const { state, occupants } = this.#parts
    clearTimeout(this.#doubt)
    this.#wasSilent = false
    this.#forgive()
    this.#channel?.close()
    this.#channel = null
    this.#session?.close()
    this.#session = null
    this.#downlink = null
    occupants.sessionEnded()
    state.set({ media: 'idle', occupants: occupants.views(), stats: null })
  }

  /** Sends what the devices give now. */
  localChanged(before: Snapshot['self'], local: LocalMediaSnapshot): void {
    for (const role of ROLES) {
      const { track } = local[role]
      if (this.#receiveOnly) this.#refuse(role)
      else if (before[role].track !== track && this.#session) this.#send(this.#session, role, track)
    }
    this.#tellVideoTypes()
  }

  async sample(): Promise<void> {
    const session = this.#session
    if (!session) return
    const stats = await this.#sampler.sample(session.pc, session.sources(), this.#downlink, session.redundantAudio).catch(() => null)
    if (stats && session === this.#session) this.#parts.state.set({ stats })
  }

  // -- trouble --------------------------------------------------------------------------------

  #pathChanged(session: MediaSession, path: RTCPeerConnectionState): void {
    if (session !== this.#session) return
    const { state } = this.#parts
    const media = MEDIA_STATES[path]
    if (media) state.set({ media })
    clearTimeout(this.#doubt)
    if (path === 'connected') {
      this.#brokenMeanwhile = null
      if (this.#fault === 'silent') this.#forgive()
      state.setConnection(mediaBack(state.snapshot.connection))
      if (this.#wasSilent) void this.#proveService()
    }
    this.#wasSilent = path === 'disconnected'
    if (path === 'disconnected') this.#waitInDoubt(session)
    if (path === 'failed') this.#restart(session)
  }

  /** No session is to be ended any more. */
  #forgive(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#broken = null
    this.#fault = 'broken'
  }

  #waitInDoubt(session: MediaSession): void {
    const since = Date.now() - DOUBTS_COUNT_MS
    this.#doubted = this.#doubted.filter((at) => at > since)
    const wait = doubtedAfterMs(this.#doubted.length)
    if (wait !== null) this.#doubt = setTimeout(() => void this.#giveUpIfAlone(session), wait)
  }

  /**
   * When the service answers and the path stays silent, it is the path that is dead: a new one is quicker than
   * the browser's own patience. When nobody answers, the network is away: a socket it took along would wait for
   * ever longer, a new one finds out at once that it is back.
   */
  async #giveUpIfAlone(session: MediaSession): Promise<void> {
    const { connection } = this.#parts
    const stream = connection.seat?.stream
    if (!stream || connection.suspended) return
    const answers = await stream.ping()
    if (session !== this.#session || session.pc.connectionState !== 'disconnected' || connection.suspended) return
    if (answers) {
      this.#doubted = [...this.#doubted, Date.now()]
      this.#restart(session, 'silent')
    } else if (!stream.giveUp()) this.#waitInDoubt(session)
  }

  /** The network was away and is back: the socket is asked, rather than waited for. */
  async #proveService(): Promise<void> {
    const { connection } = this.#parts
    const stream = connection.seat?.stream
    if (!stream || connection.suspended || (await stream.ping(PROVE_MS))) return
    if (stream === connection.seat?.stream && !connection.suspended) stream.giveUp()
  }

  /** Ends the session in a way that makes the focus offer anew (protocol 2 §11.1). */
  #restart(session: MediaSession, fault: Fault = 'broken'): void {
    const { connection, state } = this.#parts
    if (connection.over || session !== this.#session) return
    if (this.#timer !== undefined) {
      if (fault !== 'silent') this.#fault = fault
      return
    }
    if (connection.suspended) {
      // The focus could not be told; first things first.
      this.#brokenMeanwhile = session
      state.set({ media: 'interrupted' })
      return
    }
    const next = mediaLost(state.snapshot.connection, Date.now())
    this.#broken = session
    this.#fault = fault
    this.#timer = setTimeout(() => this.#askForOffer(session), mediaRetryAfterMs(next, fault, this.#askedAt, Date.now()))
    state.set({ media: 'interrupted' })
    state.setConnection(next)
  }

  #askForOffer(session: MediaSession): void {
    const { connection } = this.#parts
    const { seat } = connection
    this.close()
    if (!seat) return
    this.#askedAt = Date.now()
    // Refused (too often, or out of date), or promised and not kept: a whole new start is left.
    this.#timer = setTimeout(() => connection.lost(), OFFER_TIMEOUT_MS)
    seat.stream.request('set', seat.room.focus, session.terminateJingle('connectivity-error', true)).catch(() => {
      if (seat === connection.seat && !this.#session) connection.lost()
    })
  }

  #acceptFailed(session: MediaSession, error: unknown): void {
    if (session !== this.#session) return
    const condition = conditionOf(error)
    // Replaced already: the offer that takes its place is on its way.
    if (condition === 'gone') return
    // Somebody who may not send still may listen: the next answer signals nothing (protocol 2 §6.3).
    if (condition === 'forbidden') {
      this.#receiveOnly = true
      for (const role of ROLES) this.#refuse(role)
    }
    this.#restart(session)
  }

  // -- sending --------------------------------------------------------------------------------

  #send(session: MediaSession, role: LocalRole, track: MediaStreamTrack | null): void {
    session.setTrack(role, track).catch((error: unknown) => {
      if (session !== this.#session) return
      const condition = conditionOf(error)
      // The session is at fault then, not the source.
      if (condition === null || condition === 'gone' || condition === 'item-not-found') this.#restart(session)
      else this.#refuse(role)
    })
  }

  /** Switches off what the service does not want, and says so if it was on. */
  #refuse(role: LocalRole): void {
    const { media, state } = this.#parts
    if (media.snapshot()[role].state !== 'on') return
    switchOff(media, role)
    state.emit('sourceRefused', { kind: role })
  }

  #tellVideoTypes(): void {
    const session = this.#session
    if (!session?.offer.video || !this.#channel) return
    const { camera, screen } = this.#parts.media.snapshot()
    this.#channel.setVideoType(session.sourceName('camera'), camera.state === 'on' ? 'camera' : 'none')
    if (this.#parts.own.hasShared) {
      this.#channel.setVideoType(session.sourceName('screen'), screen.state === 'on' ? 'desktop' : 'none')
    }
  }

  #channelHandlers(): ChannelHandlers {
    const { state, occupants } = this.#parts
    return {
      mapped: (sources) => this.#session?.map(sources),
      forwarded: (sources) => {
        occupants.setForwarded(sources)
        state.set({ occupants: occupants.views() })
      },
      reachable: (id, reachable) => {
        occupants.setReachable(id, reachable)
        state.set({ occupants: occupants.views() })
      },
      speaker: (id, previous, silence) => {
        const speaker = { id, previous, silence }
        state.set({ speaker })
        state.emit('dominantSpeaker', speaker)
      },
      wanted: (source, maxHeight) => this.#session?.setWantedHeight(source, maxHeight),
      message: (from, payload) => this.#parts.message(from, payload),
      downlink: (bps) => (this.#downlink = bps)
    }
  }
}

export function switchOff(media: LocalMedia, role: LocalRole): void {
  if (role === 'microphone') void media.setMicrophone(false)
  else if (role === 'camera') void media.setCamera(false)
  else void media.stopShare()
}

/** What a refusal by the service says; null when it was none. */
function conditionOf(error: unknown): string | null {
  return error instanceof StanzaError ? error.info.condition : null
}
