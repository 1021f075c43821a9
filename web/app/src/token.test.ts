import { describe, expect, test } from 'vitest'
import { takeToken } from './token.ts'

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
