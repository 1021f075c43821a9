// Microphone, camera and screen of this person. Lives from prejoin to the end, across reconnects.

import type {
  Device,
  DeviceKind,
  Devices,
  LocalDevice,
  LocalMedia,
  LocalMediaEvents,
  LocalMediaOptions,
  LocalMediaSnapshot,
  MediaFailureCode,
  MediaOutcome,
  ShareOptions
} from '../types.ts'
import { Published } from '../published.ts'
import { watchTrackLevel } from './level.ts'

const OK: MediaOutcome = { ok: true }
const NO_DEVICES: Devices = { microphones: [], cameras: [], speakers: [] }

/** What is over sooner than that is not opened again by itself: somebody else wants it, too. */
const SHORTEST_LIFE_MS = 3_000

const off = (deviceId: string | null): LocalDevice => ({ state: 'off', track: null, deviceId })

type Role = 'microphone' | 'camera' | 'screen'

export function createLocalMedia(options: LocalMediaOptions = {}): LocalMedia {
  return new BrowserMedia(options)
}

/** What a failed capture means, from the browser's exception. */
export function failureCode(error: unknown, secure: boolean): MediaFailureCode {
  const { name, message } = (error ?? {}) as { name?: string; message?: string }
  switch (name) {
    case 'NotAllowedError':
    case 'SecurityError':
      // Chromium says so when the operating system is the one who refuses.
      if (!secure || /system/iu.test(message ?? '')) return 'blocked'
      return 'denied'
    case 'NotFoundError':
    case 'OverconstrainedError':
    case 'DevicesNotFoundError':
      return 'missing'
    case 'NotReadableError':
    case 'AbortError':
    case 'TrackStartError':
      return 'busy'
    default:
      return secure ? 'unknown' : 'blocked'
  }
}

class BrowserMedia implements LocalMedia {
  readonly #maxHeight: number
  readonly #aborts = new AbortController()
  readonly #state: Published<LocalMediaSnapshot, LocalMediaEvents>
  /** The latest wish per device: a slow camera must not come on after it was switched off. */
  readonly #wish: Record<Role, number> = { microphone: 0, camera: 0, screen: 0 }
  /** One look at the devices after the other, or both would replace what is gone. */
  #checking: Promise<void> = Promise.resolve()

