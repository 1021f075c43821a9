// What an application watches: one snapshot, replaced and never changed, and events beside it.

type Listener<T> = (detail: T) => void

export class Published<S extends object, E extends object> {
  #snapshot: S
  readonly #listeners = new Set<Listener<S>>()
  readonly #events = new Map<keyof E, Set<Listener<never>>>()
  #announced = false

  constructor(first: S) {
    this.#snapshot = first
  }

  get snapshot(): S {
    return this.#snapshot
  }

  /** Listeners hear of a batch of changes once, in a microtask. */
  set(change: Partial<S>): void {
    this.#snapshot = { ...this.#snapshot, ...change }
    if (this.#announced) return
    this.#announced = true
    queueMicrotask(() => {
      this.#announced = false
      for (const listener of this.#listeners) listener(this.#snapshot)
    })
  }

  /** Changes some fields of one record, which keeps its identity when they are what they were. */
  patch<K extends keyof S>(key: K, change: Partial<S[K]>): void {
    const record = this.#snapshot[key]
    const differs = (Object.keys(change) as (keyof S[K])[]).some((field) => change[field] !== record[field])
    if (differs) this.set({ [key]: { ...record, ...change } } as unknown as Partial<S>)
  }

  emit<K extends keyof E>(event: K, detail: E[K]): void {
    for (const listener of this.#events.get(event) ?? []) (listener as Listener<E[K]>)(detail)
  }

  subscribe(listener: Listener<S>): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  on<K extends keyof E>(event: K, listener: Listener<E[K]>): () => void {
    const set = this.#events.get(event) ?? new Set()
    this.#events.set(event, set)
    set.add(listener as Listener<never>)
    return () => set.delete(listener as Listener<never>)
  }

  /** Nobody listens any more. */
  forget(): void {
    this.#listeners.clear()
    this.#events.clear()
  }
}
