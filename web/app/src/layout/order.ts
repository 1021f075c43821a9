/** The order of tiles: it stays as it is until somebody has to become visible. */

/** Keeps everybody's place, forgets who left, appends who came. */
export function keepOrder(before: readonly string[], present: readonly string[]): string[] {
  const here = new Set(present)
  const known = new Set(before)
  return [...before.filter(key => here.has(key)), ...present.filter(key => !known.has(key))]
}

/**
 * Brings `key` onto the first page by swapping it with one tile there: whoever spoke longest ago.
 * Everybody else keeps their place. `spokeAt` gives a time, 0 for never; `fixed` tiles are not moved.
 */
export function bringIntoView(
  order: readonly string[],
  key: string,
  perPage: number,
  spokeAt: (key: string) => number,
  fixed: (key: string) => boolean
): readonly string[] {
  const from = order.indexOf(key)
  if (from < perPage) return order
  let to = -1
  for (let slot = perPage - 1; slot >= 0; slot--) {
    const here = order[slot]!
    if (!fixed(here) && (to < 0 || spokeAt(here) < spokeAt(order[to]!))) to = slot
  }
  if (to < 0) return order
  const swapped = [...order]
  swapped[from] = order[to]!
  swapped[to] = key
  return swapped
}
