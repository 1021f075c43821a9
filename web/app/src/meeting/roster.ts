/** Everybody in the room, in the order a list shows them: moderators, oneself, the rest by name. */
import type { OccupantId, Role, Snapshot } from '@althing/core'

export interface RosterEntry {
  readonly id: OccupantId
  readonly own: boolean
  readonly name: string | null
  readonly role: Role
  readonly microphone: boolean
  readonly camera: boolean
  readonly sharing: boolean
  readonly handRaisedAt: number | null
}

export function rosterOf({ self, occupants }: Pick<Snapshot, 'self' | 'occupants'>): RosterEntry[] {
  const own: RosterEntry = {
    id: self.id ?? 'self',
    own: true,
    name: self.name,
    role: self.role,
    microphone: self.microphone.state === 'on',
    camera: self.camera.state === 'on',
    sharing: self.screen.state === 'on',
    handRaisedAt: self.handRaisedAt
  }
  const others = occupants.map(one => ({
    id: one.id,
    own: false,
    name: one.name,
    role: one.role,
    microphone: one.audio !== null && !one.audio.muted,
    camera: one.camera !== null && !one.camera.muted,
    sharing: one.screen !== null && !one.screen.muted,
    handRaisedAt: one.handRaisedAt
  }))
  const rank = (one: RosterEntry) => (one.role === 'moderator' ? 0 : one.own ? 1 : 2)
  const collator = new Intl.Collator()
  return [own, ...others].toSorted((a, b) => rank(a) - rank(b) || collator.compare(a.name ?? '', b.name ?? ''))
}

/** Whether a name has what somebody looks for, whatever its accents. */
export function matches(name: string, wanted: string): boolean {
  return plain(name).includes(plain(wanted.trim()))
}

function plain(text: string): string {
  return text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase()
}
