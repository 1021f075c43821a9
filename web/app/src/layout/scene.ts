/**
 * Where every tile is: alone, two people, grid or stage with filmstrip. A pure function of who is
 * there, what they chose and how much room there is; a tile keeps its node, only its rectangle changes.
 */
import { arrange, cutToAspect, gapFor, place, type Area, type Rect } from './tiles.ts'

export type View = 'alone' | 'duo' | 'grid' | 'stage'
export type Role = 'grid' | 'stage' | 'strip' | 'float'
export type LayoutMode = 'auto' | 'grid' | 'stage'
export type Corner = 'top-start' | 'top-end' | 'bottom-start' | 'bottom-end'

export interface Placed extends Rect {
  readonly role: Role
}

export interface SceneInput {
  readonly area: Area
  /** Remote tiles, cameras and screens, in their lasting order. */
  readonly order: readonly string[]
  /** Those of them that are screens, newest first. */
  readonly screens: readonly string[]
  readonly self: string
  /** The quiet card that stands for the screen we share ourselves; null when we do not. */
  readonly ownScreen: string | null
  /** At most six, first pinned first. */
  readonly pinned: readonly string[]
  /** Who has the stage by speaking, see `speaker.ts`. */
  readonly speaker: string | null
  readonly mode: LayoutMode
  readonly page: number
  readonly cap: number
  readonly columnsBefore?: number | undefined
  readonly corner: Corner
}

export interface Scene {
  readonly view: View
  readonly placed: ReadonlyMap<string, Placed>
  readonly columns: number
  readonly rows: number
  readonly perPage: number
  readonly page: number
  readonly pages: number
  /** People who are there but not placed on this page. */
  readonly unseen: number
}

const MOST_PINNED = 6
const PHONE_EDGE = 600
const WIDEST = 16 / 9
const STAGE_NARROWEST = 4 / 3

export function sceneFor(input: SceneInput): Scene {
  switch (viewOf(input)) {
    case 'alone':
      return single('alone', input, input.self, null)
    case 'duo':
      return single('duo', input, input.order[0]!, input.self)
    case 'grid':
      return gridScene(input)
    case 'stage':
      return stageScene(input)
  }
}

/** Alone; two people with me floating; grid from three people; stage for a pin or a remote share. */
export function viewOf({ order, screens, pinned, mode }: SceneInput): View {
  if (order.length === 0) return 'alone'
  if (mode === 'grid') return 'grid'
  if (pinned.length > 0 || screens.length > 0) return 'stage'
  if (order.length === 1) return 'duo'
  return mode === 'stage' ? 'stage' : 'grid'
}

/** Pinned, else the newest remote share, else who speaks, else who came last. */
export function onStage({ order, screens, pinned, speaker, self }: SceneInput): readonly string[] {
  if (pinned.length > 0) return pinned.slice(0, MOST_PINNED)
  const one = screens[0] ?? (speaker !== null && order.includes(speaker) ? speaker : order.at(-1))
  return [one ?? self]
}

function single(view: View, input: SceneInput, large: string, floating: string | null): Scene {
  const { area } = input
  const placed = new Map<string, Placed>([[large, { ...centred(area, wholeOf(area)), role: 'stage' }]])
  if (floating !== null) placed.set(floating, { ...cornerOf(area, input.corner), role: 'float' })
  return { view, placed, columns: 1, rows: 1, perPage: 1, page: 0, pages: 1, unseen: 0 }
}

/** A face alone in the area; on a phone held upright it takes all of it. */
function wholeOf(area: Area): Area {
  return area.width < area.height ? area : cutToAspect(area, STAGE_NARROWEST, WIDEST)
}

function centred(area: Area, inner: Area): Rect {
  return { x: (area.width - inner.width) / 2, y: (area.height - inner.height) / 2, ...inner }
}

function cornerOf(area: Area, corner: Corner): Rect {
  const upright = area.width < area.height
  const width = area.width < PHONE_EDGE || area.height < PHONE_EDGE ? (upright ? 96 : 144) : 240
  const height = upright && area.width < PHONE_EDGE ? (width * 4) / 3 : (width * 9) / 16
  const inset = area.width < PHONE_EDGE ? 10 : 16
  const frame = centred(area, wholeOf(area))
  const end = frame.x + frame.width - width - inset
  const bottom = frame.y + frame.height - height - inset
  return {
    x: corner.endsWith('end') ? end : frame.x + inset,
    y: corner.startsWith('bottom') ? bottom : frame.y + inset,
    width,
    height
  }
}

