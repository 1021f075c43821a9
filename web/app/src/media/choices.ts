/** The devices of one kind as a person chooses among them. */
import type { DeviceKind, LocalMediaSnapshot } from '@althing/core'
import { t } from '../i18n/index.ts'

export interface Choices {
  readonly devices: readonly { readonly id: string; readonly label: string }[]
  /** The one in use, or the first, which is the browser's default. */
  readonly chosen: string
}

const lists = { microphone: 'microphones', camera: 'cameras', speaker: 'speakers' } as const

export function choicesFor(media: LocalMediaSnapshot | null, kind: DeviceKind): Choices {
  const devices = (media?.devices[lists[kind]] ?? [])
    .filter(device => device.id !== '')
    .map((device, index) => ({
      id: device.id,
      label: device.label || t('device.unnamed', { kind, number: index + 1 })
    }))
  const inUse = media === null ? null : kind === 'speaker' ? media.speakerId : media[kind].deviceId
  const chosen = devices.find(device => device.id === inUse) ?? devices[0]
  return { devices, chosen: chosen?.id ?? '' }
}
