/** What this browser remembers for its person. Kept under one versioned key; a broken one is ignored. */
export type Theme = 'system' | 'dark' | 'light'

export interface RecentRoom {
  readonly path: string
  readonly room: string
  readonly at: number
  readonly minutes: number
}

interface Remembered {
  name: string
  theme: Theme
  microphoneOn: boolean
  cameraOn: boolean
  microphoneId: string | null
  cameraId: string | null
  speakerId: string | null
  mirror: boolean
  recent: RecentRoom[]
}

const KEY = 'althing.settings.1'
const MOST_RECENT = 30

const defaults: Remembered = {
  name: '',
  theme: 'system',
  microphoneOn: true,
  cameraOn: true,
  microphoneId: null,
  cameraId: null,
  speakerId: null,
  mirror: true,
  recent: []
}

export type Store = Pick<Storage, 'getItem' | 'setItem'>

export class Settings {
  /** Deeply reactive; call `save` after a change. */
  values: Remembered
  readonly #store: Store | null

  constructor(store: Store | null) {
    this.#store = store
    this.values = $state(load(store))
  }

  set<K extends keyof Remembered>(key: K, value: Remembered[K]): void {
    this.values[key] = value
    this.save()
  }

  /** Newest first, each room once. */
  remember(visit: RecentRoom): void {
    const others = this.values.recent.filter(recent => recent.path !== visit.path)
    this.set('recent', [visit, ...others].slice(0, MOST_RECENT))
  }

  forget(path: string): void {
    this.set(
      'recent',
      this.values.recent.filter(recent => recent.path !== path)
    )
  }

  save(): void {
    try {
      this.#store?.setItem(KEY, JSON.stringify(this.values))
    } catch {
      // A full or forbidden store costs the memory, not the meeting.
    }
  }
}

function load(store: Store | null): Remembered {
  try {
    const saved: unknown = JSON.parse(store?.getItem(KEY) ?? '{}')
    return sameKinds(defaults, saved)
  } catch {
    return { ...defaults }
  }
}

/** Takes a saved value only where it is of the kind we expect. */
function sameKinds(expected: Remembered, saved: unknown): Remembered {
  const result: Record<string, unknown> = { ...expected }
  for (const [key, value] of Object.entries(saved ?? {})) {
    if (!Object.hasOwn(expected, key)) continue
    const known = result[key]
    const fits = key.endsWith('Id') ? value === null || typeof value === 'string' : typeof value === typeof known
    if (fits && Array.isArray(value) === Array.isArray(known)) result[key] = value
  }
  const taken = result as unknown as Remembered
  return { ...taken, recent: taken.recent.filter(recent => typeof recent?.path === 'string') }
}
