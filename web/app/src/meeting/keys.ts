/** Single keys of the meeting. They stay silent while somebody types and under any modifier. */
export type KeyAction = 'mic' | 'camera' | 'share' | 'chat' | 'people' | 'layout' | 'hand' | 'previous' | 'next' | 'regions'

export const keyFor = { mic: 'M', camera: 'V', share: 'D', chat: 'C', people: 'P', layout: 'W', hand: 'R' } as const

const letters = new Map<string, KeyAction>(
  Object.entries(keyFor).map(([action, key]) => [key.toLowerCase(), action as KeyAction])
)
const others = new Map<string, KeyAction>([
  ['PageUp', 'previous'],
  ['PageDown', 'next'],
  ['F6', 'regions']
])

type Key = Pick<KeyboardEvent, 'key' | 'ctrlKey' | 'altKey' | 'metaKey' | 'repeat' | 'target'>

export function actionOf(event: Key): KeyAction | null {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) return null
  if (event.key === 'F6') return 'regions'
  if (isTyping(event.target)) return null
  return letters.get(event.key.toLowerCase()) ?? others.get(event.key) ?? null
}

/** Space talks only where it does nothing else. */
export function isTalkKey(event: Key): boolean {
  return event.key === ' ' && !event.ctrlKey && !event.altKey && !event.metaKey && !isControl(event.target)
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest('input, textarea, select, [contenteditable], [role=menu]') !== null
}

function isControl(target: EventTarget | null): boolean {
  return isTyping(target) || (target instanceof Element && target.closest('button, a, summary, dialog') !== null)
}
