// A whole service on the other end of every socket: login, focus, one room, a bridge channel. It does what
// is right unless a test tells it otherwise, and remembers what it heard.

import { readFileSync } from 'node:fs'
import { type Element, parse } from 'ltx'
import { vi } from 'vitest'
import { Meeting } from '../src/conference/meeting.ts'
import type { ConferenceEvents, JoinOptions } from '../src/types.ts'
import { FakeDevices } from './devices.ts'
import { installPeers } from './peer.ts'
import { FakeSocket, JID, LOGIN, MANAGED, installSockets, settle } from './socket.ts'

export const ROOM = 'my%20room@muc.meet.example'
export const ID = '4a1f09c2'
export const ME = `${ROOM}/${ID}`
export const FOCUS = `${ROOM}/focus`
export const SID = '8kq2m0v1c7t5r'
export const SERVER = { webSocketUrl: 'wss://meet.example/xmpp-websocket', domain: 'meet.example', mucDomain: 'muc.meet.example' }

export function fixture(path: string): string {
  return readFileSync(new URL(`../../../fixtures/${path}`, import.meta.url), 'utf8').trim()
}

export const user = (inner: string) => `<x xmlns="http://jabber.org/protocol/muc#user">${inner}</x>`
export const item = (role: string) => user(`<item affiliation="none" role="${role}"/>`)
export const presence = (from: string, inner: string, type = '') =>
  `<presence xmlns="jabber:client" from="${ROOM}/${from}"${type && ` type="${type}"`}>${inner}</presence>`
export const self = (role = 'participant') =>
  presence(ID, user(`<item affiliation="none" role="${role}"/><status code="110"/>`))
export const stanzaError = (condition: string, type = 'cancel', more = '') =>
  `<error type="${type}"><${condition} xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>${more}</error>`
export const sources = (who: string, muted: Record<string, boolean>) =>
  `<SourceInfo>${JSON.stringify(Object.fromEntries(Object.entries(muted).map(([name, is]) => [`${who}-${name}`, { muted: is }])))}</SourceInfo>`

type Answer = 'result' | 'silence' | { readonly error: string }

export class Service {
  /** Whether sockets open. */
  reachable = true
  /** What a conference request and a Jingle request are answered. */
  conference: Answer = 'result'
  jingle: Answer = 'result'
  /** What the answer to a conference request says of the room. */
  properties: Readonly<Record<string, string>> = {}
  ping: Answer = 'result'
  /** What a join is answered: stanzas in order. */
  entry: () => readonly string[] = () => [presence('focus', item('moderator')), self()]
  /** Whether streams can be gone on with, and whether the service still knows of the last one. */
  managed = false
  remembers = true
  /** What a resumed stream has missed. */
  missed: readonly string[] = []
  /** What the room and the service say about themselves. */
  room = ''
  components: Readonly<Record<string, string>> = {}
  /** What a command of a moderator is answered. */
  command: Answer = 'result'
  /** Whether a leaver is told so. */
  confirmsLeave = true
  /** Every stanza after a login, over all connections. */
  readonly heard: Element[] = []
  /** When each socket for signalling was made. */
  readonly attempts: number[] = []
  readonly #steps = new Map<FakeSocket, number>()
  #asked = 0
  /** Stanzas of a stream that is managed. */
  #taken = 0

  constructor() {
    FakeSocket.door = (socket) => this.#open(socket)
    FakeSocket.service = (frame, socket) => this.#frame(frame, socket)
  }

  /** The latest socket for signalling. */
  get socket(): FakeSocket {
    const found = FakeSocket.all.findLast(({ url }) => url.includes('/xmpp-websocket'))
    if (!found) throw new Error('nobody has come')
    return found
  }

  get channels(): FakeSocket[] {
    return FakeSocket.all.filter(({ url }) => url.includes('/colibri-ws'))
  }

  /** The latest bridge channel. */
  get channel(): FakeSocket {
    const last = this.channels.at(-1)
    if (!last) throw new Error('no bridge channel was opened')
    return last
  }

  say(...stanzas: readonly string[]): void {
    for (const stanza of stanzas) this.socket.say(stanza)
  }

