import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { compile, compileCatalogue } from '../../build/catalogue.ts'
import english from './en.json'
import { format } from './format.ts'
import { dayAndTime, elapsed, t } from './index.ts'

const write = (text: string, args?: Record<string, string | number>) => format(compile(text), 'en', args)

describe('messages', () => {
  test('arguments, numbers, plural and select', () => {
    expect(write('Hello {name}', { name: 'Ana' })).toBe('Hello Ana')
    expect(write('{count, plural, =0 {none} one {# person} other {# people}}', { count: 0 })).toBe('none')
    expect(write('{count, plural, one {# person} other {# people}}', { count: 1 })).toBe('1 person')
    expect(write('{count, plural, one {# person} other {# people}}', { count: 1200 })).toBe('1,200 people')
    expect(write('{n, selectordinal, one {#st} two {#nd} other {#th}}', { n: 22 })).toBe('22nd')
    expect(write('{is, select, yes {on} other {off {name}}}', { is: 'no', name: 'x' })).toBe('off x')
    expect(write('{n, number}', { n: 1234 })).toBe('1,234')
  })

  test('what people type is never read as a message', () => {
    expect(write('Hello {name}', { name: '{count} <b>' })).toBe('Hello {count} <b>')
    expect(compile('plain')).toBe('plain')
  })

  test('a broken message stops the build and names its key', () => {
    expect(() => compileCatalogue({ 'a.b': '{open' })).toThrow('a.b')
    expect(() => compileCatalogue({ when: '{at, date}' })).toThrow('when')
  })
})

test('times', () => {
  expect(elapsed(0)).toBe('00:00')
  expect(elapsed(724_900)).toBe('12:04')
  expect(elapsed(3_723_000)).toBe('1:02:03')
  const now = new Date(2026, 10, 20, 12).getTime()
  expect(dayAndTime(new Date(2026, 10, 20, 9, 5).getTime(), now)).toMatch(/^today 0?9:05/)
  expect(dayAndTime(new Date(2026, 10, 19, 23, 59).getTime(), now)).toBe('yesterday')
})

describe('the English catalogue', () => {
  const sources = readSources(fileURLToPath(new URL('..', import.meta.url)))

  test('every message compiles', () => {
    expect(() => compileCatalogue(english)).not.toThrow()
    expect(t('meeting.people', { count: 3 })).toBe('3 people')
  })

  test('no text is there in vain', () => {
    // A family of keys may be put together from a code: `error.${code}`.
    const families = [...sources.matchAll(/`([a-z][\w.]*\.)\$\{/g)].map(match => match[1]!)
    const unused = Object.keys(english).filter(
      key => !sources.includes(`'${key}'`) && !families.some(family => key.startsWith(family))
    )
    expect(unused).toEqual([])
  })
})

function readSources(folder: string): string {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter(name => /\.(svelte|ts)$/.test(name) && !name.endsWith('.test.ts'))
    .map(name => readFileSync(join(folder, name), 'utf8'))
    .join('\n')
}
