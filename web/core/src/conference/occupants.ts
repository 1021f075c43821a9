// Remote people as the application sees them. A view that did not change keeps its identity.

import type { Present } from '../room/room.ts'
import type { AudioView, Occupant, OccupantId, StreamingStatus, VideoView } from '../types.ts'

/** A forwarded picture that stands still this long is trouble. */
const INTERRUPTED_AFTER_MS = 10_000

interface Entry {
  present: Present
  readonly order: number
  view: Occupant
}

export class Occupants {
  readonly #entries = new Map<OccupantId, Entry>()
  readonly #trackOf: (source: string) => MediaStreamTrack | null
  /** Null until the bridge has said: then every source counts as forwarded. */
  #forwarded: ReadonlySet<string> | null = null
  /** Since when a forwarded track has been mute. */
  readonly #muteSince = new Map<string, number>()
  /** The bridge hears nothing of them. */
  readonly #unreachable = new Set<OccupantId>()
  #order = 0
  #views: readonly Occupant[] = []

  constructor(trackOf: (source: string) => MediaStreamTrack | null) {
    this.#trackOf = trackOf
  }

  views(): readonly Occupant[] {
    return this.#views
  }

  /** The bare address of somebody; null when they are not here, or the room does not tell it. */
  jid(id: OccupantId): string | null {
    return this.#entries.get(id)?.present.jid ?? null
  }

  /** Of everybody who is no moderator. */
  jids(): string[] {
    return [...this.#entries.values()].flatMap(({ present }) => (present.role === 'moderator' ? [] : (present.jid ?? [])))
  }

  /** What each of them decodes. */
  codecs(): (readonly string[])[] {
    return [...this.#entries.values()].map(({ present }) => present.codecs)
  }

  /** Returns the occupant when it is new. */
  update(present: Present): Occupant | null {
    const known = this.#entries.get(present.id)
    if (known) {
      known.present = present
      this.#refresh(known)
      return null
    }
    const order = this.#order++
    const entry: Entry = { present, order, view: this.#build(present, order) }
    this.#entries.set(present.id, entry)
    this.#publish()
    return entry.view
  }

  remove(id: OccupantId): Occupant | null {
    const entry = this.#entries.get(id)
    if (!entry) return null
    this.#entries.delete(id)
    this.#unreachable.delete(id)
    for (const source of entry.present.sources.keys()) this.#muteSince.delete(source)
    this.#publish()
    return entry.view
  }

  clear(): void {
    this.#entries.clear()
    this.sessionEnded()
  }

  sessionEnded(): void {
    this.#forwarded = null
    this.#muteSince.clear()
    this.#unreachable.clear()
    this.tracksChanged()
  }

  setReachable(id: OccupantId, reachable: boolean): void {
    if (reachable) this.#unreachable.delete(id)
    else if (this.#entries.has(id)) this.#unreachable.add(id)
    this.tracksChanged()
  }

  setForwarded(sources: readonly string[]): void {
    this.#forwarded = new Set(sources)
    for (const source of this.#muteSince.keys()) if (!this.#forwarded.has(source)) this.#muteSince.delete(source)
    this.tracksChanged()
  }

  tracksChanged(): void {
    for (const entry of this.#entries.values()) this.#refresh(entry)
    this.#publish()
  }

  /** Notices pictures that stand still; true when a view changed. */
  checkFrozen(now: number): boolean {
    const before = this.#views
    for (const { view } of this.#entries.values()) {
      for (const video of [view.camera, view.screen]) {
        if (!video?.track || video.muted || !this.#isForwarded(video.source) || !video.track.muted) {
          if (video) this.#muteSince.delete(video.source)
        } else if (!this.#muteSince.has(video.source)) this.#muteSince.set(video.source, now)
      }
    }
    for (const entry of this.#entries.values()) this.#refresh(entry, now)
    this.#publish()
    return this.#views !== before
  }

  #isForwarded(source: string): boolean {
    return this.#forwarded === null || this.#forwarded.has(source)
  }

  #refresh(entry: Entry, now = Date.now()): void {
    const next = this.#build(entry.present, entry.order, now)
    const audio = same(entry.view.audio, next.audio)
    const camera = same(entry.view.camera, next.camera)
    const screen = same(entry.view.screen, next.screen)
    const view = same(entry.view, { ...next, audio, camera, screen })
    if (view === entry.view) return
    entry.view = view
    this.#publish()
  }

  #publish(): void {
    const views = [...this.#entries.values()].map((entry) => entry.view)
    const unchanged = views.length === this.#views.length && views.every((view, index) => view === this.#views[index])
    if (!unchanged) this.#views = views
  }

  #build(present: Present, order: number, now = Date.now()): Occupant {
    let audio: AudioView | null = null
    let camera: VideoView | null = null
    let screen: VideoView | null = null
    for (const [source, { muted, screen: isScreen }] of present.sources) {
      const track = this.#trackOf(source)
      if (/-a\d+$/u.test(source)) {
        if (!audio || source.endsWith('-a0')) audio = { source, muted, track }
        continue
      }
      const view: VideoView = { source, muted, track, kind: isScreen ? 'screen' : 'camera', streaming: muted ? 'active' : this.#streaming(source, now) }
      if (isScreen) {
        if (!screen || (screen.muted && !muted)) screen = view
      } else if (!camera || (camera.muted && !muted)) camera = view
    }
    // A share that is over is no share.
    if (screen?.muted) screen = null
    return { id: present.id, name: present.name, role: present.role, order, audio, camera, screen, reachable: !this.#unreachable.has(present.id), handRaisedAt: present.handRaisedAt }
  }

  #streaming(source: string, now: number): StreamingStatus {
    if (!this.#isForwarded(source)) return 'inactive'
    const since = this.#muteSince.get(source)
    if (since === undefined) return 'active'
    return now - since >= INTERRUPTED_AFTER_MS ? 'interrupted' : 'restoring'
  }
}

/** The old object if every field is equal, else the new one. */
function same<T extends object | null>(before: T, after: T): T {
  if (before === null || after === null) return after
  const [old, fresh] = [Object.entries(before), new Map(Object.entries(after))]
  return old.length === fresh.size && old.every(([key, value]) => fresh.get(key) === value) ? before : after
}
