/** A conference that is only painted: same face as `@althing/core`, no server behind it. */
import type {
  AudioView,
  ChatMessage,
  Conference,
  ConferenceEvents,
  ConnectionState,
  LocalDevice,
  LocalMedia,
  LocalMediaSnapshot,
  MediaFailureCode,
  MediaOutcome,
  MediaRole,
  MediaRule,
  Moderation,
  Occupant,
  Snapshot,
  VideoView
} from '@althing/core'
import type { Core } from '../app.svelte.ts'
import { portraitTrack, slideTrack } from './portrait.ts'

export interface Play {
  /** Remote people. */
  readonly people: number
  readonly share: boolean
  readonly chat: boolean
  readonly trouble: MediaFailureCode | null
  readonly connection: ConnectionState
  /** Some people with the camera off, weak or lost connections, a raised hand. */
  readonly mixed: boolean
  /** An audio hall. */
  readonly hall: boolean
  /** We moderate: two people wait in the lobby, hands are up. */
  readonly moderator: boolean
}

const NAMES =
  'Ana Diaz,Bo Kim,Chen Wei,Dee Okafor,Eli Novak,Fay Larsen,Gus Moreau,Hana Sato,Ivo Petrov,Jun Park,Kaia Lind,Leo Rossi,Mina Haddad,Noah Berg,Olu Adeyemi,Pia Schmidt,Quinn Daly,Rosa Silva,Sven Holm,Tara Singh,Uma Rao,Viktor Ivanov,Wren Ellis,Xia Lin,Yara Nasser,Zoe Martin'.split(
    ','
  )

function emitter() {
  const listeners = new Map<string, Set<(detail: never) => void>>()
  return {
    on(event: string, listener: (detail: never) => void) {
      if (!listeners.has(event)) listeners.set(event, new Set())
      listeners.get(event)!.add(listener)
      return () => void listeners.get(event)!.delete(listener)
    },
    emit(event: string, detail: unknown) {
      for (const listener of listeners.get(event) ?? []) listener(detail as never)
    }
  }
}

const free: MediaRule = { enabled: false, by: null, allowed: true, approved: [] }
const off: LocalDevice = { state: 'off', track: null, deviceId: null }
const done: MediaOutcome = { ok: true }

export function stageSet(play: Play): Core {
  return { createLocalMedia: () => localMedia(play), join: options => conference(play, options.media!, options) }
}

