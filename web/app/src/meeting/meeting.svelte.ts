/**
 * One meeting as the screen sees it. Snapshots of `core` are committed at most once per animation
 * frame; everything else here is what this person chose (page, pins, layout, panel) and pure
 * functions of the two. Sound levels do not come through here: see `media/attach.ts`.
 */
import type { Conference, Reaction, Snapshot } from '@althing/core'
import { bringIntoView, keepOrder } from '../layout/order.ts'
import { constraintsFor, type Picture } from '../layout/receive.ts'
import { onStage, sceneFor, viewOf, type Corner, type LayoutMode, type Scene, type SceneInput } from '../layout/scene.ts'
import { emptyStage, forget, hear, type StageSpeaker } from '../layout/speaker.ts'
import { pageCap, type Area } from '../layout/tiles.ts'
import { launch, REACTION_MS, signOf, type Flying } from './reactions.ts'
import { ownKey, ownScreenTile, ownTile, tilesOf, type TileRecord } from './tiles.ts'

const HIDDEN_COMMIT_MS = 100
const HIDDEN_SAVE_MS = 10_000
const MOST_PINNED = 6
/** Whoever is heard that long has got what the raised hand asked for. */
const HEARD_MS = 2000
/** The server offers within a second where it has the time. */
const MEDIA_WAIT_MS = 6000

export type Panel = 'chat' | 'people'

/** Whose menu is open, and where it was opened. */
export interface MenuPlace {
  readonly id: string
  readonly opener: HTMLElement
}

export class Meeting {
  readonly conference: Conference
  // The constructor fills it before anybody reads.
  view: Snapshot = $state.raw()!
  /** Room for tiles, and the window they are in. */
  area: Area = $state.raw({ width: 0, height: 0 })
  window: Area = $state.raw({ width: 0, height: 0 })
  page = $state(0)
  pinned: readonly string[] = $state.raw([])
  corner: Corner = $state('bottom-end')
  panel: Panel | null = $state(null)
  hostOpen = $state(false)
  menu: MenuPlace | null = $state.raw(null)
  /** Who gets the next message alone, there or gone; null for everybody. Only the person who writes changes it. */
  chatTo: string | null = $state(null)
  flying: readonly Flying[] = $state.raw([])
  /** Drives what depends on time: the timer, the sticky speaker. Once a second. */
  now = $state(Date.now())
  /** Others are here, and the server has not offered to carry sound for a while: it has too much to do. */
  waitsForMedia = $state(false)
  /** Nobody has looked at this page for ten seconds: no pictures are needed. */
  unwatched = $state(false)

  /** What was chosen while nobody shares, and while somebody does; a share starts with a free choice. */
  #choice: { calm: LayoutMode; sharing: LayoutMode } = $state.raw({ calm: 'auto', sharing: 'auto' })
  #order: readonly string[] = $state.raw([])
  #stage: StageSpeaker = $state.raw(emptyStage)
  #screens: readonly string[] = $state.raw([])
  #seen: string | null = $state.raw(null)
  #launched = 0
  #heardSince: number | null = null
  #idleSince: number | null = null
  #spokeAt = new Map<string, number>()
  #columns: number | undefined
  #stop: (() => void)[] = []
  #pending: Snapshot | null = null

