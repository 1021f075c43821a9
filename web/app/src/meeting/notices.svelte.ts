/** Short notices in a corner: five seconds, ten with a button, longer while somebody looks at them. */
export interface NoticeAction {
  readonly label: string
  readonly run: () => void
}

export interface Notice {
  readonly id: number
  readonly text: string
  readonly tone: 'plain' | 'warn'
  readonly actions: readonly NoticeAction[]
  /** A standing matter: one notice, replaced as it changes, until it is settled. */
  readonly about: string | null
}

export interface NoticeOptions {
  readonly tone?: Notice['tone']
  readonly action?: NoticeAction | undefined
  readonly actions?: readonly NoticeAction[]
  readonly about?: string
}

const PLAIN_MS = 5000
const WITH_ACTION_MS = 10_000
const MOST = 4

export class Notices {
  all = $state.raw<readonly Notice[]>([])
  #next = 1
  #timers = new Map<number, ReturnType<typeof setTimeout>>()

  show(text: string, options: NoticeOptions = {}): void {
    const about = options.about ?? null
    const same = this.all.find(notice => (about === null ? notice.text === text : notice.about === about))
    const actions = options.actions ?? (options.action ? [options.action] : [])
    const notice: Notice = { id: this.#next++, text, tone: options.tone ?? 'plain', actions, about }
    if (about !== null && same) {
      this.all = this.all.map(old => (old === same ? { ...notice, id: same.id } : old))
      return
    }
    if (same) this.close(same.id)
    const passing = this.all.filter(old => old.about === null)
    for (const old of passing.slice(0, Math.max(0, this.all.length - MOST + 1))) this.close(old.id)
    this.all = [...this.all, notice]
    this.#start(notice)
  }

  /** The matter is settled. */
  forget(about: string): void {
    for (const notice of this.all) if (notice.about === about) this.close(notice.id)
  }

  close(id: number): void {
    clearTimeout(this.#timers.get(id))
    this.#timers.delete(id)
    this.all = this.all.filter(notice => notice.id !== id)
  }

  /** Somebody points at them or is inside with the keyboard: none goes away. */
  pause(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer)
    this.#timers.clear()
  }

  resume(): void {
    for (const notice of this.all) this.#start(notice)
  }

  clear(): void {
    for (const notice of this.all) this.close(notice.id)
  }

  #start(notice: Notice): void {
    if (notice.about !== null) return
    const time = notice.actions.length > 0 ? WITH_ACTION_MS : PLAIN_MS
    this.#timers.set(notice.id, setTimeout(() => this.close(notice.id), time))
  }
}
