/**
 * What an application sees of a conference: immutable snapshots, typed events, codes.
 *
 * A record that did not change keeps its identity from one snapshot to the next, so comparing by
 * `===` is enough to know what to redraw. Nothing in here is a sentence for people.
 */

/** Endpoint id: the occupant's nickname in the room, eight hexadecimal digits in stock clients. */
export type OccupantId = string
/** Name of one source: `<occupant id>-a<index>` or `<occupant id>-v<index>`. */
export type SourceName = string

/** Why a conference ended without being asked to. */
export type FailureCode =
  /** The service could not be reached at all, or its answer made no sense. */
  | 'unreachable'
  /** The service refused this visitor (login needed, token refused). */
  | 'not-authorized'
  /** The service has too much to do for newcomers, or has no room left. */
  | 'server-full'
  /** The service is about to restart and opens no rooms. */
  | 'server-restarting'
  /** The conference request was refused for any other reason. */
  | 'request-refused'
  /** The room asks for a password. */
  | 'password-required'
  /** The room admits members only, and has no lobby to wait in. */
  | 'members-only'
  /** Somebody inside refused to let us in. */
  | 'denied'
  /** The room refuses this person. */
  | 'forbidden'
  /** The room is full. */
  | 'room-full'
  /** The room asks for a display name first. */
  | 'name-required'
  /** The room refused the join for another reason. */
  | 'not-allowed'
  /** The conference was ended for everybody. */
  | 'destroyed'
  /** The same person joined from elsewhere with this identity. */
  | 'conflict'
  /** No bridge is available for media. */
  | 'no-bridge'
  /** The room name has no usable characters. */
  | 'bad-room-name'
  /** The browser lacks WebRTC. */
  | 'unsupported'

/** The one state machine of a join. */
export type ConnectionState =
  | { readonly phase: 'connecting' }
  | { readonly phase: 'joined' }
  | {
      readonly phase: 'reconnecting'
      /** `signalling`: the socket is gone; `media`: the path to the bridge is gone. */
      readonly what: 'signalling' | 'media'
      /** Milliseconds since the epoch when the trouble began. */
      readonly since: number
      /** Counts from 1. */
      readonly attempt: number
    }
  /** The room asks for a password; answer with `givePassword`. */
  | {
      readonly phase: 'asking'
      readonly for: 'password'
      /** The one that was tried last is not the one. */
      readonly wrong: boolean
      /** How many were given. */
      readonly tried: number
    }
  /** Nothing to do but wait, for somebody inside (`lobby`) or for a host; a password may open, too. */
  | {
      readonly phase: 'asking'
      readonly for: 'lobby' | 'host'
      /** Milliseconds since the epoch. */
      readonly since: number
      readonly wrong: boolean
      readonly tried: number
    }
  | {
      readonly phase: 'failed'
      readonly code: FailureCode
      /** What the service says about it, for people; in whatever language it speaks. */
      readonly text?: string | undefined
    }
  | { readonly phase: 'left' }
  | {
      readonly phase: 'kicked'
      readonly by: OccupantId | null
      /** Free text of the moderator, if any. */
      readonly reason: string | null
    }

/** The media session to the bridge. `idle` is normal while alone in the room. */
export type MediaState = 'idle' | 'connecting' | 'connected' | 'interrupted'

export type Role = 'moderator' | 'participant' | 'visitor' | 'none'

/** `active` pictures arrive; `inactive` the bridge holds them back; the rest name trouble. */
export type StreamingStatus = 'active' | 'inactive' | 'restoring' | 'interrupted'

export type VideoKind = 'camera' | 'screen'

/** One source as its receiver sees it. */
export interface AudioView {
  readonly source: SourceName
  readonly muted: boolean
  /** Play this one. `null` while the bridge has not mapped the source. */
  readonly track: MediaStreamTrack | null
}

export interface VideoView extends AudioView {
  readonly kind: VideoKind
  readonly streaming: StreamingStatus
}

