/** How chat is shown: runs of messages by one person, and links inside plain text. */
import type { ChatMessage } from '@althing/core'

export const LONGEST_MESSAGE = 2000
const SAME_RUN_MS = 3 * 60_000

export interface Run {
  readonly key: string
  readonly first: ChatMessage
  readonly messages: readonly ChatMessage[]
}

/** Messages of one person within three minutes, to the same people, stand under one name. */
export function runsOf(messages: readonly ChatMessage[]): Run[] {
  const runs: { key: string; first: ChatMessage; messages: ChatMessage[] }[] = []
  for (const message of messages) {
    const run = runs.at(-1)
    const last = run?.messages.at(-1)
    if (run && last && continues(last, message)) run.messages.push(message)
    else runs.push({ key: message.id, first: message, messages: [message] })
  }
  return runs
}

function continues(last: ChatMessage, next: ChatMessage): boolean {
  return (
    last.from === next.from &&
    last.own === next.own &&
    last.name === next.name &&
    last.isPrivate === next.isPrivate &&
    last.to === next.to &&
    last.history === next.history &&
    next.at - last.at < SAME_RUN_MS
  )
}

const GUARD_MS = 20_000

/**
 * Who might be meant by what is about to be said to everybody: whoever wrote to us alone within
 * twenty seconds, or last of all.
 */
export function perhapsFor(messages: readonly ChatMessage[], now: number): ChatMessage | null {
  const theirs = messages.filter(message => !message.own)
  const last = theirs.at(-1)
  const recent = theirs.findLast(message => message.isPrivate && now - message.at < GUARD_MS)
  const found = last?.isPrivate ? last : recent
  if (!found) return null
  // Whoever has said something to everybody since knows what they do.
  return messages.slice(messages.indexOf(found)).some(message => message.own && !message.isPrivate) ? null : found
}

export type TextPart = { readonly text: string; readonly link: string | null }

const LINK = /\bhttps?:\/\/[^\s<>"']+/giu

/** Only http and https become links; a full stop or a closing bracket after one is not part of it. */
export function linkParts(text: string): TextPart[] {
  const parts: TextPart[] = []
  let from = 0
  for (const match of text.matchAll(LINK)) {
    const link = trimmed(match[0])
    if (!URL.canParse(link)) continue
    if (match.index > from) parts.push({ text: text.slice(from, match.index), link: null })
    parts.push({ text: link, link })
    from = match.index + link.length
  }
  if (from < text.length) parts.push({ text: text.slice(from), link: null })
  return parts
}

function trimmed(link: string): string {
  const bare = link.replace(/[.,;:!?…]+$/u, '')
  const unopened = bare.endsWith(')') && !bare.includes('(')
  return unopened ? trimmed(bare.slice(0, -1)) : bare
}
