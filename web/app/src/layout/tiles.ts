/**
 * The tile grid: how many columns and rows of which size hold so many people in an area.
 *
 * A pure function. For as many tiles as fit (never more than the cap) it tries every number of
 * columns, cuts each cell to an aspect a face looks well in, and keeps the arrangement with the
 * largest tiles, less a little for every empty cell. It keeps the columns it had until another
 * arrangement is clearly better, so that a resized window does not make the tiles jump.
 */

/** The area tiles may use, in CSS pixels. */
export interface Area {
  readonly width: number
  readonly height: number
}

/** A rectangle in the area; `x` counts from the inline start, so that it mirrors by itself. */
export interface Rect {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

/** One chosen arrangement. Sizes are exact; round them where they are shown. */
export interface Grid {
  readonly columns: number
  readonly rows: number
  readonly width: number
  readonly height: number
  /** Tiles on a full page. */
  readonly perPage: number
  readonly pages: number
  readonly gap: number
}

const WIDEST = 16 / 9
const NARROW_EDGE = 600
const EMPTY_CELL_COST = 0.04
const KEEP_UNLESS_BETTER_BY = 1.06

/** The space between tiles: 10 px, 6 px where the area is narrower than 600 px. */
export function gapFor(area: Area): number {
  return area.width < NARROW_EDGE ? 6 : 10
}

/** How many tiles a page may hold: 25 on a desktop, 16 on a tablet, 8 on a phone. */
export function pageCap(window: Area): number {
  const short = Math.min(window.width, window.height)
  const long = Math.max(window.width, window.height)
  if (short < 500) return 8
  return short < 900 && long < 1200 ? 16 : 25
}

/** The arrangement of `count` people in `area`, at most `cap` of them on a page. */
export function arrange(count: number, area: Area, cap: number, columnsBefore?: number): Grid {
  const gap = gapFor(area)
  const most = Math.max(1, Math.min(count, cap))
  for (let tiles = most; tiles > 1; tiles--) {
    const best = bestColumns(tiles, area, gap, columnsBefore)
    if (best) return gridOf(best, tiles, count, gap)
  }
  return gridOf(cell(1, 1, area, gap), 1, count, gap)
}

/** Where each of the `count` tiles of one page goes; a short last row is centred. */
export function place(grid: Grid, count: number, area: Area): Rect[] {
  const shown = Math.min(count, grid.perPage)
  const rows = Math.ceil(shown / grid.columns)
  const top = (area.height - rows * grid.height - (rows - 1) * grid.gap) / 2
  return Array.from({ length: shown }, (_, index) => {
    const row = Math.floor(index / grid.columns)
    const inRow = Math.min(grid.columns, shown - row * grid.columns)
    const start = (area.width - inRow * grid.width - (inRow - 1) * grid.gap) / 2
    return {
      x: start + (index % grid.columns) * (grid.width + grid.gap),
      y: top + row * (grid.height + grid.gap),
      width: grid.width,
      height: grid.height,
    }
  })
}

/** The largest rectangle inside `area` whose aspect lies between two bounds. */
export function cutToAspect(area: Area, narrowest: number, widest: number): Area {
  const aspect = Math.min(Math.max(area.width / area.height, narrowest), widest)
  return area.width / area.height > aspect
    ? { width: area.height * aspect, height: area.height }
    : { width: area.width, height: area.width / aspect }
}

interface Candidate extends Area {
  readonly columns: number
  readonly rows: number
}

function bestColumns(tiles: number, area: Area, gap: number, before?: number): Candidate | undefined {
  const [leastWidth, leastHeight] = area.width < NARROW_EDGE ? [132, 110] : [176, 112]
  let best: Candidate | undefined
  let kept: Candidate | undefined
  for (let columns = 1; columns <= tiles; columns++) {
    const tried = cell(columns, Math.ceil(tiles / columns), area, gap)
    if (tried.width < leastWidth || tried.height < leastHeight) continue
    if (columns === before) kept = tried
    if (!best || score(tried, tiles) > score(best, tiles)) best = tried
  }
  if (best && kept && score(best, tiles) < score(kept, tiles) * KEEP_UNLESS_BETTER_BY) return kept
  return best
}

function cell(columns: number, rows: number, area: Area, gap: number): Candidate {
  const narrowest = area.width / area.height < 0.8 ? 0.75 : 1.2
  const whole = {
    width: Math.max(1, (area.width - (columns - 1) * gap) / columns),
    height: Math.max(1, (area.height - (rows - 1) * gap) / rows),
  }
  return { columns, rows, ...cutToAspect(whole, narrowest, WIDEST) }
}

function score(tried: Candidate, tiles: number): number {
  const empty = tried.columns * tried.rows - tiles
  return tried.width * tried.height * (1 - (EMPTY_CELL_COST * empty) / tried.rows)
}

function gridOf(chosen: Candidate, perPage: number, count: number, gap: number): Grid {
  return { ...chosen, perPage, gap, pages: Math.max(1, Math.ceil(count / perPage)) }
}