/** A remote person in the room (the focus is never listed). */
export interface Occupant {
  readonly id: OccupantId
  /** Display name as given, or null: show a word of the catalogue instead. */
  readonly name: string | null
  readonly role: Role
  /** Order of arrival in this client's eyes; lower came first. */
  readonly order: number
  readonly audio: AudioView | null
  readonly camera: VideoView | null
  readonly screen: VideoView | null
  /** False while the bridge hears nothing of them: their network is gone, their seat is not. */
  readonly reachable: boolean
  /** Milliseconds since the epoch, null when lowered. */
  readonly handRaisedAt: number | null
}

/** Oneself. Local tracks carry over reconnects. */
export interface Self {
  readonly id: OccupantId | null
  readonly name: string | null
  readonly role: Role
  readonly microphone: LocalDevice
  readonly camera: LocalDevice
  readonly screen: LocalDevice
  readonly handRaisedAt: number | null
}

export interface ChatMessage {
  readonly id: string
  readonly from: OccupantId
  /** Name at the time of sending; survives the sender's leaving. */
  readonly name: string | null
  readonly own: boolean
  /** True for a message sent to this client alone (or by it to one occupant). */
  readonly isPrivate: boolean
  /** Recipient of an own private message. */
  readonly to: OccupantId | null
  readonly text: string
  /** Milliseconds since the epoch. */
  readonly at: number
  /** Replayed from before the join. */
  readonly history: boolean
}

export interface RoomView {
  /** The name as joined: lower case, normalised. */
  readonly name: string
  readonly subject: string | null
  /** Start of the conference, milliseconds since the epoch; null while alone or unknown. */
  readonly startedAt: number | null
  /** It asks for a password. */
  readonly locked: boolean
  /** Who wants in waits until a moderator lets them. */
  readonly lobby: boolean
  /** `audio` is an audio hall: nobody has a camera or a screen to show. */
  readonly media: MediaMode
}

/** What of media a room is for. */
export type MediaMode = 'all' | 'audio'

/** What this service has beyond the room itself. */
export interface Abilities {
  readonly lobby: boolean
  /** People may have to ask before they unmute. */
  readonly rules: boolean
  readonly endForAll: boolean
}

/** Somebody who waits in the lobby. */
export interface Knocker {
  readonly id: OccupantId
  readonly name: string | null
  /** Since when we see them wait, milliseconds since the epoch. */
  readonly since: number
}

/** What somebody sends: the local devices by their part. */
export type MediaRole = 'microphone' | 'camera' | 'screen'

/** Whether people may switch something on without asking. */
export interface MediaRule {
  /** They have to ask. */
  readonly enabled: boolean
  readonly by: OccupantId | null
  /** We may switch it on. */
  readonly allowed: boolean
  /** Who was allowed to; told to moderators only. */
  readonly approved: readonly OccupantId[]
}

/** The reactions every client knows. */
export type Reaction = 'like' | 'clap' | 'laugh' | 'surprised' | 'boo' | 'silence' | 'love'

export interface DominantSpeaker {
  readonly id: OccupantId
  /** Most recent first, without the dominant one. */
  readonly previous: readonly OccupantId[]
  readonly silence: boolean
}

/** Everything at one moment. Deeply immutable. */
export interface Snapshot {
  readonly connection: ConnectionState
  readonly media: MediaState
  readonly room: RoomView
  readonly self: Self
  /** Remote occupants in order of arrival. */
  readonly occupants: readonly Occupant[]
  readonly speaker: DominantSpeaker | null
  /** Oldest first, at most `CHAT_LIMIT` kept. */
  readonly chat: readonly ChatMessage[]
  readonly can: Abilities
  readonly rules: Readonly<Record<MediaRole, MediaRule>>
  /** Who waits in the lobby, longest first; moderators see them. */
  readonly knocking: readonly Knocker[]
  /** Last sampled second, null before the first sample. */
  readonly stats: MediaStats | null
}

