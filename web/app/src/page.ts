/** What the page's address and the server's configuration say: room, tenant, options of a link. */
import { normaliseRoomName, type MediaMode, type ServerConfig } from '@althing/core'

/** What the server writes into the page; every field may be absent (a development server writes none). */
export interface PageConfig {
  readonly domain?: string
  readonly muc?: string
  readonly focus?: string
  /** Path or whole address of the signalling socket. */
  readonly websocket?: string
  readonly version?: string
  /** Where people log in: an address with places to fill in, see `login.ts`. */
  readonly login?: string
  /** What of media rooms are for, where the service says nothing else of one. */
  readonly media?: MediaMode
  /** The same of the room that this page is of, where its name says something else. */
  readonly roomMedia?: MediaMode
}

/** Where a page is. */
export interface Place {
  readonly tenant: string | null
  readonly room: string | null
}

/** The few options of a link that cannot harm anybody; all others are left for the server to refuse. */
export interface LinkOptions {
  readonly microphoneOff: boolean
  readonly cameraOff: boolean
  /** The link asks to skip the prejoin screen; then both devices start off. */
  readonly straightIn: boolean
  readonly keepNoTrace: boolean
  readonly name: string | null
  /** Video codecs to send, best first. */
  readonly codecs: readonly string[]
}

export function readPageConfig(document: Document): PageConfig {
  const text = document.getElementById('althing-config')?.textContent
  if (!text) return {}
  try {
    const raw: unknown = JSON.parse(text)
    return typeof raw === 'object' && raw !== null ? onlyStrings(raw) : {}
  } catch {
    return {}
  }
}

const FIELDS = ['domain', 'muc', 'focus', 'websocket', 'version', 'login'] as const

const MODES = ['media', 'roomMedia'] as const

function onlyStrings(raw: object): PageConfig {
  const given = raw as Record<string, unknown>
  const modes = MODES.filter(key => given[key] === 'audio' || given[key] === 'all')
  const fields = FIELDS.filter(key => typeof given[key] === 'string')
  return Object.fromEntries([...fields, ...modes].map(key => [key, given[key]]))
}

/** Where the service is for this page; a tenant has a room service of its own. */
export function serverFor(config: PageConfig, place: Place, origin: string): ServerConfig {
  const domain = config.domain ?? 'meet.jitsi'
  const muc = config.muc ?? `muc.${domain}`
  const path = config.websocket ?? '/xmpp-websocket'
  const url = new URL(place.tenant === null ? path : underTenant(path, place.tenant, origin), origin)
  url.protocol = url.protocol === 'https:' || url.protocol === 'wss:' ? 'wss:' : 'ws:'
  return {
    webSocketUrl: url.href,
    domain,
    mucDomain: place.tenant === null ? muc : tenantMuc(muc, domain, place.tenant),
    focus: config.focus
  }
}

function underTenant(path: string, tenant: string, origin: string): string {
  const url = new URL(path, origin)
  url.pathname = `/${encodeURIComponent(tenant)}${url.pathname}`
  return url.href
}

function tenantMuc(muc: string, domain: string, tenant: string): string {
  const service = muc.endsWith(`.${domain}`) ? muc.slice(0, -domain.length - 1) : muc
  return `${service}.${tenant.replaceAll('.', '_')}.${domain}`
}

/** The last part of the path is the room, whatever stands before it is the tenant. */
export function placeOf(pathname: string): Place {
  const parts = pathname.split('/').filter(part => part !== '')
  if (parts.length === 0 || parts[0] === '-') return { tenant: null, room: null }
  const room = normaliseRoomName(decode(parts.at(-1)!))
  const tenant = normaliseRoomName(parts.slice(0, -1).map(decode).join('-'))
  return { tenant, room }
}

export function pathOf(room: string, tenant: string | null): string {
  const path = `/${encodeURIComponent(room)}`
  return tenant === null ? path : `/${encodeURIComponent(tenant)}${path}`
}

/** What somebody typed on the welcome page: a name, or a link to a room of this very server. */
export function typedRoom(typed: string, origin: string): Place {
  const text = typed.trim()
  if (/^https?:\/\//iu.test(text)) {
    const url = URL.canParse(text) ? new URL(text) : null
    return url?.host === new URL(origin).host ? placeOf(url.pathname) : { tenant: null, room: null }
  }
  return { tenant: null, room: normaliseRoomName(text.replace(/\s+/gu, '-')) }
}

export function linkOptions(hash: string): LinkOptions {
  const given = new Map(
    hash
      .replace(/^#/u, '')
      .split('&')
      .map(pair => {
        const cut = pair.indexOf('=')
        return [decode(pair.slice(0, cut)), json(decode(pair.slice(cut + 1)))] as const
      })
  )
  const straightIn = given.get('config.prejoinConfig.enabled') === false
  const name = given.get('userInfo.displayName')
  return {
    straightIn,
    microphoneOff: straightIn || given.get('config.startWithAudioMuted') === true,
    cameraOff: straightIn || given.get('config.startWithVideoMuted') === true,
    keepNoTrace: given.get('config.doNotStoreRoom') === true,
    codecs: words(given.get('config.videoQuality.codecPreferenceOrder')),
    name: typeof name === 'string' && name.trim() !== '' ? name.trim().slice(0, 80) : null
  }
}

/** What stock clients are told in the same option, in whatever case. */
function words(given: unknown): readonly string[] {
  return Array.isArray(given) ? given.filter(word => typeof word === 'string').map(word => word.toLowerCase()) : []
}

function json(text: string): unknown {
  try {
    return JSON.parse(text.replace(/[“”]/gu, '"'))
  } catch {
    return undefined
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