  /** Sends a request as the focus; gives the answer it gets at once. */
  ask(inner: string): Element {
    const id = `f${++this.#asked}`
    this.say(`<iq xmlns="jabber:client" type="set" id="${id}" from="${FOCUS}" to="${JID}">${inner}</iq>`)
    const answer = this.heard.find((stanza) => stanza.is('iq') && stanza.attrs['id'] === id)
    if (!answer) throw new Error(`no answer to ${inner}`)
    return answer
  }

  askJingle(action: string, inner = '', sid = SID): Element {
    return this.ask(`<jingle xmlns="urn:xmpp:jingle:1" action="${action}" sid="${sid}">${inner}</jingle>`)
  }

  /** Offers a session and lets the client answer it. */
  async offer(sid = SID, file = 'offer-rewriting.xml'): Promise<Element> {
    const jingle = /<jingle[\s\S]*<\/jingle>/u.exec(fixture(`jingle/${file}`))?.[0] ?? ''
    const answer = this.ask(jingle.replaceAll(SID, sid))
    await settle()
    return answer
  }

  /** What the client asked of the focus, by action. */
  asked(action: string): Element[] {
    return this.heard.flatMap((stanza) => {
      const jingle = stanza.is('iq') ? stanza.getChild('jingle', 'urn:xmpp:jingle:1') : undefined
      return jingle?.attrs['action'] === action ? [jingle] : []
    })
  }

  /** How often somebody came into the room. */
  get joins(): number {
    return this.presences.filter((stanza) => stanza.getChild('x', 'http://jabber.org/protocol/muc')).length
  }

  /** Presences that went to the room, the join first. */
  get presences(): Element[] {
    return this.heard.filter((stanza) => stanza.is('presence') && stanza.attrs['to'] === ME)
  }

  #open(socket: FakeSocket): void {
    const signalling = socket.url.includes('/xmpp-websocket')
    if (signalling) this.attempts.push(Date.now())
    if (this.reachable || !signalling) socket.accept()
    else socket.refuse()
  }

  #frame(frame: string, socket: FakeSocket): void {
    if (!socket.url.includes('/xmpp-websocket')) return
    const step = this.#steps.get(socket) ?? 0
    const expected = LOGIN[step]
    if (expected) {
      this.#steps.set(socket, step + 1)
      if (frame.startsWith('<resume ')) {
        this.#resume(frame, socket)
        return
      }
      const [start, said] = this.managed && step === 2 ? MANAGED : expected
      if (!frame.startsWith(start)) throw new Error(`${start} was expected, not ${frame}`)
      for (const one of said) socket.say(one)
      return
    }
    const stanza = parse(frame)
    if (stanza.getNS() === 'urn:xmpp:sm:3') {
      if (stanza.is('enable')) {
        this.#taken = 0
        socket.say('<enabled xmlns="urn:xmpp:sm:3" id="r-77ab" resume="true" max="60"/>')
      } else if (stanza.is('r')) socket.say(`<a xmlns="urn:xmpp:sm:3" h="${this.#taken}"/>`)
      return
    }
    this.#taken++
    this.heard.push(stanza)
    if (stanza.is('iq')) this.#iq(stanza, socket)
    else if (stanza.is('presence')) this.#presence(stanza, socket)
  }

  #resume(frame: string, socket: FakeSocket): void {
    if (!this.remembers || !frame.includes('previd="r-77ab"')) {
      socket.say('<failed xmlns="urn:xmpp:sm:3"/>')
      return
    }
    socket.say(`<resumed xmlns="urn:xmpp:sm:3" h="${this.#taken}" previd="r-77ab"/>`)
    for (const stanza of this.missed) socket.say(stanza)
    this.missed = []
  }

  #iq(stanza: Element, socket: FakeSocket): void {
    const { id, to, type } = stanza.attrs as Record<string, string>
    if (type !== 'get' && type !== 'set') return
    const conference = stanza.getChild('conference')
    const command = stanza.getChild('query') && type === 'set'
    const jingle = stanza.getChild('jingle')
    const ping = stanza.getChild('ping')
    const answer = conference ? this.conference : jingle ? this.jingle : command ? this.command : ping ? this.ping : 'result'
    if (answer === 'silence') return
    const properties = Object.entries(this.properties).map(([name, value]) => `<property name="${name}" value="${value}"/>`)
    const ready = conference
      ? `<conference xmlns="http://jitsi.org/protocol/focus" ready="true">${properties.join('')}</conference>`
      : this.#disco(stanza)
    if (answer === 'result') socket.say(`<iq xmlns="jabber:client" type="result" id="${id}" from="${to}">${ready}</iq>`)
    else socket.say(`<iq xmlns="jabber:client" type="error" id="${id}" from="${to}">${answer.error}</iq>`)
  }

  #disco(stanza: Element): string {
    if (!stanza.getChild('query', 'http://jabber.org/protocol/disco#info')) return ''
    const identities = Object.entries(this.components).map(([type, name]) => `<identity category="component" type="${type}" name="${name}"/>`)
    const inner = stanza.attrs['to'] === ROOM ? this.room : identities.join('')
    return `<query xmlns="http://jabber.org/protocol/disco#info">${inner}</query>`
  }

  #presence(stanza: Element, socket: FakeSocket): void {
    if (stanza.attrs['type'] === 'unavailable') {
      const confirmed = stanza.attrs['to'] === ME && this.confirmsLeave
      if (confirmed) queueMicrotask(() => socket.say(presence(ID, item('none'), 'unavailable')))
    } else if (stanza.attrs['to'] === ME && stanza.getChild('x', 'http://jabber.org/protocol/muc')) for (const one of this.entry()) socket.say(one)
  }
}

