// The room as a multi-user chat: in, out, who is there, what is said. Knows no media.

import type { Element } from 'ltx'
import type { ChatMessage, OccupantId, Role } from '../types.ts'
import { el, errorOf, iq } from '../stanza/build.ts'
import { randomHex } from '../stanza/id.ts'
import { NS } from '../stanza/ns.ts'
import { StreamError } from '../stream/error.ts'
import type { XmppStream } from '../stream/stream.ts'
import { joinError } from './join.ts'

/** Where our capabilities are filed: what we answer to disco#info under `node#ver`. */
const CAPS_NODE = 'https://althing.example/web'
/** XEP-0115 §5.1 over the identity and `FEATURES`; a test computes it anew. */
const CAPS_VER = 'AmwU4P2zHlUXWTSId1IZoWwRFMg='
const IDENTITY = { category: 'client', type: 'web', name: 'Althing' }

/** The focus's name in every room. */
const FOCUS = 'focus'
const JOIN_TIMEOUT_MS = 15_000
/** No client has more; somebody's presence may claim any number. */
const MOST_SOURCES = 20
/** How much of a name is shown. */
const LONGEST_NAME = 200
/** Messages of ours that may still be refused. */
const MOST_UNANSWERED = 100

const FEATURES = [
  NS.discoInfo,
  'urn:xmpp:jingle:1',
  'urn:xmpp:jingle:apps:rtp:1',
  'urn:xmpp:jingle:apps:rtp:audio',
  'urn:xmpp:jingle:apps:rtp:video',
  'urn:xmpp:jingle:transports:ice-udp:1',
  'urn:xmpp:jingle:apps:dtls:0',
  'urn:ietf:rfc:4588',
  'http://jitsi.org/tcc',
  'http://jitsi.org/opus-red',
  'http://jitsi.org/json-encoded-sources',
  'http://jitsi.org/source-name',
  'http://jitsi.org/receive-multiple-video-streams',
  'http://jitsi.org/ssrc-rewriting-1'
]

/** One source as its owner's presence tells it. */
export interface SourceState {
  readonly muted: boolean
  readonly screen: boolean
}

/** An occupant as presence tells it. */
export interface Present {
  readonly id: OccupantId
  /** The bare address of the person, where the room tells it. */
  readonly jid: string | null
  readonly name: string | null
  readonly role: Role
  readonly sources: ReadonlyMap<string, SourceState>
  /** Names of video codecs they decode, lower case; none when they do not say. */
  readonly codecs: readonly string[]
  readonly handRaisedAt: number | null
}

/** What we say about ourselves; the whole presence, each time. */
export interface OwnPresence {
  /** Names of video codecs we can decode, lower case. */
  readonly codecs: readonly string[]
  readonly name: string | null
  readonly sources: ReadonlyMap<string, SourceState>
  readonly handRaisedAt: number | null
}

export interface RoomHandlers {
  present(occupant: Present): void
  left(id: OccupantId, kickedBy: OccupantId | null): void
  /** Our own presence changed: role, and the name the room knows us by. */
  self(role: Role): void
  message(message: ChatMessage): void
  messageRefused(id: string): void
  subject(subject: string | null): void
  startedAt(at: number): void
  /** The room's settings changed. */
  changed(): void
  /** A component of the service says something; one JSON object. */
  announced(message: Readonly<Record<string, unknown>>): void
  /** Somebody inside lets us in, with a password if the room wants one. */
  invited(password: string | null): void
  /** It is over for us. */
  out(how: RoomExit): void
  /** A request of the focus: Jingle, or a mute. */
  focusRequest(request: Element): void
}

export type RoomExit =
  | { readonly kind: 'kicked'; readonly by: OccupantId | null; readonly reason: string | null }
  | { readonly kind: 'destroyed' }
  | { readonly kind: 'no-bridge' }
  /** Neither: the service stops, or the focus is gone. Joining again may work. */
  | { readonly kind: 'removed' }

