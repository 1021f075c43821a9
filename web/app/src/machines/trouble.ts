/**
 * What is wrong with a microphone or a camera, and whether we have heard anything: one small machine
 * for each of the two, fed by the local device and, for the microphone, by its level.
 */
import type { LocalDevice, MediaFailureCode } from '@althing/core'

export type Trouble = 'denied' | 'missing' | 'busy' | 'blocked' | 'insecure' | 'unknown'

export type DeviceHealth =
  | { readonly is: 'off' }
  | { readonly is: 'starting' }
  | { readonly is: 'good'; readonly since: number; readonly heard: boolean }
  /** The microphone gave nothing but silence for ten seconds. */
  | { readonly is: 'silent' }
  | { readonly is: 'trouble'; readonly trouble: Trouble }

export type HealthEvent =
  | { readonly type: 'device'; readonly device: LocalDevice; readonly secure: boolean; readonly now: number }
  | { readonly type: 'level'; readonly level: number; readonly now: number }

export const healthAtStart: DeviceHealth = { is: 'off' }
export const SILENT_AFTER_MS = 10_000
const AUDIBLE = 0.01

export function nextHealth(health: DeviceHealth, event: HealthEvent): DeviceHealth {
  return event.type === 'device' ? device(health, event) : level(health, event)
}

function device(health: DeviceHealth, event: Extract<HealthEvent, { type: 'device' }>): DeviceHealth {
  switch (event.device.state) {
    case 'off':
    case 'muted':
      return health.is === 'off' ? health : { is: 'off' }
    case 'starting':
      return health.is === 'starting' ? health : { is: 'starting' }
    case 'on':
      return health.is === 'good' || health.is === 'silent' ? health : { is: 'good', since: event.now, heard: false }
    case 'failed': {
      const trouble = event.secure ? troubleOf(event.device.code) : 'insecure'
      return health.is === 'trouble' && health.trouble === trouble ? health : { is: 'trouble', trouble }
    }
  }
}

function level(health: DeviceHealth, event: Extract<HealthEvent, { type: 'level' }>): DeviceHealth {
  if (event.level >= AUDIBLE) {
    if (health.is === 'silent') return { is: 'good', since: event.now, heard: true }
    return health.is === 'good' && !health.heard ? { ...health, heard: true } : health
  }
  const long = health.is === 'good' && !health.heard && event.now - health.since >= SILENT_AFTER_MS
  return long ? { is: 'silent' } : health
}

/** What a card or a notice says of a failure. */
export function troubleOf(code: MediaFailureCode): Trouble {
  return code === 'cancelled' || code === 'moderated' || code === 'audio-only' ? 'unknown' : code
}
