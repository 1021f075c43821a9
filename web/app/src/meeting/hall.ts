/** Which part of a long list of people is in the page: what is seen of it, and a little more. */
import type { Area } from '../layout/tiles.ts'

/** Of one row, in CSS pixels; the style sheet says the same. */
export const ROW = 52
const NARROWEST = 240
/** Rows kept above and below what is seen, so that scrolling shows no gap. */
const SPARE = 3
/** However large the window is, no more are in the page. */
const MOST = 78

export interface Seen {
  readonly columns: number
  /** The first one in the page, and the first after the last. */
  readonly from: number
  readonly to: number
  /** Room for those who are not, in CSS pixels. */
  readonly above: number
  readonly below: number
}

export function seenOf(count: number, area: Area, scrolled: number): Seen {
  const columns = Math.max(1, Math.floor(area.width / NARROWEST))
  const rows = Math.ceil(count / columns)
  const most = Math.max(1, Math.floor(MOST / columns))
  const shown = Math.min(most, Math.ceil(area.height / ROW) + 2 * SPARE)
  const last = Math.max(0, rows - shown)
  const first = Math.max(0, Math.min(last, Math.floor(scrolled / ROW) - SPARE))
  const end = Math.min(rows, first + shown)
  return { columns, from: first * columns, to: Math.min(count, end * columns), above: first * ROW, below: (rows - end) * ROW }
}