export class Room {
  readonly id: OccupantId
  readonly #stream: XmppStream
  /** The room's own address. */
  readonly jid: string
  readonly #handlers: RoomHandlers
  readonly #names = new Map<OccupantId, string | null>()
  /** Private and public messages of ours by id: who may refuse them. */
  readonly #said = new Map<string, string>()
  #joining: { resolve(): void; reject(error: Error): void } | null = null
  #leaving: (() => void) | null = null
  #own: OwnPresence
  #inside = false

  constructor(stream: XmppStream, jid: string, id: OccupantId, own: OwnPresence, handlers: RoomHandlers) {
    this.#stream = stream
    this.jid = jid
    this.#own = own
    this.#handlers = handlers
    this.id = id
    stream.onStanza = (stanza) => this.#stanza(stanza)
  }

  /** Where the focus is in this room. */
  get focus(): string {
    return `${this.jid}/${FOCUS}`
  }

  /** Resolves with our own presence; rejects with `JoinError` or, without an answer, `StreamError`. */
  async join(password: string | undefined): Promise<void> {
    const muc = el('x', NS.muc, {}, ...(password ? [el('password', null, {}, password)] : []))
    let timer: ReturnType<typeof setTimeout> | undefined
    try {
      await new Promise<void>((resolve, reject) => {
        this.#joining = { resolve, reject }
        timer = setTimeout(() => reject(new StreamError('the room does not answer')), JOIN_TIMEOUT_MS)
        this.#sendPresence(muc)
      })
    } finally {
      clearTimeout(timer)
      this.#joining = null
    }
  }