  // Unchanged parts of a snapshot are the very same objects: whatever hangs on them stays as it is.
  readonly #me = $derived(this.view.self)
  readonly #occupants = $derived(this.view.occupants)
  readonly self = $derived(ownTile(this.#me))
  readonly ownScreen = $derived(ownScreenTile(this.#me))
  readonly #remote = $derived(this.#occupants.flatMap(tilesOf))
  readonly tiles: readonly TileRecord[] = $derived([
    ...this.#remote,
    this.self,
    ...(this.ownScreen ? [this.ownScreen] : [])
  ])
  readonly people = $derived(this.#occupants.length + 1)
  readonly mode = $derived(this.#screens.length > 0 ? this.#choice.sharing : this.#choice.calm)
  readonly scene: Scene = $derived.by(() => {
    const scene = sceneFor(this.#sceneInput())
    this.#columns = scene.view === 'grid' ? scene.columns : undefined
    return scene
  })
  readonly chatOpen = $derived(this.panel === 'chat')
  readonly peopleOpen = $derived(this.panel === 'people')
  readonly moderates = $derived(this.#me.role === 'moderator')
  readonly unread = $derived.by(() => {
    if (this.chatOpen) return 0
    const from = this.view.chat.findIndex(message => message.id === this.#seen) + 1
    return this.view.chat.slice(from).filter(message => !message.own && !message.history).length
  })
  /** Who is heard most right now; null in silence. */
  readonly dominant = $derived(this.view.speaker && !this.view.speaker.silence ? this.view.speaker.id : null)
  /** Raised hands, oldest first, as owners' ids. */
  readonly hands: readonly string[] = $derived(
    [...this.#occupants.map(one => [one.id, one.handRaisedAt] as const), [ownKey(this.#me), this.#me.handRaisedAt] as const]
      .filter(([, at]) => at !== null)
      .toSorted((a, b) => a[1]! - b[1]!)
      .map(([id]) => id)
  )
  readonly #constraints = $derived(
    JSON.stringify(
      this.unwatched ? { visible: [], lastN: 0 } : constraintsFor(this.#pictures(), globalThis.devicePixelRatio ?? 1)
    )
  )

  constructor(conference: Conference) {
    this.conference = conference
    this.view = conference.snapshot()
    this.#commit(this.view)
    this.#stop.push(conference.subscribe(snapshot => this.#queue(snapshot)))
    const second = setInterval(() => this.#tick(), 1000)
    this.#stop.push(
      () => clearInterval(second),
      $effect.root(() => {
        $effect(() => conference.setReceiveConstraints(JSON.parse(this.#constraints)))
      })
    )
    this.#watchVisibility()
  }

  dispose(): void {
    for (const stop of this.#stop.splice(0)) stop()
  }

  togglePin(key: string): void {
    this.pinned = this.pinned.includes(key)
      ? this.pinned.filter(pinned => pinned !== key)
      : [...this.pinned, key].slice(-MOST_PINNED)
    if (this.mode === 'grid' && this.pinned.includes(key)) this.setMode('auto')
  }

  /** Between grid and stage. */
  toggleLayout(): void {
    const grid = this.scene.view === 'grid'
    if (grid) this.setMode('stage')
    else {
      this.setMode('grid')
      this.pinned = []
    }
  }

  setMode(mode: LayoutMode): void {
    const sharing = this.#screens.length > 0
    this.#choice = sharing ? { ...this.#choice, sharing: mode } : { ...this.#choice, calm: mode }
    this.page = 0
  }

  turnPage(by: number): void {
    this.page = Math.max(0, Math.min(this.scene.pages - 1, this.scene.page + by))
  }

  openPanel(panel: Panel | null): void {
    if (this.chatOpen || panel === 'chat') this.#seen = this.view.chat.at(-1)?.id ?? null
    this.panel = panel
  }

  /** Opens the chat with this person as the only one who reads. */
  writeTo(id: string): void {
    this.chatTo = id
    this.openPanel('chat')
  }

  /** Of everybody's raised hands, from 1. */
  placeInQueue(id: string): number {
    const raised = this.conference.snapshot().occupants.filter(one => one.handRaisedAt !== null)
    const at = raised.find(one => one.id === id)?.handRaisedAt ?? Infinity
    const own = this.conference.snapshot().self.handRaisedAt
    return raised.filter(one => one.handRaisedAt! < at).length + (own !== null && own < at ? 1 : 0) + 1
  }

  showReactions(owner: string, reactions: readonly Reaction[]): void {
    const now = Date.now()
    const fresh = reactions.map(name => ({
      id: this.#launched++,
      owner,
      sign: signOf(name),
      at: Math.random(),
      until: now + REACTION_MS
    }))
    this.flying = launch(this.flying, fresh, now)
    const timer = setTimeout(() => (this.flying = launch(this.flying, [], Date.now())), REACTION_MS)
    this.#stop.push(() => clearTimeout(timer))
  }

  occupantName(id: string | null): string | null {
    return this.view.occupants.find(one => one.id === id)?.name ?? null
  }

  #queue(snapshot: Snapshot): void {
    const idle = this.#pending === null
    this.#pending = snapshot
    if (!idle) return
    const commit = () => {
      const latest = this.#pending
      this.#pending = null
      if (latest && this.#stop.length > 0) this.#commit(latest)
    }
    if (document.visibilityState === 'hidden') setTimeout(commit, HIDDEN_COMMIT_MS)
    else requestAnimationFrame(commit)
  }

  #commit(snapshot: Snapshot): void {
    this.view = snapshot
    const remote = snapshot.occupants.flatMap(tilesOf)
    const keys = new Set(remote.map(tile => tile.key))
    const screens = remote.filter(tile => tile.kind === 'screen').map(tile => tile.key)
    // Newest first: whoever was not there before comes to the front.
    const fresh = screens.filter(key => !this.#screens.includes(key))
    if (fresh.length > 0 && this.#screens.length === 0) this.#choice = { ...this.#choice, sharing: 'auto' }
    this.#screens = [...fresh, ...this.#screens.filter(key => keys.has(key))]
    this.#order = keepOrder(this.#order, [...keys])
    if (this.pinned.some(key => !keys.has(key) && key !== ownKey(snapshot.self))) {
      this.pinned = this.pinned.filter(key => keys.has(key) || key === ownKey(snapshot.self))
    }
    this.#stage = forget(this.#stage, id => keys.has(id))
    if (this.chatOpen) this.#seen = snapshot.chat.at(-1)?.id ?? null
    this.#followSpeaker(Date.now())
  }

  #tick(): void {
    this.now = Date.now()
    this.#lowerAfterSpeech(this.now)
    this.#watchMedia(this.now)
    this.#followSpeaker(this.now)
  }

  #watchMedia(now: number): void {
    const { connection, media } = this.view
    const idle = connection.phase === 'joined' && media === 'idle' && this.#occupants.length > 0
    if (!idle) this.#idleSince = null
    else this.#idleSince ??= now
    this.waitsForMedia = this.#idleSince !== null && now - this.#idleSince >= MEDIA_WAIT_MS
  }

  /** A hand is down again once its owner was heard. */
  #lowerAfterSpeech(now: number): void {
    if (this.dominant !== this.#me.id) this.#heardSince = null
    else this.#heardSince ??= now
    const heard = this.#heardSince !== null && now - this.#heardSince >= HEARD_MS
    if (heard && this.#me.handRaisedAt !== null) this.conference.setHandRaised(false)
  }

  #followSpeaker(now: number): void {
    const { speaker, self } = this.view
    const loud = speaker && !speaker.silence && speaker.id !== self.id ? speaker.id : null
    this.#stage = hear(this.#stage, loud, now)
    if (loud === null || !this.#order.includes(loud)) return
    this.#spokeAt.set(loud, now)
    const first = this.scene.view === 'grid' ? this.scene.perPage - 1 : this.scene.perPage
    const key = this.scene.view === 'grid' ? loud : (this.#stage.waiting?.id ?? loud)
    if (this.scene.page > 0 || first < 1) return
    const fixed = (tile: string) => this.pinned.includes(tile) || this.#screens.includes(tile)
    this.#order = bringIntoView(this.#order, key, first, tile => this.#spokeAt.get(tile) ?? 0, fixed)
  }

  #sceneInput(): SceneInput {
    return {
      area: this.area,
      order: this.#order,
      screens: this.#screens,
      self: this.self.key,
      ownScreen: this.ownScreen?.key ?? null,
      pinned: this.pinned,
      speaker: this.#stage.holds,
      mode: this.mode,
      page: this.page,
      cap: pageCap(this.window),
      columnsBefore: this.#columns,
      corner: this.corner
    }
  }

  #pictures(): Picture[] {
    const stage = viewOf(this.#sceneInput()) === 'stage' ? onStage(this.#sceneInput()) : []
    return this.#remote.flatMap(tile => {
      const placed = this.scene.placed.get(tile.key)
      if (!placed || tile.source === null) return []
      const onStageNow = stage.includes(tile.key) || placed.role === 'stage'
      return [{ source: tile.source, kind: tile.kind, height: Math.round(placed.height), onStage: onStageNow }]
    })
  }

  #watchVisibility(): void {
    let timer: ReturnType<typeof setTimeout> | undefined
    const changed = () => {
      clearTimeout(timer)
      if (document.visibilityState === 'hidden') timer = setTimeout(() => (this.unwatched = true), HIDDEN_SAVE_MS)
      else this.unwatched = false
    }
    document.addEventListener('visibilitychange', changed)
    this.#stop.push(() => {
      document.removeEventListener('visibilitychange', changed)
      clearTimeout(timer)
    })
  }
}
