/** Moving my own floating picture to another corner, by hand or by arrow keys. */
import type { Attachment } from 'svelte/attachments'
import type { Corner } from '../layout/scene.ts'

const DRAGGED = 8

export function cornerAfter(corner: Corner, key: string, mirrored: boolean): Corner {
  const [block, inline] = corner.split('-') as ['top' | 'bottom', 'start' | 'end']
  const forward = mirrored ? 'start' : 'end'
  const backward = mirrored ? 'end' : 'start'
  const next: Record<string, Corner> = {
    ArrowUp: `top-${inline}`,
    ArrowDown: `bottom-${inline}`,
    ArrowRight: `${block}-${forward}`,
    ArrowLeft: `${block}-${backward}`
  }
  return next[key] ?? corner
}

/** `corner` reads where it is, `move` puts it elsewhere. The element follows the pointer by `translate`. */
export function movable(corner: () => Corner, move: (to: Corner) => void): Attachment<HTMLElement> {
  return element => {
    let from: { x: number; y: number } | null = null
    const mirrored = () => getComputedStyle(element).direction === 'rtl'
    const down = (event: PointerEvent) => {
      if (event.button !== 0 || (event.target as Element).closest('button')) return
      from = { x: event.clientX, y: event.clientY }
      element.setPointerCapture(event.pointerId)
    }
    const drag = (event: PointerEvent) => {
      if (from) element.style.translate = `${event.clientX - from.x}px ${event.clientY - from.y}px`
    }
    const up = (event: PointerEvent) => {
      if (!from) return
      const far = Math.hypot(event.clientX - from.x, event.clientY - from.y) > DRAGGED
      from = null
      element.style.translate = ''
      const area = element.parentElement!.getBoundingClientRect()
      const end = event.clientX > area.left + area.width / 2 !== mirrored()
      const bottom = event.clientY > area.top + area.height / 2
      if (far) move(`${bottom ? 'bottom' : 'top'}-${end ? 'end' : 'start'}`)
    }
    const press = (event: KeyboardEvent) => {
      if (event.target !== element || !event.key.startsWith('Arrow')) return
      event.preventDefault()
      move(cornerAfter(corner(), event.key, mirrored()))
    }
    element.addEventListener('pointerdown', down)
    element.addEventListener('pointermove', drag)
    element.addEventListener('pointerup', up)
    element.addEventListener('pointercancel', up)
    element.addEventListener('keydown', press)
    return () => {
      element.removeEventListener('pointerdown', down)
      element.removeEventListener('pointermove', drag)
      element.removeEventListener('pointerup', up)
      element.removeEventListener('pointercancel', up)
      element.removeEventListener('keydown', press)
      element.style.translate = ''
    }
  }
}