function localMedia(play: Play): LocalMedia {
  const { on } = emitter()
  const listeners = new Set<(snapshot: LocalMediaSnapshot) => void>()
  let snapshot: LocalMediaSnapshot = {
    microphone: off,
    camera: off,
    screen: off,
    devices: {
      microphones: [
        { id: 'default', label: 'Built-in microphone' },
        { id: 'usb', label: 'Desk microphone (USB)' }
      ],
      cameras: [
        { id: 'hd', label: 'HD camera' },
        { id: 'top', label: 'Overhead camera' }
      ],
      speakers: [
        { id: 'default', label: 'Built-in speakers' },
        { id: 'headset', label: 'Wireless headset' }
      ]
    },
    speakerId: 'default'
  }
  const update = (change: Partial<LocalMediaSnapshot>) => {
    snapshot = { ...snapshot, ...change }
    queueMicrotask(() => listeners.forEach(listener => listener(snapshot)))
  }
  const failed = (code: MediaFailureCode): LocalDevice => ({ state: 'failed', track: null, deviceId: null, code })
  const audio = () => new AudioContext().createMediaStreamDestination().stream.getAudioTracks()[0]!
  return {
    snapshot: () => snapshot,
    subscribe(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    on: on as LocalMedia['on'],
    async setMicrophone(wanted) {
      if (play.trouble && wanted) update({ microphone: failed(play.trouble) })
      else update({ microphone: wanted ? { state: 'on', track: audio(), deviceId: 'usb' } : off })
      return done
    },
    async setCamera(wanted) {
      if (play.trouble && wanted) update({ camera: failed(play.trouble) })
      else update({ camera: wanted ? { state: 'on', track: portraitTrack(11, 1280, 720), deviceId: 'hd' } : off })
      return done
    },
    async startShare() {
      update({ screen: { state: 'on', track: slideTrack(), deviceId: null } })
      return done
    },
    async stopShare() {
      update({ screen: off })
    },
    async selectDevice(kind, id) {
      if (kind === 'speaker') update({ speakerId: id })
      else if (snapshot[kind].state === 'on') update({ [kind]: { ...snapshot[kind], deviceId: id } })
      return done
    },
    watchLevel(listener) {
      const timer = setInterval(() => listener(snapshot.microphone.state === 'on' ? 0.05 + 0.2 * Math.random() : 0), 100)
      return () => clearInterval(timer)
    },
    dispose: () => update({ microphone: off, camera: off, screen: off })
  }
}

function conference(play: Play, media: LocalMedia, { room, name }: { room: string; name?: string | null | undefined }): Conference {
  const { on, emit } = emitter()
  const listeners = new Set<(snapshot: Snapshot) => void>()
  const began = Date.now()
  let snapshot: Snapshot = {
    connection: { phase: 'connecting' },
    media: 'connected',
    room: { name: room, subject: null, startedAt: began - 724_000, locked: play.moderator, lobby: play.moderator, media: play.hall ? 'audio' : 'all' },
    self: { id: 'self0000', name: name ?? null, role: play.moderator ? 'moderator' : 'participant', ...local(media), handRaisedAt: null },
    occupants: [],
    speaker: null,
    chat: play.chat ? talk(began) : [],
    can: { lobby: true, rules: true, endForAll: true },
    rules: { microphone: { ...free, enabled: play.moderator, approved: [id(2)] }, camera: free, screen: free },
    knocking: [],
    stats: null
  }
  const update = (change: Partial<Snapshot>) => {
    snapshot = { ...snapshot, ...change }
    queueMicrotask(() => listeners.forEach(listener => listener(snapshot)))
  }
  const connect = (state: ConnectionState) => {
    update({ connection: state })
    emit('connection' satisfies keyof ConferenceEvents, state)
  }
  media.subscribe(() => update({ self: { ...snapshot.self, ...local(media) } }))
  setTimeout(() => {
    const occupants = Array.from({ length: play.people }, (_, index) => occupant(index, play))
    update({ occupants, speaker: occupants[1] ? { id: occupants[1].id, previous: play.hall ? [4, 2, 6, 0].map(id) : [], silence: false } : null })
    const outside = play.connection.phase === 'asking' || (play.connection.phase === 'failed' && play.connection.code !== 'destroyed')
    if (outside) return connect(play.connection)
    connect({ phase: 'joined' })
    if (play.moderator) {
      const knocking = ['Zed Amara', 'Yan Liu'].map((given, index) => ({ id: `knock${index}`, name: given, since: Date.now() }))
      update({ knocking })
      for (const knocker of knocking) emit('knock' satisfies keyof ConferenceEvents, knocker)
    }
    if (play.connection.phase !== 'joined') setTimeout(() => connect(play.connection), 300)
  }, 50)
  return {
    media,
    snapshot: () => snapshot,
    subscribe(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    on: on as Conference['on'],
    setMicrophone: wanted => media.setMicrophone(wanted),
    setCamera: wanted => media.setCamera(wanted),
    startShare: () => media.startShare(),
    stopShare: () => media.stopShare(),
    selectDevice: (kind, id) => media.selectDevice(kind, id),
    setDisplayName: given => update({ self: { ...snapshot.self, name: given } }),
    setHandRaised: raised => update({ self: { ...snapshot.self, handRaisedAt: raised ? Date.now() : null } }),
    react: reaction => emit('reaction' satisfies keyof ConferenceEvents, { from: snapshot.self.id, reactions: [reaction] }),
    moderation: moderation(() => snapshot, update, connect),
    sendChat(text, to) {
      const message = { ...line(snapshot.chat.length, null, text, Date.now()), isPrivate: to !== undefined, to: to ?? null }
      update({ chat: [...snapshot.chat, message] })
      emit('chatMessage', message)
      return message.id
    },
    setSubject: () => undefined,
    setReceiveConstraints: () => undefined,
    sendEndpointMessage: () => true,
    watchLevel(who, listener) {
      if (who === 'self') return media.watchLevel(listener)
      const talks = who === id(1)
      const timer = setInterval(() => listener(talks ? 0.2 + 0.4 * Math.random() : 0), 100)
      return () => clearInterval(timer)
    },
    reconnectNow: () => connect({ phase: 'joined' }),
    givePassword: () => connect({ phase: 'asking', for: 'password', wrong: true, tried: 1 }),
    async leave() {
      connect({ phase: 'left' })
    }
  }
}

function moderation(now: () => Snapshot, update: (change: Partial<Snapshot>) => void, connect: (state: ConnectionState) => void): Moderation {
  const fine = { ok: true } as const
  const change = (who: string, what: (one: Occupant) => Partial<Occupant>) =>
    update({ occupants: now().occupants.map(one => (one.id === who ? Object.assign({}, one, what(one)) : one)) })
  const parts = { microphone: 'audio', camera: 'camera', screen: 'screen' } as const
  const goes = (who: readonly string[]) => update({ knocking: now().knocking.filter(one => !who.includes(one.id)) })
  return {
    async mute(who, kind) {
      change(who, one => ({ [parts[kind]]: kind === 'screen' ? null : { ...one[parts[kind]], muted: true } }))
      return fine
    },
    async remove(who) {
      update({ occupants: now().occupants.filter(one => one.id !== who) })
      return fine
    },
    async setModerator(who, on) {
      change(who, () => ({ role: on ? 'moderator' : 'participant' }))
      return fine
    },
    async setPassword(password) {
      update({ room: { ...now().room, locked: password !== null } })
      return fine
    },
    async setLobby(on) {
      update({ room: { ...now().room, lobby: on }, ...(on ? {} : { knocking: [] }) })
      return fine
    },
    admit: goes,
    async deny(who) {
      goes([who])
      return fine
    },
    endForAll() {
      connect({ phase: 'failed', code: 'destroyed' })
      return true
    },
    setRule(kind: MediaRole, on) {
      update({ rules: { ...now().rules, [kind]: { ...now().rules[kind], enabled: on } } })
      return true
    },
    allow(who, kind, on) {
      const { [kind]: rule } = now().rules
      const approved = [...rule.approved.filter(one => one !== who), ...(on ? [who] : [])]
      update({ rules: { ...now().rules, [kind]: { ...rule, approved } } })
      return true
    },
    lowerHand(who) {
      for (const one of now().occupants) if (who === undefined || one.id === who) change(one.id, () => ({ handRaisedAt: null }))
      return true
    }
  }
}

function local(media: LocalMedia) {
  const { microphone, camera, screen } = media.snapshot()
  return { microphone, camera, screen }
}

const id = (index: number) => (0xa0b1c2d3 + index * 7919).toString(16)

function occupant(index: number, play: Play): Occupant {
  const name = NAMES[index % NAMES.length]!
  const quiet = play.hall ? index > 6 : play.mixed && index % 4 === 2
  const dark = play.hall || (play.mixed && index % 5 === 3)
  const sound: AudioView = { source: `${id(index)}-a0`, muted: quiet, track: null }
  const streaming = play.mixed && index === 5 ? 'interrupted' : play.mixed && index === 7 ? 'inactive' : 'active'
  const camera: VideoView = {
    source: `${id(index)}-v0`,
    kind: 'camera',
    muted: dark,
    track: dark ? null : portraitTrack(index),
    streaming
  }
  const shares = play.share && index === 0
  return {
    id: id(index),
    name,
    role: index === 0 ? 'moderator' : 'participant',
    order: index,
    audio: sound,
    camera,
    screen: shares && !play.hall ? { ...camera, source: `${id(index)}-v1`, kind: 'screen', muted: false, track: slideTrack() } : null,
    reachable: true,
    handRaisedAt: play.mixed && index === 3 ? Date.now() : play.moderator && (index === 2 || index === 4) ? Date.now() - (index === 4 ? 75_000 : 20_000) : null
  }
}

function line(index: number, from: string | null, text: string, at: number): ChatMessage {
  return {
    id: `line-${index}`,
    from: from ?? 'self0000',
    name: from,
    own: from === null,
    isPrivate: false,
    to: null,
    text,
    at,
    history: false
  }
}

function talk(now: number): ChatMessage[] {
  const said: [string | null, string][] = [
    ['Chen Wei', 'Morning! Notes from last week: https://wiki.example/planning'],
    ['Bo Kim', 'Thanks, reading now'],
    ['Bo Kim', 'Point 3 is done, by the way'],
    [null, 'Great. Then we only talk about the release today?'],
    ['Ana Diaz', 'Yes please. I will share the numbers in a minute.']
  ]
  return said.map(([from, text], index) => line(index, from, text, now - (said.length - index) * 70_000))
}
