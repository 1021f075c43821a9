import { describe, expect, test } from 'vitest'
import { keepToken, keptToken, takeToken } from './token.ts'

const claims = (what: unknown) => `h.${Buffer.from(JSON.stringify(what)).toString('base64url')}.s`
const ana = claims({ context: { user: { name: ' Ana Díaz ' } } })
const at = (search: string, hash = '') => takeToken({ pathname: '/t/standup', search, hash })

describe('a token in a link', () => {
  test('is taken out of the address, with the rest left as it was', () => {
    expect(at(`?jwt=${ana}`)).toEqual({ token: { text: ana, name: 'Ana Díaz' }, clean: '/t/standup' })
    expect(at(`?a=1&jwt=${ana}`, '#config.x=1')?.clean).toBe('/t/standup?a=1#config.x=1')
    expect(at('?a=1', `#config.x=1&jwt=${ana}&config.y=2`)).toEqual({
      token: { text: ana, name: 'Ana Díaz' },
      clean: '/t/standup?a=1#config.x=1&config.y=2'
    })
  })

  test('the one after # wins', () => {
    expect(at('?jwt=one', '#jwt=two')?.token.text).toBe('two')
  })

  test('quotes are no part of it', () => {
    expect(at('', `#jwt=%22${ana}%22&config.x=1`)).toMatchObject({ token: { text: ana }, clean: '/t/standup#config.x=1' })
    expect(at('', `#jwt="${ana}"`)?.token.text).toBe(ana)
  })

  test('there is none', () => {
    expect(at('')).toBeNull()
    expect(at('?x=1', '#config.x=jwt')).toBeNull()
  })

  test.each(['x', 'a.b.c', 'a.%%%.c', claims(null), claims({ context: { user: { name: 5 } } }), claims({ context: 1 })])(
    'nonsense has no name: %s',
    text => {
      expect(at(`?jwt=${encodeURIComponent(text)}`)?.token).toEqual({ text, name: null })
    }
  )

  test('an empty one still goes', () => {
    expect(at('?jwt=')).toEqual({ token: { text: '', name: null }, clean: '/t/standup' })
  })
})

describe('a token kept for the tab', () => {
  const store = () => {
    const held = new Map<string, string>()
    return {
      held,
      getItem: (key: string) => held.get(key) ?? null,
      setItem: (key: string, value: string) => void held.set(key, value),
      removeItem: (key: string) => void held.delete(key)
    }
  }

  test('opens the room it was for, and no other', () => {
    const tab = store()
    keepToken(tab, '/t/standup', ana)
    expect(keptToken(tab, '/t/standup')).toEqual({ text: ana, name: 'Ana Díaz' })
    expect(keptToken(tab, '/standup')).toBeNull()
  })

  test('is forgotten with an empty one', () => {
    const tab = store()
    keepToken(tab, '/standup', ana)
    keepToken(tab, '/standup', '')
    expect([keptToken(tab, '/standup'), tab.held.size]).toEqual([null, 0])
  })

  test.each(['', 'x', '{}', 'null', '["/standup"]', '["/standup",5]'])('nonsense is none: %s', kept => {
    const tab = store()
    tab.setItem('althing.token', kept)
    expect(keptToken(tab, '/standup')).toBeNull()
  })
})
