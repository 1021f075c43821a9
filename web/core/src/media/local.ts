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
import { watchTrackLevel } from './level.ts'

const OK: MediaOutcome = { ok: true }
const NO_DEVICES: Devices = { microphones: [], cameras: [], speakers: [] }

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
  readonly #listeners = new Set<(snapshot: LocalMediaSnapshot) => void>()
  readonly #events = new Map<keyof LocalMediaEvents, Set<(detail: never) => void>>()
  readonly #aborts = new AbortController()
  #snapshot: LocalMediaSnapshot
  #announced = false
  /** The latest wish per device: a slow camera must not come on after it was switched off. */
  readonly #wish: Record<Role, number> = { microphone: 0, camera: 0, screen: 0 }

  constructor(options: LocalMediaOptions) {
    this.#maxHeight = options.maxHeight ?? 720
    this.#snapshot = {
      microphone: off(options.microphoneId ?? null),
      camera: off(options.cameraId ?? null),
      screen: off(null),
      devices: NO_DEVICES,
      speakerId: options.speakerId ?? null
    }
    navigator.mediaDevices?.addEventListener('devicechange', () => void this.#devicesChanged(), {
      signal: this.#aborts.signal
    })
    void this.#listDevices()
  }

  snapshot(): LocalMediaSnapshot {
    return this.#snapshot
  }

  subscribe(listener: (snapshot: LocalMediaSnapshot) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  on<K extends keyof LocalMediaEvents>(event: K, listener: (detail: LocalMediaEvents[K]) => void): () => void {
    const set = this.#events.get(event) ?? new Set()
    this.#events.set(event, set)
    set.add(listener as (detail: never) => void)
    return () => set.delete(listener as (detail: never) => void)
  }

  async setMicrophone(on: boolean): Promise<MediaOutcome> {
    const { microphone } = this.#snapshot
    if (!on) {
      this.#wish.microphone++
      // The track stays, so that unmuting is instant.
      if (microphone.track) {
        microphone.track.enabled = false
        this.#set({ microphone: { state: 'muted', track: microphone.track, deviceId: microphone.deviceId } })
      } else this.#set({ microphone: off(microphone.deviceId) })
      return OK
    }
    if (microphone.track && microphone.track.readyState === 'live') {
      microphone.track.enabled = true
      this.#set({ microphone: { state: 'on', track: microphone.track, deviceId: microphone.deviceId } })
      return OK
    }
    return this.#capture('microphone', microphone.deviceId)
  }

  async setCamera(on: boolean): Promise<MediaOutcome> {
    const { camera } = this.#snapshot
    if (!on) {
      this.#wish.camera++
      camera.track?.stop()
      this.#set({ camera: off(camera.deviceId) })
      return OK
    }
    if (camera.state === 'on') return OK
    return this.#capture('camera', camera.deviceId)
  }

  async startShare(options: ShareOptions = {}): Promise<MediaOutcome> {
    const wish = ++this.#wish.screen
    this.#set({ screen: { state: 'starting', track: null, deviceId: null } })
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
        if (this.#snapshot.screen.track !== track) return
        this.#set({ screen: off(null) })
        this.#emit('shareEnded', {})
      })
      this.#set({ screen: { state: 'on', track, deviceId: null } })
      return OK
    } catch (error) {
      const code = failureCode(error, window.isSecureContext)
      // Closing the picker is how a person says no here; it is no failure to be shown.
      const cancelled = code === 'denied'
      this.#set({ screen: off(null) })
      return { ok: false, code: cancelled ? 'cancelled' : code }
    }
  }

  async stopShare(): Promise<void> {
    this.#wish.screen++
    this.#snapshot.screen.track?.stop()
    this.#set({ screen: off(null) })
  }

  async selectDevice(kind: DeviceKind, id: string): Promise<MediaOutcome> {
    if (kind === 'speaker') {
      this.#set({ speakerId: id })
      return OK
    }
    const current = this.#snapshot[kind]
    if (current.state === 'on' || current.state === 'muted') {
      const muted = current.state === 'muted'
      const outcome = await this.#capture(kind, id)
      if (outcome.ok && muted && kind === 'microphone') await this.setMicrophone(false)
      return outcome
    }
    this.#set({ [kind]: off(id) })
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
    follow(this.#snapshot)
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
      this.#snapshot[role].track?.stop()
    }
    this.#listeners.clear()
    this.#events.clear()
  }

  async #capture(role: 'microphone' | 'camera', deviceId: string | null): Promise<MediaOutcome> {
    const wish = ++this.#wish[role]
    const old = this.#snapshot[role].track
    if (!old) this.#set({ [role]: { state: 'starting', track: null, deviceId } })
    try {
      const track = await this.#getTrack(role, deviceId)
      if (wish !== this.#wish[role]) {
        track.stop()
        return { ok: false, code: 'cancelled' }
      }
      old?.stop()
      const actual = track.getSettings().deviceId ?? deviceId
      this.#set({ [role]: { state: 'on', track, deviceId: actual } })
      void this.#listDevices()
      return OK
    } catch (error) {
      const code = failureCode(error, window.isSecureContext)
      if (wish === this.#wish[role] && !old) this.#set({ [role]: { state: 'failed', track: null, deviceId, code } })
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

  async #devicesChanged(): Promise<void> {
    const before = this.#snapshot.devices
    await this.#listDevices()
    for (const [role, list, old] of [
      ['microphone', this.#snapshot.devices.microphones, before.microphones],
      ['camera', this.#snapshot.devices.cameras, before.cameras]
    ] as const) {
      const { deviceId, track } = this.#snapshot[role]
      const lost = old.find((device) => device.id === deviceId)
      if (!track || !lost || list.some((device) => device.id === deviceId)) continue
      const muted = this.#snapshot[role].state === 'muted'
      const outcome = await this.#capture(role, null)
      if (outcome.ok && muted && role === 'microphone') await this.setMicrophone(false)
      const now = list.find((device) => device.id === this.#snapshot[role].deviceId) ?? null
      this.#emit('deviceLost', { kind: role, label: lost.label, replacedBy: outcome.ok ? now : null })
    }
  }

  async #listDevices(): Promise<void> {
    const all = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? []
    const of = (kind: MediaDeviceKind): Device[] =>
      all.filter((d) => d.kind === kind && d.deviceId !== '').map((d) => ({ id: d.deviceId, label: d.label }))
    this.#set({ devices: { microphones: of('audioinput'), cameras: of('videoinput'), speakers: of('audiooutput') } })
  }

  #set(change: Partial<LocalMediaSnapshot>): void {
    this.#snapshot = { ...this.#snapshot, ...change }
    if (this.#announced) return
    this.#announced = true
    queueMicrotask(() => {
      this.#announced = false
      for (const listener of this.#listeners) listener(this.#snapshot)
    })
  }

  #emit<K extends keyof LocalMediaEvents>(event: K, detail: LocalMediaEvents[K]): void {
    for (const listener of this.#events.get(event) ?? []) (listener as (detail: LocalMediaEvents[K]) => void)(detail)
  }
}