export interface MediaStats {
  readonly at: number
  /** Bits per second. */
  readonly sentBps: number
  readonly receivedBps: number
  /** 0 to 1 over the last second. */
  readonly receivedLoss: number
  /** Sound goes twice (RED), so that single lost packets are not heard: offered, and taken by this browser. */
  readonly redundantAudio: boolean
  readonly roundTripMs: number | null
  /** The bridge's estimate of what it can send to us, bits per second. */
  readonly downlinkEstimateBps: number | null
  /** Frames decoded per second by source name. */
  readonly framesPerSecond: ReadonlyMap<SourceName, number>
}

// ---------------------------------------------------------------------------------------------
// Local media

/** Why a device or a screen could not be captured. */
export type MediaFailureCode =
  /** The person (or policy) said no in the browser. */
  | 'denied'
  /** No such device. */
  | 'missing'
  /** The device is used by another program or broke. */
  | 'busy'
  /** The operating system, or an insecure page, keeps the browser from devices. */
  | 'blocked'
  /** The person closed the screen picker. */
  | 'cancelled'
  /** A moderator has to allow it first. */
  | 'moderated'
  /** This is an audio hall: there are no pictures. */
  | 'audio-only'
  | 'unknown'

export type DeviceKind = 'microphone' | 'camera' | 'speaker'

export type LocalDevice =
  | { readonly state: 'off'; readonly track: null; readonly deviceId: string | null }
  | { readonly state: 'starting'; readonly track: null; readonly deviceId: string | null }
  /** A muted microphone is `off` for everybody else but keeps its track so that unmuting is instant. */
  | { readonly state: 'muted'; readonly track: MediaStreamTrack; readonly deviceId: string | null }
  | { readonly state: 'on'; readonly track: MediaStreamTrack; readonly deviceId: string | null }
  | {
      readonly state: 'failed'
      readonly track: null
      readonly deviceId: string | null
      readonly code: MediaFailureCode
    }

export interface Device {
  readonly id: string
  /** Empty before permission was given. */
  readonly label: string
}

export interface Devices {
  readonly microphones: readonly Device[]
  readonly cameras: readonly Device[]
  readonly speakers: readonly Device[]
}

export interface LocalMediaSnapshot {
  readonly microphone: LocalDevice
  readonly camera: LocalDevice
  readonly screen: LocalDevice
  readonly devices: Devices
  /** Chosen output for remote sound; null is the browser's default. Apply with `setSinkId`. */
  readonly speakerId: string | null
}

export interface LocalMediaEvents {
  /**
   * A device in use went away; `replacedBy` names what is used now, null if nothing. With `code` it is still
   * there, but gives nothing any more: the browser says why.
   */
  deviceLost: {
    readonly kind: 'microphone' | 'camera'
    readonly label: string
    readonly replacedBy: Device | null
    readonly code?: MediaFailureCode
  }
  /** The browser's own "stop sharing" was pressed, or the shared window closed. */
  shareEnded: Record<string, never>
}

export interface LocalMediaOptions {
  readonly microphoneId?: string | undefined
  readonly cameraId?: string | undefined
  readonly speakerId?: string | undefined
  /** Largest capture height in pixels (default 720). */
  readonly maxHeight?: number | undefined
}

/** Result of a command that touches a device: a code when it did not work. */
export type MediaOutcome = { readonly ok: true } | { readonly ok: false; readonly code: MediaFailureCode }

/**
 * Microphone, camera and screen of this person. Made by the prejoin screen, handed to `join`, and
 * still alive after `leave`: whoever created it disposes of it.
 */
