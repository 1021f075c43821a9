// What a room and the service say about themselves when asked (disco#info).

import type { Element } from 'ltx'
import { el } from '../stanza/build.ts'
import { NS } from '../stanza/ns.ts'
import type { XmppStream } from '../stream/stream.ts'

export interface RoomInfo {
  /** It asks for a password. */
  readonly locked: boolean
  /** Where those wait who want in; null when everybody may come in. */
  readonly lobby: string | null
  /** Milliseconds since the epoch. */
  readonly startedAt: number | null
}

/** Address of each component by its type. */
export type Components = ReadonlyMap<string, string>

export async function askRoom(stream: XmppStream, room: string): Promise<RoomInfo> {
  const query = await ask(stream, room)
  const features = new Set(query.getChildren('feature').map((feature) => feature.attrs['var']))
  const fields = query.getChild('x', NS.dataForm)?.getChildren('field') ?? []
  const value = (name: string) => fields.find((field) => field.attrs['var'] === `muc#roominfo_${name}`)?.getChildText('value') || null
  const started = Number(value('created_timestamp'))
  return {
    locked: features.has('muc_passwordprotected'),
    lobby: features.has('muc_membersonly') ? value('lobbyroom') : null,
    startedAt: Number.isFinite(started) && started > 0 ? started : null
  }
}

export async function askService(stream: XmppStream, domain: string): Promise<Components> {
  const query = await ask(stream, domain)
  const components = query.getChildren('identity').filter(({ attrs }) => attrs['category'] === 'component')
  return new Map(components.map(({ attrs }) => [attrs['type'] ?? '', attrs['name'] ?? '']))
}

async function ask(stream: XmppStream, address: string): Promise<Element> {
  const answer = await stream.request('get', address, el('query', NS.discoInfo))
  return answer.getChild('query', NS.discoInfo) ?? el('query', NS.discoInfo)
}
