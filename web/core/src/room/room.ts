// The room as a multi-user chat: in, out, who is there, what is said. Knows no media.

import type { Element } from 'ltx'
import type { ChatMessage, FailureCode, OccupantId, Role } from '../types.ts'
import { StanzaError, el, errorInfo, iq, type StanzaErrorInfo } from '../stanza/build.ts'
import { NS } from '../stanza/ns.ts'
import { StreamError, XmppStream } from '../stream/stream.ts'

/** Where our capabilities are filed: what we answer to disco#info under `node#ver`. */
const CAPS = { node: 'https://althing.example/web', ver: 'core-1' }

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
  readonly name: string | null
  readonly role: Role
  readonly sources: ReadonlyMap<string, SourceState>
  readonly handRaisedAt: number | null
}

/** What we say about ourselves; the whole presence, each time. */
export interface OwnPresence {
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
  /** It is over for us. */
  out(how: { kind: 'kicked'; by: OccupantId | null; reason: string | null } | { kind: 'destroyed' } | { kind: 'no-bridge' }): void
  /** A request of the focus: Jingle, or a mute. */
  focusRequest(request: Element): void
}

/** The join was refused. */
export class JoinError extends Error {
  readonly code: FailureCode
  constructor(code: FailureCode) {
    super(code)
    this.code = code
  }
}

/** Asks the focus for the conference: it makes the room if there is none. */
export async function requestConference(stream: XmppStream, focus: string, room: string, machine: string): Promise<void> {
  let answer: Element
  try {
    answer = await stream.request('set', focus, el('conference', NS.focus, { room, 'machine-uid': machine }), 30_000)
  } catch (error) {
    if (error instanceof StanzaError) {
      throw new JoinError(error.info.condition === 'not-authorized' ? 'not-authorized' : 'request-refused')
    }
    throw error
  }
  if (answer.getChild('conference', NS.focus)?.attrs['ready'] !== 'true') throw new JoinError('request-refused')
}

export class Room {
  readonly id: OccupantId
  readonly #stream: XmppStream
  readonly #jid: string
  readonly #handlers: RoomHandlers
  readonly #names = new Map<OccupantId, string | null>()
  #joining: { resolve(): void; reject(error: Error): void } | null = null
  #own: OwnPresence
  #inside = false

  constructor(stream: XmppStream, jid: string, own: OwnPresence, handlers: RoomHandlers) {
    this.#stream = stream
    this.#jid = jid
    this.#own = own
    this.#handlers = handlers
    this.id = stream.jid.slice(0, 8)
    stream.onStanza = (stanza) => this.#stanza(stanza)
  }

  /** Where the focus is in this room. */
  get focus(): string {
    return `${this.#jid}/focus`
  }

