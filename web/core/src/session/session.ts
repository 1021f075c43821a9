// One media session with the bridge: a peer connection, its pool of m-lines, its source slots.

import type { Element } from 'ltx'
import type { MappedSource } from '../bridge/channel.ts'
import { el } from '../stanza/build.ts'
import { NS } from '../stanza/ns.ts'
import { type LocalDescription, type LocalSource, acceptJingle, readLocal, sourceJingle } from '../sdp/local.ts'
import { isLayered } from '../media/codecs.ts'
import { type Kind, type Offer, withCodec } from '../sdp/offer.ts'
import { type Encoding, furtherEncodings, withEncodings } from '../sdp/simulcast.ts'
import { type Section, firstSections, remoteDescription } from '../sdp/remote.ts'

/** Which of our devices an m-line sends. */
export type LocalRole = 'microphone' | 'camera' | 'screen'

const SOURCE_SUFFIX: Record<LocalRole, string> = { microphone: 'a0', camera: 'v0', screen: 'v1' }
/** The m-line of the camera. */
const CAMERA_MID = '1'
/** One encoding of a camera: what its height is divided by, and the most it takes, in bits per second. */
interface Layer {
  readonly scale: number
  readonly maxBitrate: number
}

const layers = (low: number, standard: number, high: number): readonly Layer[] => [
  { scale: 4, maxBitrate: low * 1_000 },
  { scale: 2, maxBitrate: standard * 1_000 },
  { scale: 1, maxBitrate: high * 1_000 }
]
/** By codec (protocol 2 §15). */
const LAYERS = { vp8: layers(200, 500, 1_500), vp9: layers(100, 300, 1_200), av1: layers(100, 300, 1_000), h264: layers(400, 800, 2_000) }
/** Slots that come within this time are added in one renegotiation. */
const BATCH_MS = 30

export interface SessionHandlers {
  /** Sends a Jingle request to the focus; resolves with its answer. */
  request(jingle: Element): Promise<void>
  /** The tracks of remote sources may have changed. */
  tracksChanged(): void
  connectionChanged(state: RTCPeerConnectionState): void
  /** A change of the description did not work out: only a new session helps. */
  broken(error: unknown): void
}

interface Slot {
  readonly section: Section
  /** The source now on it; null once that moved to another slot. */
  source: string | null
  track: MediaStreamTrack | null
}

export class MediaSession {
  readonly pc: RTCPeerConnection
  readonly offer: Offer
  readonly #own: { readonly endpoint: string; readonly jid: string }
  readonly #handlers: SessionHandlers
  readonly #sections: Section[]
  readonly #slots = new Map<number, Slot>()
  readonly #senders = new Map<LocalRole, RTCRtpTransceiver>()
  readonly #tracks = new Map<LocalRole, MediaStreamTrack | null>()
  readonly #wanted = new Map<LocalRole, number>()
  /** Firefox sends as many encodings as it is asked for by name, the others those whose SSRCs stand in the answer. */
  readonly #asked: readonly string[] = 'mozInnerScreenX' in globalThis ? ['1', '2', '3'] : []
  readonly #further: readonly Encoding[] = this.#asked.length > 0 ? [] : furtherEncodings()
  /** What video is sent in. */
  #codec: string
  #redundantAudio = false
  #version = 1
  #queue: Promise<void> = Promise.resolve()
  #batch: ReturnType<typeof setTimeout> | undefined
  /** The focus knows the screen's source. */
  #screenSignalled = false
  #closed = false

