/**
 * What a screen reader hears. Two live regions; messages at least 300 ms apart; people who come
 * within three seconds are told together, and not at all in a large room.
 */
import { list, t } from '../i18n/index.ts'

const APART_MS = 300
const MERGE_MS = 3000
const NAMED = 2
export const QUIET_ABOVE = 30

export class Announcer {
  polite = $state('')
  assertive = $state('')
  #queue: { urgent: boolean; text: string }[] = []
  #speaking: ReturnType<typeof setTimeout> | undefined
  #joined: string[] = []
  #merging: ReturnType<typeof setTimeout> | undefined

  say(text: string): void {
    this.#add(false, text)
  }

  /** For what happens to oneself: muted by others, connection lost and back. */
  urgent(text: string): void {
    this.#add(true, text)
  }

  joined(name: string, inRoom: number): void {
    if (inRoom > QUIET_ABOVE) return
    this.#joined.push(name)
    this.#merging ??= setTimeout(() => {
      this.#merging = undefined
      this.say(joinedText(this.#joined.splice(0)))
    }, MERGE_MS)
  }

  left(name: string, inRoom: number): void {
    if (inRoom > QUIET_ABOVE) return
    this.say(t('announce.left', { name }))
  }

  dispose(): void {
    clearTimeout(this.#speaking)
    clearTimeout(this.#merging)
    this.#speaking = this.#merging = undefined
    this.#queue = []
    this.#joined = []
  }

  #add(urgent: boolean, text: string): void {
    if (this.#queue.some(waiting => waiting.text === text)) return
    this.#queue.push({ urgent, text })
    if (this.#speaking === undefined) this.#next()
  }

  #next(): void {
    this.#speaking = undefined
    const urgent = this.#queue.findIndex(waiting => waiting.urgent)
    const [message] = this.#queue.splice(Math.max(0, urgent), 1)
    if (message === undefined) return
    // The same words twice in a row are only spoken again if the text node changes.
    const region = message.urgent ? 'assertive' : 'polite'
    this[region] = this[region] === message.text ? `${message.text}\u00a0` : message.text
    this.#speaking = setTimeout(() => this.#next(), APART_MS)
  }
}

function joinedText(names: string[]): string {
  if (names.length === 1) return t('announce.joined', { name: names[0]! })
  if (names.length <= NAMED + 1) return t('announce.joinedMany', { names: list(names) })
  const rest = t('announce.others', { count: names.length - NAMED })
  return t('announce.joinedMany', { names: list([...names.slice(0, NAMED), rest]) })
}
