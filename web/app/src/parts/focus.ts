import type { Attachment } from 'svelte/attachments'

/** A new screen or panel starts at its heading, for keyboard and screen reader. */
export const focusHeading: Attachment<HTMLElement> = heading => heading.focus({ preventScroll: true })