  constructor(options: LocalMediaOptions) {
    this.#maxHeight = options.maxHeight ?? 720
    this.#state = new Published<LocalMediaSnapshot, LocalMediaEvents>({
      microphone: off(options.microphoneId ?? null),
      camera: off(options.cameraId ?? null),
      screen: off(null),
      devices: NO_DEVICES,
      speakerId: options.speakerId ?? null
    })
    navigator.mediaDevices?.addEventListener('devicechange', () => void this.#checkDevices(), {
      signal: this.#aborts.signal
    })
    void this.#listDevices()
  }

  snapshot(): LocalMediaSnapshot {
    return this.#state.snapshot
  }

  subscribe(listener: (snapshot: LocalMediaSnapshot) => void): () => void {
    return this.#state.subscribe(listener)
  }

  on<K extends keyof LocalMediaEvents>(event: K, listener: (detail: LocalMediaEvents[K]) => void): () => void {
    return this.#state.on(event, listener)
  }

  async setMicrophone(on: boolean): Promise<MediaOutcome> {
    const { microphone } = this.#state.snapshot
    if (!on) {
      this.#wish.microphone++
      // The track stays, so that unmuting is instant.
      if (microphone.track) {
        microphone.track.enabled = false
        this.#state.set({ microphone: { state: 'muted', track: microphone.track, deviceId: microphone.deviceId } })
      } else this.#state.set({ microphone: off(microphone.deviceId) })
      return OK
    }
    if (microphone.track && microphone.track.readyState === 'live') {
      microphone.track.enabled = true
      this.#state.set({ microphone: { state: 'on', track: microphone.track, deviceId: microphone.deviceId } })
      return OK
    }
    return this.#capture('microphone', microphone.deviceId)
  }

  async setCamera(on: boolean): Promise<MediaOutcome> {
    const { camera } = this.#state.snapshot
    if (!on) {
      this.#wish.camera++
      camera.track?.stop()
      this.#state.set({ camera: off(camera.deviceId) })
      return OK
    }
    if (camera.state === 'on') return OK
    return this.#capture('camera', camera.deviceId)
  }

  async startShare(options: ShareOptions = {}): Promise<MediaOutcome> {
    const wish = ++this.#wish.screen
    this.#state.set({ screen: { state: 'starting', track: null, deviceId: null } })
    try {
      const motion = options.content === 'motion'
      const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { max: motion ? 30 : 15 } } })
      const [track] = stream.getVideoTracks()
      if (!track) throw new DOMException('no picture', 'NotFoundError')
      if (wish !== this.#wish.screen) {
        track.stop()
        return { ok: false, code: 'cancelled' }
      }
      track.contentHint = motion ? 'motion' : 'detail'
      track.addEventListener('ended', () => {
        if (this.#state.snapshot.screen.track !== track) return
        this.#state.set({ screen: off(null) })
        this.#state.emit('shareEnded', {})
      })
      this.#state.set({ screen: { state: 'on', track, deviceId: null } })
      return OK
    } catch (error) {
      const code = failureCode(error, window.isSecureContext)
      // Closing the picker is how a person says no here; it is no failure to be shown.
      const cancelled = code === 'denied'
      this.#state.set({ screen: off(null) })
      return { ok: false, code: cancelled ? 'cancelled' : code }
    }
  }

  async stopShare(): Promise<void> {
    this.#wish.screen++
    this.#state.snapshot.screen.track?.stop()
    this.#state.set({ screen: off(null) })
  }

  async selectDevice(kind: DeviceKind, id: string): Promise<MediaOutcome> {
    if (kind === 'speaker') {
      this.#state.set({ speakerId: id })
      return OK
    }
    const { state } = this.#state.snapshot[kind]
    // Whoever chooses another because one does not work wants that one.
    if (state !== 'off') return this.#capture(kind, id, state === 'muted')
    this.#state.set({ [kind]: off(id) })
    return OK
  }

  watchLevel(listener: (level: number) => void): () => void {
    let stop = () => {}
    let watched: MediaStreamTrack | null = null
    const follow = ({ microphone }: LocalMediaSnapshot) => {
      const track = microphone.state === 'on' ? microphone.track : null
      if (track === watched) return
      stop()
      watched = track
      if (track) stop = watchTrackLevel(track, listener)
      else {
        stop = () => {}
        listener(0)
      }
    }
    follow(this.#state.snapshot)
    const unsubscribe = this.subscribe(follow)
    return () => {
      unsubscribe()
      stop()
    }
  }

  dispose(): void {
    this.#aborts.abort()
    for (const role of ['microphone', 'camera', 'screen'] as const) {
      this.#wish[role]++
      this.#state.snapshot[role].track?.stop()
    }
    this.#state.forget()
  }

  async #capture(role: 'microphone' | 'camera', deviceId: string | null, muted = false): Promise<MediaOutcome> {
    const wish = ++this.#wish[role]
    const old = this.#state.snapshot[role].track
    if (!old) this.#state.set({ [role]: { state: 'starting', track: null, deviceId } })
    try {
      const track = await this.#getTrack(role, deviceId).catch((error: unknown) => {
        const inTheWay = old?.readyState === 'live' && failureCode(error, window.isSecureContext) === 'busy'
        if (!inTheWay || wish !== this.#wish[role]) throw error
        // Phones open one camera at a time, and Firefox one microphone.
        old.stop()
        return this.#getTrack(role, deviceId)
      })
      if (wish !== this.#wish[role]) {
        track.stop()
        return { ok: false, code: 'cancelled' }
      }
      old?.stop()
      const actual = track.getSettings().deviceId ?? deviceId
      track.enabled = !muted
      const since = Date.now()
      track.addEventListener('ended', () => void this.#ended(role, track, since), { signal: this.#aborts.signal })
      this.#state.set({ [role]: { state: muted ? 'muted' : 'on', track, deviceId: actual } })
      void this.#listDevices()
      return OK
    } catch (error) {
      const code = failureCode(error, window.isSecureContext)
      // One that still works stays; one that is dead carries nothing to anybody.
      if (wish === this.#wish[role] && old?.readyState !== 'live') this.#state.set({ [role]: { state: 'failed', track: null, deviceId, code } })
      return { ok: false, code }
    }
  }

  async #getTrack(role: 'microphone' | 'camera', deviceId: string | null): Promise<MediaStreamTrack> {
    if (!navigator.mediaDevices) throw new DOMException('insecure page', 'SecurityError')
    // A remembered device that is gone is no reason to have none.
    const device = deviceId ? { deviceId: { ideal: deviceId } } : {}
    const constraints: MediaStreamConstraints =
      role === 'microphone'
        ? { audio: { ...device, echoCancellation: true, noiseSuppression: true, autoGainControl: true } }
        : { video: { ...device, height: { ideal: this.#maxHeight }, width: { ideal: (this.#maxHeight * 16) / 9 } } }
    const stream = await navigator.mediaDevices.getUserMedia(constraints)
    const [track] = stream.getTracks()
    if (!track) throw new DOMException('no track', 'NotFoundError')
    return track
  }

  /** A track that we did not stop is over: unplugged, taken by the system, or no longer allowed. */
  async #ended(role: 'microphone' | 'camera', track: MediaStreamTrack, since: number): Promise<void> {
    await this.#checkDevices()
    const { state, track: current, deviceId } = this.#state.snapshot[role]
    if (current !== track || this.#aborts.signal.aborted) return
    const { label } = track
    const failed = (code: MediaFailureCode) => this.#state.emit('deviceLost', { kind: role, label, replacedBy: null, code })
    if (Date.now() - since < SHORTEST_LIFE_MS) {
      this.#wish[role]++
      this.#state.set({ [role]: { state: 'failed', track: null, deviceId, code: 'busy' } })
      return failed('busy')
    }
    const outcome = await this.#capture(role, deviceId, state === 'muted')
    if (!outcome.ok) {
      if (outcome.code !== 'cancelled') failed(outcome.code)
      return
    }
    const now = this.#state.snapshot[role].deviceId
    const { microphones, cameras } = this.#state.snapshot.devices
    const replacedBy = (role === 'microphone' ? microphones : cameras).find((device) => device.id === now) ?? null
    if (now !== deviceId) this.#state.emit('deviceLost', { kind: role, label, replacedBy })
  }

  #checkDevices(): Promise<void> {
    this.#checking = this.#checking.then(() => this.#devicesChanged())
    return this.#checking
  }

  async #devicesChanged(): Promise<void> {
    const before = this.#state.snapshot.devices
    await this.#listDevices()
    for (const [role, list, old] of [
      ['microphone', this.#state.snapshot.devices.microphones, before.microphones],
      ['camera', this.#state.snapshot.devices.cameras, before.cameras]
    ] as const) {
      const { deviceId, track } = this.#state.snapshot[role]
      const lost = old.find((device) => device.id === deviceId)
      if (!track || !lost || list.some((device) => device.id === deviceId)) continue
      const outcome = await this.#capture(role, null, this.#state.snapshot[role].state === 'muted')
      if (!outcome.ok && outcome.code === 'cancelled') continue
      const now = list.find((device) => device.id === this.#state.snapshot[role].deviceId) ?? null
      this.#state.emit('deviceLost', { kind: role, label: lost.label, replacedBy: outcome.ok ? now : null })
    }
  }

  async #listDevices(): Promise<void> {
    const all = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? []
    const of = (kind: MediaDeviceKind): Device[] =>
      all.filter((d) => d.kind === kind && d.deviceId !== '').map((d) => ({ id: d.deviceId, label: d.label }))
    this.#state.set({ devices: { microphones: of('audioinput'), cameras: of('videoinput'), speakers: of('audiooutput') } })
  }
}
