/** Short notices in a corner: five seconds, ten with a button, longer while somebody looks at them. */
export interface Notice {
  readonly id: number
  readonly text: string
  readonly tone: 'plain' | 'warn'
  readonly action?: { readonly label: string; readonly run: () => void } | undefined
}

const PLAIN_MS = 5000
const WITH_ACTION_MS = 10_000
const MOST = 4

export class Notices {
  all = $state.raw<readonly Notice[]>([])
  #next = 1
  #timers = new Map<number, ReturnType<typeof setTimeout>>()

  show(text: string, options: { tone?: Notice['tone']; action?: Notice['action'] } = {}): void {
    const same = this.all.find(notice => notice.text === text)
    if (same) this.close(same.id)
    const notice: Notice = { id: this.#next++, text, tone: options.tone ?? 'plain', action: options.action }
    for (const old of this.all.slice(0, Math.max(0, this.all.length - MOST + 1))) this.close(old.id)
    this.all = [...this.all, notice]
    this.#start(notice)
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
    const time = notice.action ? WITH_ACTION_MS : PLAIN_MS
    this.#timers.set(notice.id, setTimeout(() => this.close(notice.id), time))
  }
}