/** A client, its devices and a service, in a world with its own clock. */
export interface World {
  readonly service: Service
  readonly devices: FakeDevices
  readonly meeting: Meeting
  /** Everything the application was told, in order. */
  readonly told: { [K in keyof ConferenceEvents]: [K, ConferenceEvents[K]] }[keyof ConferenceEvents][]
  /** Phases, in order, short: `reconnecting signalling 2`. */
  readonly phases: string[]
}

const EVENTS = [
  'connection',
  'occupantJoined',
  'occupantLeft',
  'chatMessage',
  'chatRefused',
  'dominantSpeaker',
  'mutedByModerator',
  'sourceRefused',
  'deviceLost',
  'shareEnded',
  'roleChanged',
  'startedMuted',
  'ruleChanged',
  'unmuteOffered',
  'unmuteWithdrawn',
  'knock',
  'handRaised',
  'handLowered',
  'reaction',
  'endpointMessage'
] as const

export function installWorld(): void {
  vi.useFakeTimers({ now: 1_767_300_000_000 })
  // The middle of every back-off.
  vi.spyOn(Math, 'random').mockReturnValue(0.5)
  installSockets()
  installPeers()
}

export function removeWorld(): void {
  vi.useRealTimers()
  vi.restoreAllMocks()
  vi.unstubAllGlobals()
}

/** Begins a join. */
export function begin(options: Partial<JoinOptions> = {}, service = new Service()): World {
  const devices = new FakeDevices()
  const meeting = new Meeting({ server: SERVER, room: 'My Room', name: ' Ada ', ...options }, devices, false)
  const told: World['told'] = []
  const phases: string[] = []
  for (const event of EVENTS) meeting.on(event, (detail) => told.push([event, detail] as World['told'][number]))
  meeting.on('connection', (state) => {
    if (state.phase === 'reconnecting') phases.push(`reconnecting ${state.what} ${state.attempt}`)
    else phases.push(state.phase === 'failed' ? `failed ${state.code}` : state.phase)
  })
  return { service, devices, meeting, told, phases }
}

/** Begins a join and lets it succeed. */
export async function joined(options: Partial<JoinOptions> = {}, service = new Service()): Promise<World> {
  const world = begin(options, service)
  await settle()
  if (world.meeting.snapshot().connection.phase !== 'joined') throw new Error('the join did not work out')
  world.phases.length = 0
  world.told.length = 0
  return world
}