  constructor(offer: Offer, own: { endpoint: string; jid: string; codec: string }, handlers: SessionHandlers) {
    this.offer = offer
    this.#codec = own.codec
    this.#own = own
    this.#handlers = handlers
    this.#sections = firstSections(offer)
    this.pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle', rtcpMuxPolicy: 'require' })
    this.pc.onconnectionstatechange = () => {
      if (!this.#closed) handlers.connectionChanged(this.pc.connectionState)
    }
  }

  /**
   * Answers the offer. Microphone and camera are signalled at once, sending or not; without `tracks`
   * nothing is, and this client only receives. Rejects with `StanzaError` when the focus refuses.
   */
  accept(tracks: ReadonlyMap<LocalRole, MediaStreamTrack | null> | null): Promise<void> {
    return this.#serial(async () => {
      try {
        await this.#answerOffer(tracks)
      } catch (error) {
        // Nothing that waits behind it may still be signalled.
        this.close()
        throw error
      }
    })
  }

  /**
   * The track one of our devices sends from now on; null sends nothing. Rejects with `StanzaError`
   * when the focus refuses the source, which then sends nothing.
   */
  setTrack(role: LocalRole, track: MediaStreamTrack | null): Promise<void> {
    return this.#serial(async () => {
      if (role !== 'microphone' && !this.offer.video) return
      if (role === 'screen' && track && !this.#screenSignalled) await this.#share(track)
      else await this.#attach(role, track)
    })
  }

  /** What video is sent in from now on. */
  setCodec(codec: string): void {
    if (codec === this.#codec) return
    this.#codec = codec
    const change = async () => {
      await this.#renegotiate()
      await this.#applyWanted('camera')
    }
    this.#serial(change).catch((error: unknown) => {
      if (!this.#closed) this.#handlers.broken(error)
    })
  }

  /** What others want of a source of ours (`SenderSourceConstraints`). */
  setWantedHeight(source: string, maxHeight: number): void {
    const role = (['camera', 'screen'] as const).find((r) => this.sourceName(r) === source)
    if (!role) return
    this.#wanted.set(role, maxHeight)
    void this.#serial(() => this.#applyWanted(role)).catch(() => {})
  }

  /** Sound goes twice both ways: offered, and taken by the browser. */
  get redundantAudio(): boolean {
    return this.#redundantAudio
  }

  sourceName(role: LocalRole): string {
    return `${this.#own.endpoint}-${SOURCE_SUFFIX[role]}`
  }

  /** New or renamed slots. */
  map(sources: readonly MappedSource[]): void {
    let added = false
    // What was not offered has no place in the description.
    for (const mapped of sources.filter(({ kind }) => kind === 'audio' || this.offer.video)) {
      for (const slot of this.#slots.values()) if (slot.source === mapped.source) slot.source = null
      const known = this.#slots.get(mapped.ssrc)
      if (known) {
        known.source = mapped.source
        continue
      }
      const number = this.#sections.length
      const name = `remote-${mapped.kind}-${number}`
      const section: Section = {
        mid: String(number),
        kind: mapped.kind,
        direction: 'sendonly',
        stream: { ssrc: mapped.ssrc, rtx: mapped.rtx, msid: `${name} ${name}` }
      }
      this.#sections.push(section)
      this.#slots.set(mapped.ssrc, { section, source: mapped.source, track: null })
      added = true
    }
    if (!added) {
      this.#handlers.tracksChanged()
      return
    }
    clearTimeout(this.#batch)
    this.#batch = setTimeout(() => {
      this.#serial(() => this.#renegotiate()).catch((error: unknown) => {
        if (!this.#closed) this.#handlers.broken(error)
      })
    }, BATCH_MS)
  }

  /** The track that carries a remote source now. */
  track(source: string): MediaStreamTrack | null {
    for (const slot of this.#slots.values()) if (slot.source === source) return slot.track
    return null
  }

  /** The receiver of a remote source, for levels. */
  receiver(source: string): RTCRtpReceiver | null {
    const track = this.track(source)
    return track ? (this.pc.getReceivers().find((receiver) => receiver.track === track) ?? null) : null
  }

  /** SSRC to source name, for statistics. */
  sources(): Map<number, string> {
    const found = new Map<number, string>()
    for (const [ssrc, slot] of this.#slots) if (slot.source !== null) found.set(ssrc, slot.source)
    return found
  }

  /** `<jingle action="session-terminate">`; with `restart` the focus offers anew. */
  terminateJingle(reason: 'success' | 'connectivity-error', restart: boolean): Element {
    const bridge = this.offer.bridgeSession
    return el(
      'jingle',
      NS.jingle,
      { action: 'session-terminate', sid: this.offer.sid, initiator: this.offer.initiator },
      el('reason', null, {}, el(reason, null)),
      ...(bridge === null ? [] : [el('bridge-session', NS.focus, { id: bridge, restart: restart ? 'true' : 'false' })])
    )
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#batch)
    this.pc.close()
  }

  /** One operation at a time; a failed one does not stop the next. */
  #serial(operation: () => Promise<void>): Promise<void> {
    const next = this.#queue.then(() => (this.#closed ? undefined : operation()))
    this.#queue = next.catch(() => {})
    return next
  }

  async #answerOffer(tracks: ReadonlyMap<LocalRole, MediaStreamTrack | null> | null): Promise<void> {
    await this.#setRemote()
    const first: readonly LocalRole[] = this.offer.video ? ['microphone', 'camera'] : ['microphone']
    for (const role of tracks ? first : []) {
      await this.#attach(role, tracks?.get(role) ?? null)
    }
    const local = await this.#answer()
    await this.#applyWanted('camera')
    const red = this.offer.audio.payloadTypes.find(({ name }) => name.toLowerCase() === 'red')
    this.#redundantAudio = red !== undefined && (local.accepted.get('audio')?.payloadTypes.has(red.id) ?? false)
    if (!local.transport) throw new Error('the browser answered without a transport')
    const sources = this.#sources(local, first)
    await this.#handlers.request(acceptJingle(this.offer, this.#own.jid, local, local.transport, sources))
  }

  async #setRemote(): Promise<void> {
    const sdp = remoteDescription(withCodec(this.offer, this.#codec), this.#sections, this.#version++, this.#asked)
    await this.pc.setRemoteDescription({ type: 'offer', sdp })
  }

  async #answer(): Promise<LocalDescription> {
    const { type, sdp } = await this.pc.createAnswer()
    await this.pc.setLocalDescription({ type, sdp: withEncodings(sdp ?? '', CAMERA_MID, this.#further) })
    return readLocal(this.pc.localDescription?.sdp ?? '')
  }

  async #renegotiate(): Promise<void> {
    await this.#setRemote()
    await this.#answer()
    this.#findTracks()
  }

  #findTracks(): void {
    const byMid = new Map(this.pc.getTransceivers().map((transceiver) => [transceiver.mid, transceiver]))
    for (const slot of this.#slots.values()) slot.track = byMid.get(slot.section.mid)?.receiver.track ?? null
    this.#handlers.tracksChanged()
  }

  async #attach(role: LocalRole, track: MediaStreamTrack | null): Promise<void> {
    let transceiver = this.#senders.get(role)
    if (!transceiver) {
      const mid = role === 'microphone' ? '0' : role === 'camera' ? CAMERA_MID : null
      transceiver = this.pc.getTransceivers().find((t) => mid !== null && t.mid === mid)
      if (!transceiver) return
      transceiver.direction = 'sendrecv'
      this.#senders.set(role, transceiver)
    }
    this.#tracks.set(role, track)
    await transceiver.sender.replaceTrack(track)
    await this.#applyWanted(role)
  }

  /** The first share opens an m-line and is signalled; later ones use both again. */
  async #share(track: MediaStreamTrack): Promise<void> {
    if (!this.#senders.has('screen')) {
      const mid = String(this.#sections.length)
      this.#sections.push({ mid, kind: 'video', direction: 'recvonly', stream: null })
      await this.#setRemote()
      const transceiver = this.pc.getTransceivers().find((t) => t.mid === mid)
      if (!transceiver) throw new Error('no transceiver for the share')
      transceiver.direction = 'sendonly'
      this.#senders.set('screen', transceiver)
    } else await this.#setRemote()
    await this.#attach('screen', track)
    const local = await this.#answer()
    this.#findTracks()
    try {
      await this.#handlers.request(sourceJingle('source-add', this.offer, this.#sources(local, ['screen'])))
      this.#screenSignalled = true
    } catch (error) {
      await this.#attach('screen', null)
      throw error
    }
  }

  #sources(local: LocalDescription, roles: readonly LocalRole[]): LocalSource[] {
    return roles.flatMap((role) => {
      const mid = this.#senders.get(role)?.mid
      const sending = mid === undefined || mid === null ? undefined : local.sending.get(mid)
      if (!sending) return []
      const kind: Kind = role === 'microphone' ? 'audio' : 'video'
      const name = this.sourceName(role)
      return [{ name, kind, screen: role === 'screen', encodings: sending, msid: `${name}-stream ${name}-track` }]
    })
  }

  /** Sends nothing that nobody wants, and nothing larger than somebody wants. */
  async #applyWanted(role: LocalRole): Promise<void> {
    const transceiver = this.#senders.get(role)
    if (!transceiver || role === 'microphone') return
    const parameters = transceiver.sender.getParameters()
    const { encodings } = parameters
    const given = this.#wanted.get(role)
    if (encodings.length === 0 || (given === undefined && encodings.length === 1)) return
    const wanted = given === undefined || given < 0 ? Infinity : given
    // Wanted is the shorter side, whichever way the picture is held.
    const { width, height } = this.#tracks.get(role)?.getSettings() ?? {}
    const captured = Math.min(width ?? Infinity, height ?? Infinity)
    const several = encodings.length === LAYERS.vp8.length
    if (several) applyLayers(encodings, this.#codec, wanted, captured)
    for (const encoding of several ? [] : encodings) {
      const scale = wanted > 0 && Number.isFinite(captured) ? captured / wanted : 1
      encoding.active = wanted !== 0
      // Text on a shared screen stays sharp: only cameras are scaled.
      encoding.scaleResolutionDownBy = role === 'camera' ? Math.max(1, scale) : 1
    }
    await transceiver.sender.setParameters(parameters).catch(() => {})
  }
}

/** Nothing larger than is wanted: as many encodings as that takes, or one encoding in as many layers. */
function applyLayers(encodings: RTCRtpEncodingParameters[], codec: string, wanted: number, captured: number): void {
  const all = codec in LAYERS ? LAYERS[codec as keyof typeof LAYERS] : LAYERS.vp8
  const fitting = all.filter(({ scale }, index) => index === 0 || !Number.isFinite(captured) || captured / scale <= wanted)
  const largest = fitting.at(-1)
  for (const [index, encoding] of encodings.entries()) {
    const one: RTCRtpEncodingParameters & { scalabilityMode?: string } = encoding
    const layer = isLayered(codec) ? largest : all[index]
    delete one.scalabilityMode
    one.active = wanted !== 0 && index < (isLayered(codec) ? 1 : fitting.length)
    if (!layer) continue
    one.scaleResolutionDownBy = layer.scale
    one.maxBitrate = layer.maxBitrate
    if (isLayered(codec) && index === 0) one.scalabilityMode = fitting.length === 1 ? 'L1T3' : `L${fitting.length}T3_KEY`
  }
}
