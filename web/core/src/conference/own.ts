// What we say about ourselves in the room: name, hand, devices.

import { decodableVideo } from '../media/codecs.ts'
import type { OwnPresence, SourceState } from '../room/room.ts'
import type { LocalMedia } from '../types.ts'

export class OwnState {
  name: string | null
  handRaisedAt: number | null = null
  readonly #media: LocalMedia
  /** Best first. */
  readonly codecs: readonly string[]
  #screenKnown = false

  constructor(media: LocalMedia, name: string | null, codecs?: readonly string[]) {
    this.#media = media
    this.codecs = decodableVideo(codecs)
    this.name = name
  }

  /** A screen is a source like any other from the first share on, and muted between shares. */
  get hasShared(): boolean {
    this.#screenKnown ||= this.#media.snapshot().screen.state === 'on'
    return this.#screenKnown
  }

  presence(id: string): OwnPresence {
    const { microphone, camera, screen } = this.#media.snapshot()
    const sources = new Map<string, SourceState>([
      [`${id}-a0`, { muted: microphone.state !== 'on', screen: false }],
      [`${id}-v0`, { muted: camera.state !== 'on', screen: false }]
    ])
    if (this.hasShared) sources.set(`${id}-v1`, { muted: screen.state !== 'on', screen: true })
    return { codecs: this.codecs, name: this.name, sources, handRaisedAt: this.handRaisedAt }
  }
}
