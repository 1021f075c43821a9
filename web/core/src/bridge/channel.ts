// The bridge channel: JSON over a WebSocket of its own. Reconnects for as long as it lives.

const FIRST_RETRY_MS = 1_000
const LONGEST_RETRY_MS = 60_000
const CONSTRAINTS_DEBOUNCE_MS = 100

/** A slot toward us: one SSRC that carries whatever source the bridge maps on it. */
export interface MappedSource {
  readonly source: string
  readonly owner: string
  readonly ssrc: number
  readonly rtx: number | null
  readonly kind: 'audio' | 'video'
}

export interface Constraints {
  readonly lastN: number
  readonly onStageSources: readonly string[]
  readonly constraints: Readonly<Record<string, { maxHeight: number }>>
}

export interface ChannelHandlers {
  mapped(sources: readonly MappedSource[]): void
  forwarded(sources: readonly string[]): void
  /** Whether the bridge hears of somebody. */
  reachable(id: string, reachable: boolean): void
  speaker(id: string, previous: readonly string[], silence: boolean): void
  /** Height somebody wants of a source of ours; 0 none, -1 no limit. */
  wanted(source: string, maxHeight: number): void
  message(from: string, payload: Record<string, unknown>): void
  downlink(bps: number): void
}

type Json = Record<string, unknown>

export class BridgeChannel {
  readonly #url: string
  readonly #handlers: ChannelHandlers
  #socket: WebSocket | null = null
  #retryMs = FIRST_RETRY_MS
  #retry: ReturnType<typeof setTimeout> | undefined
  #debounce: ReturnType<typeof setTimeout> | undefined
  #constraints: Constraints
  readonly #videoTypes = new Map<string, string>()
  #closed = false

  constructor(url: string, constraints: Constraints, handlers: ChannelHandlers) {
    this.#url = url
    this.#constraints = constraints
    this.#handlers = handlers
    this.#open()
  }

  setConstraints(constraints: Constraints): void {
    this.#constraints = constraints
    clearTimeout(this.#debounce)
    this.#debounce = setTimeout(() => this.#sendConstraints(), CONSTRAINTS_DEBOUNCE_MS)
  }

  /** `camera`, `desktop`, or `none` while it sends nothing. */
  setVideoType(source: string, type: 'camera' | 'desktop' | 'none'): void {
    if (this.#videoTypes.get(source) === type) return
    this.#videoTypes.set(source, type)
    this.#send({ colibriClass: 'SourceVideoTypeMessage', sourceName: source, videoType: type })
  }

  sendMessage(to: string, payload: Readonly<Record<string, unknown>>): boolean {
    return this.#send({ colibriClass: 'EndpointMessage', to, msgPayload: payload })
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#retry)
    clearTimeout(this.#debounce)
    this.#socket?.close()
  }

  #open(): void {
    let socket: WebSocket
    try {
      socket = new WebSocket(this.#url)
    } catch {
      // No address, or not one this page may open: the conference goes on without layout control.
      return
    }
    this.#socket = socket
    socket.onopen = () => {
      this.#retryMs = FIRST_RETRY_MS
      this.#sendConstraints()
      for (const [sourceName, videoType] of this.#videoTypes) {
        this.#send({ colibriClass: 'SourceVideoTypeMessage', sourceName, videoType })
      }
    }
    socket.onmessage = (event) => this.#message(String(event.data))
    socket.onclose = () => {
      if (this.#closed || this.#socket !== socket) return
      this.#retry = setTimeout(() => this.#open(), this.#retryMs)
      this.#retryMs = Math.min(this.#retryMs * 2, LONGEST_RETRY_MS)
    }
  }

  #send(message: Json): boolean {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false
    this.#socket.send(JSON.stringify(message))
    return true
  }

  #sendConstraints(): void {
    this.#send({
      colibriClass: 'ReceiverVideoConstraints',
      ...this.#constraints,
      selectedSources: [],
      defaultConstraints: { maxHeight: 0 }
    })
  }

  #message(text: string): void {
    if (this.#closed) return
    let message: unknown
    try {
      message = JSON.parse(text)
    } catch {
      return
    }
    if (!isObject(message)) return
    switch (message['colibriClass']) {
      case 'VideoSourcesMap':
        this.#handlers.mapped(mapped(message, 'video'))
        break
      case 'AudioSourcesMap':
        this.#handlers.mapped(mapped(message, 'audio'))
        break
      case 'ForwardedSources':
        this.#handlers.forwarded(strings(message['forwardedSources']))
        break
      case 'EndpointConnectivityStatusChangeEvent':
        // A string, not a boolean (protocol 3 §5.10).
        if (typeof message['endpoint'] === 'string') this.#handlers.reachable(message['endpoint'], message['active'] === 'true')
        break
      case 'DominantSpeakerEndpointChangeEvent':
        if (typeof message['dominantSpeakerEndpoint'] === 'string') {
          const previous = strings(message['previousSpeakers'])
          this.#handlers.speaker(message['dominantSpeakerEndpoint'], previous, message['silence'] === true)
        }
        break
      case 'SenderSourceConstraints':
        if (typeof message['sourceName'] === 'string' && typeof message['maxHeight'] === 'number') {
          this.#handlers.wanted(message['sourceName'], message['maxHeight'])
        }
        break
      case 'EndpointMessage':
        if (typeof message['from'] === 'string' && isObject(message['msgPayload'])) {
          this.#handlers.message(message['from'], message['msgPayload'])
        }
        break
      case 'ConnectionStats':
        if (typeof message['estimatedDownlinkBandwidth'] === 'number') {
          this.#handlers.downlink(message['estimatedDownlinkBandwidth'])
        }
        break
      default:
    }
  }
}

function mapped(message: Json, kind: 'audio' | 'video'): MappedSource[] {
  const list = Array.isArray(message['mappedSources']) ? message['mappedSources'] : []
  return list.flatMap((entry: unknown) => {
    if (!isObject(entry)) return []
    const { source, owner, ssrc, rtx } = entry
    if (typeof source !== 'string' || typeof owner !== 'string' || !isSsrc(ssrc)) return []
    return [{ source, owner, ssrc, rtx: isSsrc(rtx) && rtx !== ssrc ? rtx : null, kind }]
  })
}

function isSsrc(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 && value <= 0xff_ff_ff_ff
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((entry) => typeof entry === 'string') : []
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
