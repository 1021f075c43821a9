import { expect, test } from 'vitest'
import type { ChatMessage } from '@althing/core'
import { linkParts, runsOf } from './chat.ts'

const message = (id: string, from: string, at: number, more: Partial<ChatMessage> = {}): ChatMessage => ({
  id, from, name: from, own: false, isPrivate: false, to: null, text: id, at, history: false, ...more
})

test('messages of one person within three minutes stand together', () => {
  const runs = runsOf([
    message('1', 'bo', 0),
    message('2', 'bo', 170_000),
    message('3', 'bo', 400_000),
    message('4', 'chen', 401_000),
    message('5', 'chen', 402_000, { isPrivate: true })
  ])
  expect(runs.map(run => run.messages.map(one => one.id).join(''))).toEqual(['12', '3', '4', '5'])
})

test('links are found, and nothing else becomes one', () => {
  expect(linkParts('see https://a.example/x?y=1, then (http://b.example).')).toEqual([
    { text: 'see ', link: null },
    { text: 'https://a.example/x?y=1', link: 'https://a.example/x?y=1' },
    { text: ', then (', link: null },
    { text: 'http://b.example', link: 'http://b.example' },
    { text: ').', link: null }
  ])
  expect(linkParts('https://a.example/wiki/Thing_(law)')[0]!.link).toBe('https://a.example/wiki/Thing_(law)')
  for (const text of ['javascript:alert(1)', 'www.a.example', 'https://', '<script>alert(1)</script>']) {
    expect(linkParts(text)).toEqual([{ text, link: null }])
  }
})