function gridScene(input: SceneInput): Scene {
  const { area, order, self, ownScreen, cap } = input
  const others = ownScreen === null ? order : [ownScreen, ...order]
  const total = others.length + 1
  const full = arrange(total, area, cap, input.columnsBefore)
  // My own tile closes the first page, so that it never pushes anybody over the edge.
  const mine = Math.min(others.length, full.perPage - 1)
  const all = [...others.slice(0, mine), self, ...others.slice(mine)]
  const page = Math.max(0, Math.min(input.page, full.pages - 1))
  const shown = all.slice(page * full.perPage, (page + 1) * full.perPage)
  const grid = shown.length < full.perPage ? arrange(shown.length, area, cap) : full
  const rects = place(grid, shown.length, area)
  const placed = new Map(shown.map((key, slot) => [key, { ...rects[slot]!, role: 'grid' as const }]))
  const { columns, rows } = grid
  return { view: 'grid', placed, columns, rows, perPage: full.perPage, page, pages: full.pages, unseen: total - shown.length }
}

function stageScene(input: SceneInput): Scene {
  const { area, order, self, ownScreen } = input
  const stage = onStage(input)
  const rest = [...order, self, ...(ownScreen === null ? [] : [ownScreen])].filter(key => !stage.includes(key))
  const strip = stripFor(area, rest.length)
  const placed = new Map<string, Placed>()
  placeStage(placed, stage, strip.stage, new Set(input.screens))
  // Myself is always in the strip: the last slot when not everybody fits.
  const fitting = rest.length > strip.slots.length ? keepSelf(rest, self, strip.slots.length) : rest
  fitting.forEach((key, slot) => placed.set(key, { ...strip.slots[slot]!, role: 'strip' }))
  return {
    view: 'stage',
    placed,
    columns: 1,
    rows: 1,
    perPage: Math.max(1, strip.slots.length),
    page: 0,
    pages: 1,
    unseen: rest.length - fitting.length
  }
}

function keepSelf(rest: readonly string[], self: string, slots: number): string[] {
  const first = rest.slice(0, slots)
  if (slots > 0 && rest.includes(self) && !first.includes(self)) first[slots - 1] = self
  return first
}

function placeStage(placed: Map<string, Placed>, stage: readonly string[], area: Rect, screens: ReadonlySet<string>): void {
  const only = stage.length === 1 ? stage[0]! : null
  if (only !== null) {
    // A screen gets all of it and is fitted inside; a face is cut at most to 4:3.
    const inner = screens.has(only) ? area : wholeOf(area)
    const rect = centred(area, inner)
    placed.set(only, { ...rect, x: rect.x + area.x, y: rect.y + area.y, role: 'stage' })
    return
  }
  const grid = arrange(stage.length, area, MOST_PINNED)
  for (const [slot, rect] of place(grid, stage.length, area).entries()) {
    placed.set(stage[slot]!, { ...rect, x: rect.x + area.x, y: rect.y + area.y, role: 'stage' })
  }
}

/** The filmstrip stands at the inline end, or lies at the bottom where the area is upright. */
function stripFor(area: Area, people: number): { stage: Rect; slots: Rect[] } {
  const gap = gapFor(area)
  if (people === 0) return { stage: { x: 0, y: 0, ...area }, slots: [] }
  if (area.width < area.height) {
    const least = area.width < PHONE_EDGE ? 112 : 160
    const fit = Math.max(1, Math.floor((area.width + gap) / (least + gap)))
    const width = Math.min(240, (area.width - (fit - 1) * gap) / fit)
    const height = width * 0.75
    const count = Math.min(fit, people)
    const start = (area.width - count * width - (count - 1) * gap) / 2
    const slots = Array.from({ length: count }, (_, slot) => ({
      x: start + slot * (width + gap),
      y: area.height - height,
      width,
      height
    }))
    return { stage: { x: 0, y: 0, width: area.width, height: area.height - height - gap }, slots }
  }
  const width = Math.min(232, Math.max(132, area.width * 0.165))
  const height = (width * 9) / 16
  const fit = Math.max(1, Math.floor((area.height + gap) / (height + gap)))
  const count = Math.min(fit, people)
  const slots = Array.from({ length: count }, (_, slot) => ({
    x: area.width - width,
    y: slot * (height + gap),
    width,
    height
  }))
  return { stage: { x: 0, y: 0, width: area.width - width - gap, height: area.height }, slots }
}
