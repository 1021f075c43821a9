/** Every sentence a person reads comes through here; the keys are those of `en.json`. */
import texts from 'virtual:texts/en'
import type english from './en.json'
import { format, type Arguments } from './format.ts'

export type TextKey = keyof typeof english

export const language = 'en'
export const direction: 'ltr' | 'rtl' = 'ltr'

export function t(key: TextKey, args?: Arguments): string {
  return format(texts[key] ?? key, language, args)
}

const clock = new Intl.DateTimeFormat(language, { hour: '2-digit', minute: '2-digit' })
const day = new Intl.DateTimeFormat(language, { weekday: 'short', day: 'numeric', month: 'short' })
const names = new Intl.ListFormat(language, { type: 'conjunction' })

export function timeOfDay(at: number): string {
  return clock.format(at)
}

/** `today 09:00`, `yesterday`, or the date. */
export function dayAndTime(at: number, now: number): string {
  const days = Math.round((startOfDay(now) - startOfDay(at)) / 86_400_000)
  if (days === 0) return t('time.today', { time: timeOfDay(at) })
  return days === 1 ? t('time.yesterday') : day.format(at)
}

/** `12:04` or `1:02:03`. */
export function elapsed(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  const two = (value: number) => String(value).padStart(2, '0')
  const hours = Math.floor(seconds / 3600)
  const rest = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`
  return hours > 0 ? `${hours}:${rest}` : rest
}

export function list(items: readonly string[]): string {
  return names.format(items)
}

function startOfDay(at: number): number {
  return new Date(at).setHours(0, 0, 0, 0)
}