  /** Resolves with our own presence; rejects with `JoinError`. */
  join(password: string | undefined): Promise<void> {
    const muc = el('x', NS.muc, {}, ...(password ? [el('password', null, {}, password)] : []))
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new StreamError('the room does not answer', false)), 15_000)
      this.#joining = {
        resolve: () => {
          clearTimeout(timer)
          resolve()
        },
        reject: (error) => {
          clearTimeout(timer)
          reject(error)
        }
      }
      this.#sendPresence(muc)
    })
  }

  /** Says something new about ourselves. */
  update(own: OwnPresence): void {
    this.#own = own
    if (this.#inside) this.#sendPresence()
  }

  say(text: string, to: OccupantId | undefined): string {
    const id = this.#stream.id() + crypto.randomUUID().slice(0, 8)
    const target = to === undefined ? { to: this.#jid, type: 'groupchat' } : { to: `${this.#jid}/${to}`, type: 'chat' }
    this.#stream.send(el('message', NS.client, { id, ...target }, el('body', null, {}, text)))
    return id
  }

  setSubject(subject: string): void {
    this.#stream.send(el('message', NS.client, { to: this.#jid, type: 'groupchat' }, el('subject', null, {}, subject)))
  }

  leave(): void {
    if (!this.#inside) return
    this.#inside = false
    this.#stream.send(el('presence', NS.client, { to: `${this.#jid}/${this.id}`, type: 'unavailable' }))
  }

  #sendPresence(...extra: Element[]): void {
    const sources: Record<string, { muted: boolean; videoType?: string }> = {}
    for (const [name, state] of this.#own.sources) {
      const video = /-v\d+$/u.test(name)
      sources[name] = video ? { muted: state.muted, videoType: state.screen ? 'desktop' : 'camera' } : { muted: state.muted }
    }
    const children = [
      ...extra,
      el('c', NS.caps, { hash: 'sha-1', ...CAPS }),
      el('SourceInfo', null, {}, JSON.stringify(sources)),
      el('jitsi_participant_codecList', null, {}, 'vp8,vp9,av1,h264')
    ]
    if (this.#own.name) children.push(el('nick', NS.nick, {}, this.#own.name))
    if (this.#own.handRaisedAt !== null) {
      children.push(el('jitsi_participant_raisedHand', null, {}, String(this.#own.handRaisedAt)))
    }
    this.#stream.send(el('presence', NS.client, { to: `${this.#jid}/${this.id}` }, ...children))
  }

  #stanza(stanza: Element): void {
    if (stanza.is('presence')) this.#presence(stanza)
    else if (stanza.is('message')) this.#message(stanza)
    else if (stanza.is('iq')) this.#iq(stanza)
  }

  #presence(stanza: Element): void {
    const from = stanza.attrs['from'] ?? ''
    if (!from.startsWith(`${this.#jid}/`)) return
    const id = from.slice(this.#jid.length + 1)
    const type = stanza.attrs['type']
    if (type === 'error') {
      if (id === this.id) this.#joining?.reject(new JoinError(joinCode(errorInfo(stanza))))
      this.#joining = null
      return
    }
    const user = stanza.getChild('x', NS.mucUser)
    const item = user?.getChild('item')
    if (id === 'focus') {
      if (type === undefined) this.#focusPresence(stanza)
      else if (this.#inside) this.#handlers.out({ kind: 'no-bridge' })
      return
    }
    if (type === 'unavailable') {
      const destroyed = user?.getChild('destroy') !== undefined
      const kicked = user?.getChildren('status').some((status) => status.attrs['code'] === '307') ?? false
      const by = item?.getChild('actor')?.attrs['nick'] ?? null
      if (id === this.id) {
        if (!this.#inside) return
        this.#inside = false
        if (kicked) this.#handlers.out({ kind: 'kicked', by, reason: item?.getChildText('reason') ?? null })
        else if (destroyed) this.#handlers.out({ kind: 'destroyed' })
        return
      }
      this.#handlers.left(id, kicked ? by : null)
      return
    }
    if (type !== undefined) return
    const role = (item?.attrs['role'] ?? 'none') as Role
    if (id === this.id) {
      this.#names.set(id, this.#own.name)
      this.#inside = true
      this.#handlers.self(role)
      this.#joining?.resolve()
      this.#joining = null
      return
    }
    const name = stanza.getChildText('nick', NS.nick)?.trim() || null
    this.#names.set(id, name)
    const hand = Number(stanza.getChildText('jitsi_participant_raisedHand') ?? 0)
    this.#handlers.present({
      id,
      name,
      role,
      sources: readSources(id, stanza),
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
    if (from !== this.#jid && !from.startsWith(`${this.#jid}/`)) return
    if (stanza.attrs['type'] === 'error') {
      this.#handlers.messageRefused(stanza.attrs['id'] ?? '')
      return
    }
    const body = stanza.getChildText('body')
    const subject = stanza.getChild('subject')
    if (subject && body === null) {
      this.#handlers.subject(subject.getText() || null)
      return
    }
    if (body === null) return
    const id = from.slice(this.#jid.length + 1)
    const stamp = stanza.getChild('delay', NS.delay)?.attrs['stamp']
    const named = stanza.getChildText('display-name', NS.displayName)
    this.#handlers.message({
      id: stanza.attrs['id'] ?? crypto.randomUUID(),
      from: id,
      name: named ?? this.#names.get(id) ?? null,
      own: id === this.id,
      isPrivate: stanza.attrs['type'] === 'chat',
      to: null,
      text: body,
      at: stamp ? Date.parse(stamp) : Date.now(),
      history: stamp !== undefined
    })
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
    const refusal = el('error', null, { type: 'cancel' }, el('service-unavailable', NS.stanzas))
    this.#stream.send(el('iq', NS.client, { type: 'error', id: request.attrs['id'], to: request.attrs['from'] }, refusal))
  }
}

function disco(request: Element, node: string | undefined): Element {
  const answer = el(
    'query',
    NS.discoInfo,
    { node },
    el('identity', null, { category: 'client', type: 'web', name: 'Althing' }),
    ...FEATURES.map((feature) => el('feature', null, { var: feature }))
  )
  return iq('result', { id: request.attrs['id'], to: request.attrs['from'] }, answer)
}

/** The sources of a presence; only names that belong to the occupant count. */
function readSources(id: OccupantId, presence: Element): Map<string, SourceState> {
  const sources = new Map<string, SourceState>()
  const text = presence.getChildText('SourceInfo')
  if (text) {
    try {
      const parsed: unknown = JSON.parse(text)
      for (const [name, state] of Object.entries(parsed ?? {})) {
        if (!/^[A-Za-z0-9_]+-[av]\d+$/u.test(name) || !name.startsWith(`${id}-`)) continue
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

/** Protocol 1 §16: what a refused join means. */
function joinCode(error: StanzaErrorInfo): FailureCode {
  if (error.application === 'displayname-required') return 'name-required'
  switch (error.condition) {
    case 'not-authorized':
      return 'password-required'
    case 'registration-required':
      return 'members-only'
    case 'service-unavailable':
      return 'room-full'
    case 'conflict':
      return 'conflict'
    case 'forbidden':
      return 'forbidden'
    default:
      return 'not-allowed'
  }
}
