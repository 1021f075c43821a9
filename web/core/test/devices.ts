// Devices that do at once what they are told.

import { Published } from '../src/published.ts'
import type { DeviceKind, LocalDevice, LocalMedia, LocalMediaEvents, LocalMediaSnapshot, MediaOutcome } from '../src/types.ts'
import { FakeTrack } from './peer.ts'

const OFF: LocalDevice = { state: 'off', track: null, deviceId: null }
const OK: MediaOutcome = { ok: true }

export class FakeDevices implements LocalMedia {
  readonly #state = new Published<LocalMediaSnapshot, LocalMediaEvents>({
    microphone: OFF,
    camera: OFF,
    screen: OFF,
    devices: { microphones: [], cameras: [], speakers: [] },
    speakerId: null
  })
  #made = 0
  disposed = false

  #on(kind: string, settings = {}): LocalDevice {
    const track = new FakeTrack(kind, `local-${kind}-${++this.#made}`, settings) as unknown as MediaStreamTrack
    return { state: 'on', track, deviceId: 'd1' }
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
    const { track } = this.snapshot().microphone
    if (on) this.#state.set({ microphone: track ? { state: 'on', track, deviceId: 'd1' } : this.#on('audio') })
    else this.#state.set({ microphone: track ? { state: 'muted', track, deviceId: 'd1' } : OFF })
    return OK
  }

  async setCamera(on: boolean): Promise<MediaOutcome> {
    this.#state.set({ camera: on ? this.#on('video', { width: 1280, height: 720 }) : OFF })
    return OK
  }

  async startShare(): Promise<MediaOutcome> {
    this.#state.set({ screen: this.#on('video', { width: 1920, height: 1080 }) })
    return OK
  }

  async stopShare(): Promise<void> {
    this.#state.set({ screen: OFF })
  }

  async selectDevice(_kind: DeviceKind, _id: string): Promise<MediaOutcome> {
    return OK
  }

  watchLevel(listener: (level: number) => void): () => void {
    listener(0.5)
    return () => {}
  }

  dispose(): void {
    this.disposed = true
    this.#state.forget()
  }

  // -- the test's side --

  unplug(label: string): void {
    this.#state.emit('deviceLost', { kind: 'microphone', label, replacedBy: null })
  }
}
