// A peer connection without a network: it remembers what it was told and answers as a browser would.

import { parse, write } from 'sdp-transform'
import { vi } from 'vitest'

export class FakeTrack {
  readonly id: string
  readonly kind: string
  readonly settings: { width?: number; height?: number }
  enabled = true
  muted = false
  readyState = 'live'

  constructor(kind: string, id: string, settings: { width?: number; height?: number } = {}) {
    this.kind = kind
    this.id = id
    this.settings = settings
  }

  stop(): void {
    this.readyState = 'ended'
  }

  getSettings(): { width?: number; height?: number } {
    return this.settings
  }
}

class FakeTransceiver {
  readonly mid: string
  direction: string = 'recvonly'
  readonly receiver: { readonly track: FakeTrack; getSynchronizationSources(): { timestamp: number; audioLevel: number }[] }
  readonly sender
  track: FakeTrack | null = null
  encodings: { active?: boolean; scaleResolutionDownBy?: number }[] = [{}]

  constructor(mid: string, kind: string) {
    this.mid = mid
    this.receiver = { track: new FakeTrack(kind, `received-${mid}`), getSynchronizationSources: () => [] }
    this.sender = {
      replaceTrack: async (track: FakeTrack | null) => {
        this.track = track
      },
      getParameters: () => ({ encodings: this.encodings.map((encoding) => ({ ...encoding })) }),
      setParameters: async (parameters: { encodings: { active?: boolean; scaleResolutionDownBy?: number }[] }) => {
        this.encodings = parameters.encodings
      }
    }
  }
}

export class FakePeer {
  static all: FakePeer[] = []
  /** Refuses the next remote description. */
  static refuses = false

  connectionState: RTCPeerConnectionState = 'new'
  onconnectionstatechange: (() => void) | null = null
  localDescription: { type: string; sdp: string } | null = null
  /** Every remote description, in order. */
  readonly remote: string[] = []
  readonly transceivers: FakeTransceiver[] = []
  closed = false
  report = new Map<string, Record<string, unknown>>()

  constructor() {
    FakePeer.all.push(this)
  }

  static get last(): FakePeer {
    const last = FakePeer.all.at(-1)
    if (!last) throw new Error('no peer connection was made')
    return last
  }

  async setRemoteDescription({ sdp }: { sdp: string }): Promise<void> {
    if (FakePeer.refuses) {
      FakePeer.refuses = false
      throw new DOMException('not this one', 'InvalidAccessError')
    }
    this.remote.push(sdp)
    for (const media of parse(sdp).media) {
      const mid = String(media.mid)
      if (!this.transceivers.some((known) => known.mid === mid)) this.transceivers.push(new FakeTransceiver(mid, media.type))
    }
  }

  async createAnswer(): Promise<{ type: string; sdp: string }> {
    const offer = parse(this.remote.at(-1) ?? '')
    const media = offer.media.map((section, index) => {
      const transceiver = this.transceivers.find(({ mid }) => mid === String(section.mid))
      const wants = transceiver?.direction ?? 'inactive'
      const sends = wants.startsWith('send') && section.direction !== 'sendonly'
      const receives = wants.endsWith('recv') || wants === 'recvonly'
      const direction = sends && receives ? 'sendrecv' : sends ? 'sendonly' : 'recvonly'
      // Of the codecs on offer this one knows all but AV1.
      const rtp = section.rtp.filter(({ codec, payload }) => codec !== 'AV1' && !aptOf(section.fmtp, payload, section.rtp))
      const ssrc = 5001 + index * 10
      const [fingerprint] = [{ type: 'sha-256', hash: 'AA:BB' }]
      return {
        type: section.type,
        port: 9,
        protocol: section.protocol,
        payloads: rtp.map(({ payload }) => payload).join(' '),
        mid: String(section.mid),
        iceUfrag: 'Gj36',
        icePwd: 'mBjHDoDCnIn4vGu/MSdBTIk3',
        fingerprint,
        setup: 'active',
        direction,
        rtcpMux: 'rtcp-mux',
        rtp,
        fmtp: [],
        ...(section.ext ? { ext: section.ext } : {}),
        ...(sends && section.type === 'video' ? { ssrcGroups: [{ semantics: 'FID', ssrcs: `${ssrc} ${ssrc + 1}` }] } : {}),
        ...(sends ? { ssrcs: [{ id: ssrc, attribute: 'cname', value: 'me' }] } : {})
      }
    })
    return { type: 'answer', sdp: write({ ...offer, media } as Parameters<typeof write>[0]) }
  }

  async setLocalDescription(description: { type: string; sdp: string }): Promise<void> {
    this.localDescription = description
    for (const media of parse(description.sdp).media) {
      const several = media.ssrcGroups?.find(({ semantics }) => semantics === 'SIM')?.ssrcs.split(' ').length ?? 1
      const transceiver = this.transceivers.find(({ mid }) => mid === String(media.mid))
      if (transceiver && transceiver.encodings.length < several) transceiver.encodings = Array.from({ length: several }, () => ({}))
    }
  }

  getTransceivers(): FakeTransceiver[] {
    return this.transceivers
  }

  getReceivers(): FakeTransceiver['receiver'][] {
    return this.transceivers.map(({ receiver }) => receiver)
  }

  async getStats(): Promise<Map<string, Record<string, unknown>>> {
    return this.report
  }

  close(): void {
    this.closed = true
    this.connectionState = 'closed'
  }

  // -- the test's side --

  /** The path to the bridge changes. */
  go(state: RTCPeerConnectionState): void {
    this.connectionState = state
    this.onconnectionstatechange?.()
  }

  /** What goes out on an m-line. */
  sending(mid: string): FakeTransceiver {
    const found = this.transceivers.find((transceiver) => transceiver.mid === mid)
    if (!found) throw new Error(`no m-line ${mid}`)
    return found
  }

  /** Directions of the latest remote description, by mid. */
  get directions(): Record<string, string> {
    const sections = parse(this.remote.at(-1) ?? '').media
    return Object.fromEntries(sections.map((section) => [String(section.mid), `${section.type} ${section.direction}`]))
  }
}

/** Whether a payload type retransmits AV1. */
function aptOf(fmtp: { payload: number; config: string }[], payload: number, rtp: { payload: number; codec: string }[]): boolean {
  const apt = Number(/apt=(\d+)/u.exec(fmtp.find((line) => line.payload === payload)?.config ?? '')?.[1])
  return rtp.some((codec) => codec.payload === apt && codec.codec === 'AV1')
}

export function installPeers(): void {
  FakePeer.all = []
  FakePeer.refuses = false
  vi.stubGlobal('RTCPeerConnection', FakePeer)
}