export interface LocalMedia {
  snapshot(): LocalMediaSnapshot
  /** Called after every change, never synchronously within a command. Returns the unsubscriber. */
  subscribe(listener: (snapshot: LocalMediaSnapshot) => void): () => void
  on<K extends keyof LocalMediaEvents>(event: K, listener: (detail: LocalMediaEvents[K]) => void): () => void
  setMicrophone(on: boolean): Promise<MediaOutcome>
  /** Off ends the track, so that the camera's light goes out. */
  setCamera(on: boolean): Promise<MediaOutcome>
  startShare(options?: ShareOptions): Promise<MediaOutcome>
  stopShare(): Promise<void>
  selectDevice(kind: DeviceKind, id: string): Promise<MediaOutcome>
  /** Own microphone, 0 to 1, about ten times a second while somebody listens. */
  watchLevel(listener: (level: number) => void): () => void
  /** Stops every track. */
  dispose(): void
}

export interface ShareOptions {
  /** `detail` for text (5 to 15 frames a second), `motion` for films (30). Default `detail`. */
  readonly content?: 'detail' | 'motion' | undefined
}

// ---------------------------------------------------------------------------------------------
// The conference

/** Where the service lives; read it from the page's configuration with `readServerConfig`. */
export interface ServerConfig {
  /** `wss://host/xmpp-websocket` */
  readonly webSocketUrl: string
  readonly domain: string
  readonly mucDomain: string
  /** Address that takes conference requests; `focus.<domain>` by default. */
  readonly focus?: string | undefined
}

export interface JoinOptions {
  readonly server: ServerConfig
  /** As typed or from the URL; normalised here. */
  readonly room: string
  readonly name?: string | null | undefined
  readonly password?: string | undefined
  /** A signed token (JWT) that says who this is. It goes to the service and nowhere else. */
  readonly token?: string | undefined
  /**
   * Video codecs to send, best first: `vp8`, `vp9`, `av1`, `h264`. The first that everybody present decodes is
   * used; `vp8` by default, and when nothing else is left.
   */
  readonly codecs?: readonly string[] | undefined
  /** What the page says of media; the service, asked for the room, knows better. */
  readonly mode?: MediaMode | undefined
  /** From `createLocalMedia`; without it the conference makes its own, all off, and disposes of it. */
  readonly media?: LocalMedia | undefined
  /** Aborting is `leave()`. */
  readonly signal?: AbortSignal | undefined
}

/** What the screen shows. Everything not listed is not wanted at all. */
export interface ReceiveConstraints {
  /** Sources shown large, most important first. */
  readonly stage?: readonly SourceName[] | undefined
  /** Every source on screen with its largest useful height in pixels. */
  readonly visible: readonly { readonly source: SourceName; readonly maxHeight: number }[]
  /** Most video sources at once; -1 (default) no limit, 0 audio only. */
  readonly lastN?: number | undefined
}

export interface ConferenceEvents {
  connection: ConnectionState
  occupantJoined: Occupant
  /** `kickedBy` is set when a moderator removed the occupant. */
  occupantLeft: { readonly occupant: Occupant; readonly kickedBy: OccupantId | null }
  /** Live messages only; history is in the snapshot. */
  chatMessage: ChatMessage
  /** The service refused a chat message of ours. */
  chatRefused: { readonly id: string }
  dominantSpeaker: DominantSpeaker
  /** A moderator muted us; the device is already off. */
  mutedByModerator: { readonly kind: 'microphone' | 'camera' | 'screen'; readonly by: OccupantId | null }
  /** The service refused a source of ours; the device is already off. */
  sourceRefused: { readonly kind: 'microphone' | 'camera' | 'screen' }
  deviceLost: LocalMediaEvents['deviceLost']
  shareEnded: LocalMediaEvents['shareEnded']
  /** Our own role is another one now. */
  roleChanged: { readonly role: Role; readonly before: Role }
  /** Newcomers start muted here; the devices are already off. */
  startedMuted: { readonly microphone: boolean; readonly camera: boolean }
  /** People have to ask first, or do not have to any more. */
  ruleChanged: { readonly kind: MediaRole; readonly enabled: boolean; readonly by: OccupantId | null }
  /** We may switch it on now; `asked` when a moderator wants us to, of their own accord. */
  unmuteOffered: { readonly kind: MediaRole; readonly by: OccupantId | null; readonly asked: boolean }
  /** We may not any more; the device is already off. */
  unmuteWithdrawn: { readonly kind: MediaRole }
  /** Somebody wants in. */
  knock: Knocker
  handRaised: Occupant
  /** A moderator lowered ours. */
  handLowered: { readonly by: OccupantId }
  reaction: { readonly from: OccupantId; readonly reactions: readonly Reaction[] }
  /** Application message over the bridge channel. */
  endpointMessage: { readonly from: OccupantId; readonly payload: Readonly<Record<string, unknown>> }
}

