/** What a tile shows, made from an occupant of the room; equal occupants give the very same records. */
import type { Occupant, Self, VideoView } from '@althing/core'

export type TileConnection = 'good' | 'weak' | 'lost' | 'paused'

export interface TileRecord {
  /** Lasting name of the tile: the occupant's id, with `-screen` for a screen. */
  readonly key: string
  readonly owner: string
  readonly kind: 'camera' | 'screen'
  readonly own: boolean
  /** As given; null shows the catalogue's word. */
  readonly name: string | null
  readonly microphone: boolean
  readonly video: MediaStreamTrack | null
  readonly camera: boolean
  readonly source: string | null
  readonly connection: TileConnection
  readonly handRaisedAt: number | null
}

export const screenKey = (owner: string) => `${owner}-screen`

const known = new WeakMap<Occupant, readonly TileRecord[]>()

/** One tile for the person, one more for a screen they share. */
export function tilesOf(occupant: Occupant): readonly TileRecord[] {
  let tiles = known.get(occupant)
  if (!tiles) {
    const screen = showing(occupant.screen) ? [screenTile(occupant, occupant.screen)] : []
    known.set(occupant, (tiles = [cameraTile(occupant), ...screen]))
  }
  return tiles
}

export function ownTile(self: Self): TileRecord {
  const { microphone, camera } = self
  return {
    key: ownKey(self),
    owner: ownKey(self),
    kind: 'camera',
    own: true,
    name: self.name,
    microphone: microphone.state === 'on',
    video: camera.state === 'on' ? camera.track : null,
    camera: camera.state === 'on',
    source: null,
    connection: 'good',
    handRaisedAt: self.handRaisedAt
  }
}

/** The quiet card in place of our own shared screen, which would mirror itself without end. */
export function ownScreenTile(self: Self): TileRecord | null {
  if (self.screen.state !== 'on') return null
  return { ...ownTile(self), key: screenKey(ownKey(self)), kind: 'screen', video: null, camera: false }
}

/** Our id comes with the join; until then a word that no occupant can have. */
export function ownKey(self: Self): string {
  return self.id ?? 'self'
}

function showing(video: VideoView | null): video is VideoView {
  return video !== null && !video.muted
}

function cameraTile(occupant: Occupant): TileRecord {
  const { camera } = occupant
  return {
    key: occupant.id,
    owner: occupant.id,
    kind: 'camera',
    own: false,
    name: occupant.name,
    microphone: occupant.audio !== null && !occupant.audio.muted,
    video: showing(camera) ? camera.track : null,
    camera: showing(camera),
    source: showing(camera) ? camera.source : null,
    connection: connectionOf(occupant, camera),
    handRaisedAt: occupant.handRaisedAt
  }
}

function screenTile(occupant: Occupant, screen: VideoView): TileRecord {
  return {
    ...cameraTile(occupant),
    key: screenKey(occupant.id),
    kind: 'screen',
    video: screen.track,
    camera: true,
    source: screen.source,
    connection: connectionOf(occupant, screen)
  }
}

function connectionOf({ reachable }: Occupant, video: VideoView | null): TileConnection {
  if (!reachable) return 'lost'
  if (!showing(video)) return 'good'
  switch (video.streaming) {
    case 'active':
      return 'good'
    case 'inactive':
      return 'paused'
    case 'restoring':
      return 'weak'
    case 'interrupted':
      return 'lost'
  }
}
