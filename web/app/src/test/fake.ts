/** A conference for tests: says what it is told to say, remembers what it was asked. */
import type {
  AudioView,
  ChatMessage,
  Conference,
  ConferenceEvents,
  Devices,
  LocalDevice,
  LocalMedia,
  LocalMediaSnapshot,
  MediaRule,
  Moderation,
  Occupant,
  ReceiveConstraints,
  Snapshot,
  VideoView
} from '@althing/core'

export const deviceOff: LocalDevice = { state: 'off', track: null, deviceId: null }
export const deviceOn: LocalDevice = { state: 'on', track: {} as MediaStreamTrack, deviceId: 'one' }
export const freely: MediaRule = { enabled: false, by: null, allowed: true, approved: [] }
const devices: Devices = {
  microphones: [{ id: 'one', label: 'First microphone' }, { id: 'two', label: '' }],
  cameras: [],
  speakers: []
}

export function person(id: string, more: Partial<Occupant> = {}): Occupant {
  const audio: AudioView = { source: `${id}-a0`, muted: false, track: null }
  const camera: VideoView = { ...audio, source: `${id}-v0`, kind: 'camera', streaming: 'active' }
  const named = { id, name: id.toUpperCase(), role: 'participant' as const, order: 0 }
  return { ...named, audio, camera, screen: null, reachable: true, handRaisedAt: null, ...more }
}

export function screenOf(id: string): VideoView {
  return { source: `${id}-v1`, kind: 'screen', muted: false, track: null, streaming: 'active' }
}

export function said(id: string, text: string, more: Partial<ChatMessage> = {}): ChatMessage {
  const base = { from: 'b', name: 'B', own: false, isPrivate: false, to: null, at: 0, history: false }
  return { id, text, ...base, ...more }
}

export class FakeConference {
  asked: ReceiveConstraints[] = []
  sent: string[] = []
  passwords: string[] = []
  /** What a moderator ordered, in order. */
  orders: string[] = []
  reacted: string[] = []
  hands: boolean[] = []
  microphone: boolean[] = []
  left = false
  snapshot: Snapshot = {
    connection: { phase: 'joined' },
    media: 'connected',
    room: { name: 'standup', subject: null, startedAt: null, locked: false, lobby: false, media: 'all' },
    self: { id: 'me', name: null, role: 'participant', microphone: deviceOff, camera: deviceOff, screen: deviceOff, handRaisedAt: null },
    occupants: [],
    speaker: null,
    chat: [],
    can: { lobby: true, rules: true, endForAll: true },
    rules: { microphone: freely, camera: freely, screen: freely },
    knocking: [],
    stats: null
  }
  readonly #listeners = new Set<(snapshot: Snapshot) => void>()
  readonly #handlers = new Map<string, Set<(detail: never) => void>>()

  say(change: Partial<Snapshot>): void {
    this.snapshot = { ...this.snapshot, ...change }
    for (const listener of this.#listeners) listener(this.snapshot)
  }

  emit<K extends keyof ConferenceEvents>(event: K, detail: ConferenceEvents[K]): void {
    for (const handler of this.#handlers.get(event) ?? []) handler(detail as never)
  }

  get conference(): Conference {
    const part: Partial<Conference> = {
      snapshot: () => this.snapshot,
      subscribe: listener => {
        this.#listeners.add(listener)
        return () => void this.#listeners.delete(listener)
      },
      on: (event, listener) => {
        const all = this.#handlers.get(event) ?? new Set()
        this.#handlers.set(event, all.add(listener as (detail: never) => void))
        return () => void all.delete(listener as (detail: never) => void)
      },
      setReceiveConstraints: constraints => void this.asked.push(constraints),
      setMicrophone: async on => {
        this.microphone.push(on)
        return on && !this.snapshot.rules.microphone.allowed ? { ok: false, code: 'moderated' } : { ok: true }
      },
      setDisplayName: () => undefined,
      setHandRaised: raised => void this.hands.push(raised),
      react: reaction => void this.reacted.push(reaction),
      moderation: this.#moderation(),
      watchLevel: () => () => undefined,
      sendChat: (text, to) => {
        this.sent.push(to === undefined ? text : `${to}: ${text}`)
        return `sent-${this.sent.length}`
      },
      givePassword: password => void this.passwords.push(password),
      leave: async () => {
        this.left = true
      }
    }
    return part as Conference
  }

  #moderation(): Moderation {
    const order = (...words: unknown[]) => {
      this.orders.push(words.filter(word => word !== undefined).join(' '))
      return { ok: true } as const
    }
    return {
      mute: async (who, kind) => order('mute', who, kind),
      remove: async who => order('remove', who),
      setModerator: async (who, on) => order('moderator', who, on),
      setPassword: async password => order('password', password),
      setLobby: async on => order('lobby', on),
      admit: who => void order('admit', who.join(',')),
      deny: async who => order('deny', who),
      endForAll: () => order('end').ok,
      setRule: (kind, on) => order('rule', kind, on).ok,
      allow: (who, kind, on) => order('allow', who, kind, on).ok,
      lowerHand: who => order('lower', who ?? 'all').ok
    }
  }
}

export class FakeMedia {
  disposed = false
  wanted: string[] = []
  snapshot: LocalMediaSnapshot = { microphone: deviceOff, camera: deviceOff, screen: deviceOff, devices, speakerId: null }
  readonly #listeners = new Set<(snapshot: LocalMediaSnapshot) => void>()

  say(change: Partial<LocalMediaSnapshot>): void {
    this.snapshot = { ...this.snapshot, ...change }
    for (const listener of this.#listeners) listener(this.snapshot)
  }

  get media(): LocalMedia {
    const part: Partial<LocalMedia> = {
      snapshot: () => this.snapshot,
      subscribe: listener => {
        this.#listeners.add(listener)
        return () => void this.#listeners.delete(listener)
      },
      setMicrophone: async on => {
        this.wanted.push(`microphone ${on ? 'on' : 'off'}`)
        return { ok: true }
      },
      setCamera: async on => {
        this.wanted.push(`camera ${on ? 'on' : 'off'}`)
        return { ok: true }
      },
      watchLevel: () => () => undefined,
      dispose: () => void (this.disposed = true)
    }
    return part as LocalMedia
  }
}

/** Lets a committed frame and what follows from it happen. */
export function frame(): Promise<void> {
  return new Promise(resolve => requestAnimationFrame(() => queueMicrotask(resolve)))
}
