// What a moderator may do, each command by the carrier that protocol 4 names. The service decides.

import { StanzaError, el } from '../stanza/build.ts'
import { NS } from '../stanza/ns.ts'
import type { CommandOutcome, MediaRole, Moderation, OccupantId } from '../types.ts'
import type { Connection, Seat } from './connection.ts'
import type { Gate } from './gate.ts'
import type { Occupants } from './occupants.ts'
import { MEDIA_TYPES } from './rules.ts'

const DONE: CommandOutcome = { ok: true }
const UNREACHABLE: CommandOutcome = { ok: false, code: 'unreachable' }
const REFUSED: CommandOutcome = { ok: false, code: 'refused' }

export interface ModerationParts {
  readonly connection: Connection
  readonly occupants: Occupants
  readonly gate: Gate
  sendMessage(to: OccupantId | undefined, payload: Readonly<Record<string, unknown>>): boolean
}

export class Moderator implements Moderation {
  readonly #parts: ModerationParts

  constructor(parts: ModerationParts) {
    this.#parts = parts
  }

  mute(who: OccupantId, kind: MediaRole): Promise<CommandOutcome> {
    return this.#ask(({ room }) => {
      const mute = el('mute', `${NS.jitmeet}/${MEDIA_TYPES[kind]}`, { jid: `${room.jid}/${who}` }, 'true')
      return [room.focus, mute]
    })
  }

  remove(who: OccupantId, reason?: string): Promise<CommandOutcome> {
    const why = reason ? [el('reason', null, {}, reason)] : []
    return this.#administer(({ room }) => [room.jid, el('item', null, { nick: who, role: 'none' }, ...why)])
  }

  setModerator(who: OccupantId, on: boolean): Promise<CommandOutcome> {
    const { seat } = this.#parts.connection
    const jid = seat?.room.id === who ? (seat.stream.jid.split('/', 1)[0] ?? null) : this.#parts.occupants.jid(who)
    if (jid === null) return Promise.resolve(REFUSED)
    const affiliation = on ? 'owner' : this.#parts.gate.lobby === null ? 'none' : 'member'
    return this.#administer(({ room }) => [room.jid, el('item', null, { affiliation, jid })])
  }

  setPassword(password: string | null): Promise<CommandOutcome> {
    return this.#configure({
      roomsecret: password ?? '',
      passwordprotectedroom: password === null ? '0' : '1',
      membersonly: String(this.#parts.gate.lobby !== null),
      whois: 'anyone'
    })
  }

  async setLobby(on: boolean): Promise<CommandOutcome> {
    const inside = on ? this.#parts.occupants.jids() : []
    // Whoever is inside stays so, also when a connection is lost and comes back.
    if (inside.length > 0) {
      const members = inside.map((jid) => el('item', null, { affiliation: 'member', jid }))
      const kept = await this.#administer(({ room }) => [room.jid, ...members])
      if (!kept.ok) return kept
    }
    const locked = this.#parts.gate.locked ? { passwordprotectedroom: '1' } : {}
    return this.#configure({ membersonly: String(on), ...locked })
  }

  admit(who: readonly OccupantId[]): void {
    const { connection, gate } = this.#parts
    const invites = who.flatMap((id) => {
      const jid = gate.watch?.jid(id)
      return jid ? [el('invite', null, { to: jid })] : []
    })
    const { seat } = connection
    if (!seat || invites.length === 0) return
    seat.stream.send(el('message', NS.client, { to: seat.room.jid, id: seat.stream.id() }, el('x', NS.mucUser, {}, ...invites)))
  }

  deny(who: OccupantId): Promise<CommandOutcome> {
    const { watch } = this.#parts.gate
    if (!watch) return Promise.resolve(REFUSED)
    return this.#administer(() => [watch.address, el('item', null, { nick: who, role: 'none' })])
  }

  endForAll(): boolean {
    return this.#tell('end_conference', el('end_conference', null))
  }

  setRule(kind: MediaRole, on: boolean): boolean {
    return this.#tell('av_moderation', el('av_moderation', null, { enable: String(on), mediaType: MEDIA_TYPES[kind] }))
  }

  allow(who: OccupantId, kind: MediaRole, on: boolean): boolean {
    const { seat } = this.#parts.connection
    const list = on ? 'jidToWhitelist' : 'jidToBlacklist'
    const jid = `${seat?.room.jid}/${who}`
    return this.#tell('av_moderation', el('av_moderation', null, { [list]: jid, mediaType: MEDIA_TYPES[kind] }))
  }

  lowerHand(who?: OccupantId): boolean {
    return this.#parts.sendMessage(who, { name: 'lower-hand-message' })
  }

  #administer(what: (seat: Seat) => [to: string, ...items: ReturnType<typeof el>[]]): Promise<CommandOutcome> {
    return this.#ask((seat) => {
      const [to, ...items] = what(seat)
      return [to, el('query', NS.mucAdmin, {}, ...items)]
    })
  }

  #configure(fields: Readonly<Record<string, string>>): Promise<CommandOutcome> {
    const field = (name: string, value: string) => el('field', null, { var: name }, el('value', null, {}, value))
    const form = el('x', NS.dataForm, { type: 'submit' }, field('FORM_TYPE', NS.roomConfig))
    for (const [name, value] of Object.entries(fields)) form.cnode(field(`muc#roomconfig_${name}`, value))
    return this.#ask(({ room }) => [room.jid, el('query', NS.mucOwner, {}, form)])
  }

  async #ask(what: (seat: Seat) => [to: string, payload: ReturnType<typeof el>]): Promise<CommandOutcome> {
    const { seat } = this.#parts.connection
    if (!seat) return UNREACHABLE
    try {
      await seat.stream.request('set', ...what(seat))
      return DONE
    } catch (error) {
      return error instanceof StanzaError ? REFUSED : UNREACHABLE
    }
  }

  #tell(component: string, command: ReturnType<typeof el>): boolean {
    const to = this.#parts.gate.component(component)
    const { seat } = this.#parts.connection
    if (!seat || to === null) return false
    seat.stream.send(el('message', NS.client, { to, id: seat.stream.id() }, command))
    return true
  }
}