  /** Says something new about ourselves. */
  update(own: OwnPresence): void {
    this.#own = own
    if (this.#inside) this.#sendPresence()
  }

  say(text: string, to: OccupantId | undefined): string {
    const id = randomHex(8)
    const target = to === undefined ? this.jid : `${this.jid}/${to}`
    this.#remember(id, target)
    const type = to === undefined ? 'groupchat' : 'chat'
    this.#stream.send(el('message', NS.client, { id, to: target, type }, el('body', null, {}, text)))
    return id
  }

  setSubject(subject: string): void {
    this.#stream.send(el('message', NS.client, { to: this.jid, type: 'groupchat' }, el('subject', null, {}, subject)))
  }

  /** Resolves when the room has let us go; nothing is handed to the handlers any more. */
  leave(): Promise<void> {
    this.#joining?.reject(new StreamError('left'))
    if (!this.#inside) return Promise.resolve()
    this.#inside = false
    this.#stream.send(el('presence', NS.client, { to: `${this.jid}/${this.id}`, type: 'unavailable' }))
    return new Promise((resolve) => {
      this.#leaving = resolve
    })
  }

  #remember(id: string, target: string): void {
    this.#said.set(id, target)
    const [oldest] = this.#said.keys()
    if (this.#said.size > MOST_UNANSWERED && oldest !== undefined) this.#said.delete(oldest)
  }

  #sendPresence(...extra: Element[]): void {
    const sources: Record<string, { muted: boolean; videoType?: string }> = {}
    for (const [name, state] of this.#own.sources) {
      const video = /-v\d+$/u.test(name)
      sources[name] = video ? { muted: state.muted, videoType: state.screen ? 'desktop' : 'camera' } : { muted: state.muted }
    }
    const children = [
      ...extra,
      el('c', NS.caps, { hash: 'sha-1', node: CAPS_NODE, ver: CAPS_VER }),
      el('SourceInfo', null, {}, JSON.stringify(sources)),
      el('jitsi_participant_codecList', null, {}, this.#own.codecs.join(','))
    ]
    if (this.#own.name) children.push(el('nick', NS.nick, {}, this.#own.name))
    if (this.#own.handRaisedAt !== null) {
      children.push(el('jitsi_participant_raisedHand', null, {}, String(this.#own.handRaisedAt)))
    }
    this.#stream.send(el('presence', NS.client, { to: `${this.jid}/${this.id}` }, ...children))
  }

  #stanza(stanza: Element): void {
    if (this.#leaving) {
      const gone = stanza.is('presence') && stanza.attrs['type'] === 'unavailable'
      if (gone && stanza.attrs['from'] === `${this.jid}/${this.id}`) this.#leaving()
    } else if (stanza.is('presence')) this.#presence(stanza)
    else if (stanza.is('message')) this.#message(stanza)
    else if (stanza.is('iq')) this.#iq(stanza)
  }

  #presence(stanza: Element): void {
    const from = stanza.attrs['from'] ?? ''
    if (!from.startsWith(`${this.jid}/`)) return
    const id = from.slice(this.jid.length + 1)
    const type = stanza.attrs['type']
    if (type === 'error') {
      if (id === this.id) this.#joining?.reject(joinError(stanza))
    } else if (type === 'unavailable') this.#unavailable(id, stanza)
    else if (type === undefined) this.#available(id, stanza)
  }

  #unavailable(id: OccupantId, stanza: Element): void {
    if (stanza.getChild('ignore', `${NS.jitmeet}/`)) return
    const user = stanza.getChild('x', NS.mucUser)
    const item = user?.getChild('item')
    const codes = user?.getChildren('status').map((status) => status.attrs['code']) ?? []
    const kicked = codes.includes('307') || codes.includes('301')
    const by = item?.getChild('actor')?.attrs['nick'] ?? null
    if (id !== this.id) {
      this.#names.delete(id)
      if (id !== FOCUS) this.#handlers.left(id, kicked ? by : null)
      else if (this.#inside) this.#handlers.out({ kind: 'removed' })
      return
    }
    if (!this.#inside) return
    this.#inside = false
    if (kicked) this.#handlers.out({ kind: 'kicked', by, reason: item?.getChildText('reason') || null })
    else this.#handlers.out({ kind: user?.getChild('destroy') ? 'destroyed' : 'removed' })
  }

  #available(id: OccupantId, stanza: Element): void {
    if (id === FOCUS) {
      this.#focusPresence(stanza)
      return
    }
    const item = stanza.getChild('x', NS.mucUser)?.getChild('item')
    const role = readRole(item?.attrs['role'])
    if (id === this.id) {
      this.#names.set(id, this.#own.name)
      this.#inside = true
      this.#handlers.self(role)
      this.#joining?.resolve()
      return
    }
    const name = stanza.getChildText('nick', NS.nick)?.trim().slice(0, LONGEST_NAME) || null
    this.#names.set(id, name)
    const hand = Number(stanza.getChildText('jitsi_participant_raisedHand') ?? 0)
    this.#handlers.present({
      id,
      jid: item?.attrs['jid']?.split('/', 1)[0] ?? null,
      name,
      role,
      sources: readSources(id, stanza),
      codecs: readCodecs(stanza),
      handRaisedAt: Number.isFinite(hand) && hand > 0 ? hand : null
    })
  }

  #focusPresence(stanza: Element): void {
    if (stanza.getChild('bridgeNotAvailable', NS.focus)) this.#handlers.out({ kind: 'no-bridge' })
    const properties = stanza.getChild('conference-properties', NS.focus)?.getChildren('property') ?? []
    const created = Number(properties.find((property) => property.attrs['key'] === 'created-ms')?.attrs['value'])
    if (Number.isFinite(created) && created > 0) this.#handlers.startedAt(created)
  }

  #message(stanza: Element): void {
    const from = stanza.attrs['from'] ?? ''
    if (from !== this.jid && !from.startsWith(`${this.jid}/`)) {
      this.#component(from, stanza)
      return
    }
    const type = stanza.attrs['type']
    const given = stanza.attrs['id']
    if (type === 'error') {
      // Only whom it was sent to can refuse it: anybody in the room has seen the id.
      if (this.#said.get(given ?? '') === from) this.#handlers.messageRefused(given ?? '')
      return
    }
    const user = stanza.getChild('x', NS.mucUser)
    if (user && from === this.jid) {
      if (user.getChild('invite')) this.#handlers.invited(user.getChildText('password') || null)
      if (user.getChildren('status').some((status) => status.attrs['code'] === '104')) this.#handlers.changed()
      return
    }
    const body = stanza.getChildText('body')
    const subject = stanza.getChild('subject')
    if (subject && body === null) {
      this.#handlers.subject(subject.getText() || null)
      return
    }
    const id = from.slice(this.jid.length + 1)
    if (body === null || id === '') return
    const stamp = stanza.getChild('delay', NS.delay)?.attrs['stamp']
    const at = stamp === undefined ? Number.NaN : Date.parse(stamp)
    const history = stamp !== undefined
    const known = this.#names.get(id) ?? null
    const written = stanza.getChildText('display-name', NS.displayName)
    this.#handlers.message({
      // What has no id is known by who said it when, so that a replay is recognised.
      id: given || (history ? `${id}@${stamp}` : randomHex(8)),
      from: id,
      // Of those who are gone only the room knows the name; of the others, we do.
      name: history ? (written ?? known) : (known ?? written),
      own: id === this.id,
      // Whatever else it is called, only what is said to the room is said to all.
      isPrivate: type !== 'groupchat',
      to: null,
      text: body,
      at: Number.isNaN(at) ? Date.now() : at,
      history
    })
  }

  /** People have an @ in their addresses; what has none is the service, or a part of it. */
  #component(from: string, stanza: Element): void {
    const text = stanza.getChildText('json-message', NS.jitmeet)
    if (text === null || from === '' || /[@/]/u.test(from)) return
    try {
      const message: unknown = JSON.parse(text)
      if (typeof message === 'object' && message !== null) this.#handlers.announced(message as Record<string, unknown>)
    } catch {
      // A component that says nonsense says nothing.
    }
  }

  #iq(request: Element): void {
    const type = request.attrs['type']
    if (type !== 'get' && type !== 'set') return
    const query = request.getChild('query', NS.discoInfo)
    if (type === 'get' && query) {
      this.#stream.send(disco(request, query.attrs['node']))
      return
    }
    if (request.attrs['from'] === this.focus && type === 'set') {
      this.#handlers.focusRequest(request)
      return
    }
    this.#stream.send(errorOf(request, 'service-unavailable'))
  }
}

