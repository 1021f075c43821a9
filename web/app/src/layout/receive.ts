/** Which pictures to ask the bridge for, and how tall: nothing that is not on the screen. */
import type { ReceiveConstraints, SourceName } from '@althing/core'

/** The heights a sender makes. */
const STEPS = [180, 360, 720, 1080, 2160] as const
/** A picture may be enlarged by a quarter before the next step is worth its bandwidth. */
const ENLARGE = 0.8
const SHARPEST_RATIO = 2
/** With more large cameras than this, none of them is asked for above `CROWD_HEIGHT`. */
const MOST_LARGE = 2
const CROWD_HEIGHT = 360
/** Text in a shared screen suffers from the smallest enlargement. */
const SCREEN_ON_STAGE = 1080

export interface Picture {
  readonly source: SourceName
  readonly kind: 'camera' | 'screen'
  /** Height of the tile in CSS pixels. */
  readonly height: number
  readonly onStage: boolean
}

/** The smallest step whose 125 % covers the tile. */
export function stepFor(height: number, pixelRatio: number): number {
  const needed = height * Math.min(pixelRatio, SHARPEST_RATIO) * ENLARGE
  return STEPS.find(step => step >= needed) ?? STEPS[STEPS.length - 1]!
}

export function constraintsFor(pictures: readonly Picture[], pixelRatio: number): ReceiveConstraints {
  const large = pictures.filter(p => p.kind === 'camera' && stepFor(p.height, pixelRatio) > CROWD_HEIGHT)
  const most = large.length > MOST_LARGE ? CROWD_HEIGHT : Infinity
  return {
    stage: pictures.filter(p => p.onStage).map(p => p.source),
    visible: pictures.map(({ source, kind, height, onStage }) => {
      const step = stepFor(height, pixelRatio)
      if (kind === 'camera') return { source, maxHeight: Math.min(step, most) }
      return { source, maxHeight: onStage ? Math.max(step, SCREEN_ON_STAGE) : step }
    }),
    lastN: -1
  }
}
