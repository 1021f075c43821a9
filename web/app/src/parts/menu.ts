/** Menus that lie above everything: where they stand, and how the keyboard moves in them. */
import type { Attachment } from 'svelte/attachments'

const ITEMS = 'button:not(:disabled)'
const GAP = 8

/** Arrows, Home and End move; Tab leaves; keys of the meeting stay silent. */
export const menuKeys: Attachment<HTMLElement> = menu => {
  const pressed = (event: KeyboardEvent) => {
    const items = [...menu.querySelectorAll<HTMLElement>(ITEMS)]
    const here = items.indexOf(document.activeElement as HTMLElement)
    const across = getComputedStyle(menu).direction === 'rtl' ? -1 : 1
    const row = menu.dataset['row'] !== undefined
    const steps: Record<string, number> = {
      ArrowDown: here + 1,
      ArrowUp: here - 1,
      ...(row ? { ArrowRight: here + across, ArrowLeft: here - across } : {}),
      Home: 0,
      End: items.length - 1
    }
    const to = steps[event.key]
    if (event.key !== 'Escape') event.stopPropagation()
    if (event.key === 'Tab') return menu.hidePopover()
    if (to === undefined) return
    event.preventDefault()
    items[(to + items.length) % items.length]?.focus()
  }
  menu.addEventListener('keydown', pressed)
  return () => menu.removeEventListener('keydown', pressed)
}

export interface MenuPosition {
  readonly start: number
  /** From the upper edge of the window, or null when it hangs from the lower one. */
  readonly top: number | null
  readonly bottom: number | null
}

/** Beside its opener: above where there is more room above, aligned with its nearer edge or its middle. */
export function placeBeside(opener: HTMLElement, width: number, centred = false): MenuPosition {
  const box = opener.getBoundingClientRect()
  const mirrored = getComputedStyle(opener).direction === 'rtl'
  const edge = (mirrored ? innerWidth - box.right : box.left) + (centred ? (box.width - width) / 2 : 0)
  const start = Math.max(GAP, Math.min(edge, innerWidth - width - GAP))
  const above = box.top > innerHeight - box.bottom
  return above
    ? { start, top: null, bottom: innerHeight - box.top + GAP }
    : { start, top: Math.min(box.bottom + GAP, innerHeight - GAP), bottom: null }
}

/** What is chosen, else the first; of a menu that may have closed again meanwhile. */
export function focusFirst(menu: HTMLElement | null): void {
  const chosen = menu?.querySelector<HTMLElement>('[aria-checked=true]:not(:disabled)')
  const first = chosen ?? menu?.querySelector<HTMLElement>(ITEMS)
  first?.focus()
}
