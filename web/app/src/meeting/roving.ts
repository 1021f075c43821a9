import type { Attachment } from 'svelte/attachments'

// A menu that opens from the bar has arrows of its own.
const ALL = 'button:not([role=menu] *)'
const BUTTONS = `${ALL}:not(:disabled)`

/** One tab stop for a whole toolbar; arrows, Home and End move inside it. */
export const roving: Attachment<HTMLElement> = bar => {
  const buttons = () => [...bar.querySelectorAll<HTMLElement>(BUTTONS)].filter(button => button.offsetParent !== null)
  const stopAt = (chosen: HTMLElement | undefined) => {
    for (const button of bar.querySelectorAll<HTMLElement>(ALL)) button.tabIndex = button === chosen ? 0 : -1
  }
  const focused = (event: FocusEvent) => {
    const button = event.target instanceof Element ? event.target.closest<HTMLElement>(BUTTONS) : null
    if (button && buttons().includes(button)) stopAt(button)
  }
  const pressed = (event: KeyboardEvent) => {
    const all = buttons()
    const here = all.indexOf(document.activeElement as HTMLElement)
    if (here < 0) return
    const forward = getComputedStyle(bar).direction === 'rtl' ? -1 : 1
    const steps: Record<string, number> = { ArrowRight: forward, ArrowLeft: -forward, ArrowDown: 1, ArrowUp: -1 }
    const step = steps[event.key]
    let next: HTMLElement | undefined
    if (step !== undefined) next = all[(here + step + all.length) % all.length]
    else if (event.key === 'Home') next = all[0]
    else if (event.key === 'End') next = all.at(-1)
    if (!next) return
    event.preventDefault()
    next.focus()
  }
  stopAt(bar.querySelector<HTMLElement>(ALL) ?? undefined)
  bar.addEventListener('focusin', focused)
  bar.addEventListener('keydown', pressed)
  return () => {
    bar.removeEventListener('focusin', focused)
    bar.removeEventListener('keydown', pressed)
  }
}