/** What became of a command. */
export type CommandOutcome = { readonly ok: true } | { readonly ok: false; readonly code: 'refused' | 'unreachable' }

/** For moderators. The service refuses everybody else; those that give a boolean only say whether it was told. */
export interface Moderation {
  mute(who: OccupantId, kind: MediaRole): Promise<CommandOutcome>
  /** Out of the room; they may join again. */
  remove(who: OccupantId, reason?: string): Promise<CommandOutcome>
  setModerator(who: OccupantId, on: boolean): Promise<CommandOutcome>
  /** Null takes it away. Nobody who is inside is affected. */
  setPassword(password: string | null): Promise<CommandOutcome>
  setLobby(on: boolean): Promise<CommandOutcome>
  admit(who: readonly OccupantId[]): void
  deny(who: OccupantId): Promise<CommandOutcome>
  endForAll(): boolean
  /** Whether people have to ask before they switch it on. */
  setRule(kind: MediaRole, on: boolean): boolean
  /** Says yes to one who asks, or takes it back. Without a rule it asks them to unmute. */
  allow(who: OccupantId, kind: MediaRole, on: boolean): boolean
  /** Everybody's without a name. */
  lowerHand(who?: OccupantId): boolean
}

export interface Conference {
  readonly media: LocalMedia
  readonly moderation: Moderation
  snapshot(): Snapshot
  /** Called once per batch of changes, in a microtask. Returns the unsubscriber. */
  subscribe(listener: (snapshot: Snapshot) => void): () => void
  on<K extends keyof ConferenceEvents>(event: K, listener: (detail: ConferenceEvents[K]) => void): () => void

  setMicrophone(on: boolean): Promise<MediaOutcome>
  setCamera(on: boolean): Promise<MediaOutcome>
  startShare(options?: ShareOptions): Promise<MediaOutcome>
  stopShare(): Promise<void>
  selectDevice(kind: DeviceKind, id: string): Promise<MediaOutcome>
  setDisplayName(name: string): void
  setHandRaised(raised: boolean): void
  /** Shows it to everybody, oneself included. */
  react(reaction: Reaction): void
  /** Returns the message's id, or null while not in the room. */
  sendChat(text: string, to?: OccupantId): string | null
  /** Moderators only; the service refuses others. */
  setSubject(subject: string): void
  /** Debounced by 100 ms; the last one wins and survives reconnects. */
  setReceiveConstraints(constraints: ReceiveConstraints): void
  sendEndpointMessage(payload: Readonly<Record<string, unknown>>, to?: OccupantId): boolean
  /**
   * Levels bypass the snapshot: 0 to 1, about ten times a second while somebody listens. Give
   * `'self'` or an occupant's id.
   */
  watchLevel(who: OccupantId | 'self', listener: (level: number) => void): () => void
  /** Skip the wait between reconnect attempts. */
  reconnectNow(): void
  /** While the room asks for one, or while waiting to be let in. */
  givePassword(password: string): void
  /** Resolves when the service knows (at most a second later). Safe to call twice. */
  leave(options?: LeaveOptions): Promise<void>
}

export interface LeaveOptions {
  /** Say farewell and wait for nobody: the page goes away. */
  readonly atOnce?: boolean | undefined
}
