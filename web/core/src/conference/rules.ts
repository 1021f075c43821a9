// AV moderation: what people may switch on without asking, as the service tells it (protocol 4 §7).

import type { MediaRole, MediaRule, OccupantId } from '../types.ts'
import { type ConferenceState, NO_RULES } from './state.ts'

type Json = Readonly<Record<string, unknown>>

export const MEDIA_TYPES: Readonly<Record<MediaRole, 'audio' | 'video' | 'desktop'>> = {
  microphone: 'audio',
  camera: 'video',
  screen: 'desktop'
}
const ROLES = Object.keys(MEDIA_TYPES) as MediaRole[]

export class Rules {
  readonly #state: ConferenceState
  readonly #switchOff: (kind: MediaRole) => void
  /** We asked, and somebody said yes. */
  readonly #approved = new Set<MediaRole>()
  #startMuted: { readonly microphone: boolean; readonly camera: boolean } = { microphone: false, camera: false }

  constructor(state: ConferenceState, switchOff: (kind: MediaRole) => void) {
    this.#state = state
    this.#switchOff = switchOff
  }

  /** A message of the service; only what is about rules is of interest. */
  heard(message: Json): void {
    if (message['type'] === 'room_metadata') this.#metadata(message['metadata'])
    if (message['type'] !== 'av_moderation') return
    const kind = ROLES.find((role) => MEDIA_TYPES[role] === message['mediaType'])
    if (!kind) return
    const { whitelists, enabled, removed, approved } = message
    // One message carries one meaning; the order is that of other clients.
    if (isObject(whitelists)) this.#patch(kind, { approved: ids(whitelists[MEDIA_TYPES[kind]]) })
    else if (typeof enabled === 'boolean') this.#enabled(kind, enabled, nick(message['actor']))
    else if (removed === true) this.#revoked(kind)
    else if (approved === true) this.#allowed(kind, nick(message['from']))
  }

  /** We are in, or our role is another one: what we may not use is switched off. */
  apply(): void {
    const moderates = this.#state.snapshot.self.role === 'moderator'
    for (const kind of ROLES) {
      const { enabled } = this.#state.snapshot.rules[kind]
      const allowed = !enabled || moderates || this.#approved.has(kind)
      this.#patch(kind, { allowed })
      if (!allowed) this.#switchOff(kind)
    }
  }

  /** Whether newcomers start muted; asked once, at the first join. */
  startMuted(): { readonly microphone: boolean; readonly camera: boolean } {
    const moderates = this.#state.snapshot.self.role === 'moderator'
    return moderates ? { microphone: false, camera: false } : this.#startMuted
  }

  /** The service will tell everything anew. */
  forget(): void {
    this.#approved.clear()
    this.#startMuted = { microphone: false, camera: false }
    this.#state.set({ rules: NO_RULES })
  }

  #metadata(metadata: unknown): void {
    const given = isObject(metadata) ? metadata['startMuted'] : undefined
    const [audio, video] = isObject(given) ? [given['audio'], given['video']] : []
    this.#startMuted = { microphone: audio === true, camera: video === true }
  }

  #enabled(kind: MediaRole, enabled: boolean, by: OccupantId | null): void {
    const before = this.#state.snapshot.rules[kind].enabled
    this.#approved.delete(kind)
    this.#patch(kind, { enabled, by, ...(enabled ? {} : { approved: [] }) })
    if (this.#inside()) this.apply()
    if (before !== enabled) this.#state.emit('ruleChanged', { kind, enabled, by })
  }

  #allowed(kind: MediaRole, by: OccupantId | null): void {
    const { enabled } = this.#state.snapshot.rules[kind]
    if (enabled) {
      this.#approved.add(kind)
      this.apply()
    }
    // Nobody opens a microphone but the one it belongs to.
    this.#state.emit('unmuteOffered', { kind, by, asked: !enabled })
  }

  #revoked(kind: MediaRole): void {
    if (!this.#approved.delete(kind)) return
    this.apply()
    this.#state.emit('unmuteWithdrawn', { kind })
  }

  #inside(): boolean {
    return this.#state.snapshot.self.role !== 'none'
  }

  #patch(kind: MediaRole, change: Partial<MediaRule>): void {
    const { rules } = this.#state.snapshot
    const rule = { ...rules[kind], ...change }
    const same = (Object.keys(rule) as (keyof MediaRule)[]).every((key) => rule[key] === rules[kind][key])
    if (!same) this.#state.set({ rules: { ...rules, [kind]: rule } })
  }
}

function nick(jid: unknown): OccupantId | null {
  return typeof jid === 'string' ? (jid.split('/')[1] ?? null) : null
}

/** A list of nobody may be told as an object. */
function ids(jids: unknown): OccupantId[] {
  return Array.isArray(jids) ? jids.flatMap((jid: unknown) => nick(jid) ?? []) : []
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