function disco(request: Element, node: string | undefined): Element {
  const answer = el(
    'query',
    NS.discoInfo,
    { node },
    el('identity', null, IDENTITY),
    ...FEATURES.map((feature) => el('feature', null, { var: feature }))
  )
  return iq('result', { id: request.attrs['id'], to: request.attrs['from'] }, answer)
}

/** A name is a word; nobody has more than a few. */
function readCodecs(presence: Element): string[] {
  const text = presence.getChildText('jitsi_participant_codecList') ?? presence.getChildText('jitsi_participant_codecType') ?? ''
  const names = text.slice(0, 100).toLowerCase().split(',')
  return names.map((name) => name.trim()).filter((name) => name !== '')
}

/** The sources of a presence; only names that belong to the occupant count. */
function readSources(id: OccupantId, presence: Element): Map<string, SourceState> {
  const sources = new Map<string, SourceState>()
  const text = presence.getChildText('SourceInfo')
  if (text) {
    try {
      const parsed: unknown = JSON.parse(text)
      for (const [name, state] of Object.entries(parsed ?? {})) {
        if (sources.size >= MOST_SOURCES) break
        if (!name.startsWith(`${id}-`) || !/^[av]\d{1,3}$/u.test(name.slice(id.length + 1))) continue
        const given = (state ?? {}) as { muted?: unknown; videoType?: unknown }
        sources.set(name, { muted: given.muted !== false, screen: given.videoType === 'desktop' })
      }
    } catch {
      // Somebody else's presence is malformed: they have no sources, and nothing else is lost.
    }
    return sources
  }
  // Clients without SourceInfo: SIP gateways and gst-meet.
  const audio = presence.getChildText('audiomuted')
  const video = presence.getChildText('videomuted')
  if (audio !== null) sources.set(`${id}-a0`, { muted: audio === 'true', screen: false })
  if (video !== null) sources.set(`${id}-v0`, { muted: video === 'true', screen: presence.getChildText('videoType') === 'desktop' })
  return sources
}

function readRole(role: string | undefined): Role {
  return role === 'moderator' || role === 'participant' || role === 'visitor' ? role : 'none'
}
