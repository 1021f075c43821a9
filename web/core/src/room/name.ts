import { randomHex } from '../stanza/id.ts'

/** Characters that never reach a room's address. */
const DROPPED = /[:?#[\]@!$&'()*+,;=><"/]/gu

/**
 * The room's name as everybody's client writes it: NFKC, lower case, address characters dropped.
 * Null when nothing is left.
 */
export function normaliseRoomName(typed: string): string | null {
  const name = typed.normalize('NFKC').toLowerCase().replace(DROPPED, '').trim()
  return name === '' ? null : name
}

/** The local part of the room's address. */
export function roomLocalpart(name: string): string {
  return encodeURIComponent(name).toLowerCase()
}

/** Our name in the room, which is our endpoint id: the start of our address if it will do (protocol 1 §1). */
export function nicknameOf(jid: string): string {
  const [start] = /^[0-9a-f]{8}/u.exec(jid.toLowerCase()) ?? []
  return start ?? randomHex(4)
}
