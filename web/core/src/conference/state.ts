// The conference as the application sees it, before anything happened, and the changes all parts make.

import { Published } from '../published.ts'
import type { ConferenceEvents, ConnectionState, LocalMediaSnapshot, Snapshot } from '../types.ts'

export class ConferenceState extends Published<Snapshot, ConferenceEvents> {
  constructor(room: string, name: string | null, { microphone, camera, screen }: LocalMediaSnapshot) {
    super({
      connection: { phase: 'connecting' },
      media: 'idle',
      room: { name: room, subject: null, startedAt: null },
      self: { id: null, name, role: 'none', microphone, camera, screen, handRaisedAt: null },
      occupants: [],
      speaker: null,
      chat: [],
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
