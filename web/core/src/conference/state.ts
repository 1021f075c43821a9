// The conference as the application sees it, before anything happened, and the changes all parts make.

import { Published } from '../published.ts'
import type { ConferenceEvents, ConnectionState, LocalMediaSnapshot, MediaMode, MediaRule, Snapshot } from '../types.ts'

const FREE: MediaRule = { enabled: false, by: null, allowed: true, approved: [] }
/** Nobody has to ask for anything. */
export const NO_RULES: Snapshot['rules'] = { microphone: FREE, camera: FREE, screen: FREE }

export class ConferenceState extends Published<Snapshot, ConferenceEvents> {
  constructor(room: string, name: string | null, mode: MediaMode, { microphone, camera, screen }: LocalMediaSnapshot) {
    super({
      connection: { phase: 'connecting' },
      media: 'idle',
      room: { name: room, subject: null, startedAt: null, locked: false, lobby: false, media: mode },
      self: { id: null, name, role: 'none', microphone, camera, screen, handRaisedAt: null },
      occupants: [],
      speaker: null,
      chat: [],
      can: { lobby: false, rules: false, endForAll: false },
      rules: NO_RULES,
      knocking: [],
      stats: null
    })
  }

  /** The one way into another phase; staying in the same one is not told. */
  setConnection(connection: ConnectionState): void {
    if (connection === this.snapshot.connection) return
    this.set({ connection })
    this.emit('connection', connection)
  }
}
