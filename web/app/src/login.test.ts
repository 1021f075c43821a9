import { createHash } from 'node:crypto'
import { afterEach, expect, test, vi } from 'vitest'
import { loginAddress, type LoginFrom } from './login.ts'

const from: LoginFrom = { room: 'team sync', tenant: null, microphoneOff: true, cameraOff: false }
const tab = () => {
  const held: Record<string, string> = {}
  return { held, setItem: (key: string, value: string) => void (held[key] = value) }
}
afterEach(() => vi.unstubAllGlobals())

test('the room and the state are filled in, wherever they stand', async () => {
  const address = await loginAddress('https://login.example/{room}?state={state}&again={room}', from, tab())
  const url = new URL(address ?? '')
  expect([url.pathname, url.searchParams.get('again')]).toEqual(['/team%20sync', 'team sync'])
  expect(JSON.parse(url.searchParams.get('state') ?? '')).toEqual({
    room: 'team sync',
    roomSafe: 'team sync',
    tenant: '',
    'config.startWithAudioMuted': true,
    'config.startWithVideoMuted': false
  })
})

test('what a room is called is never read as a place to fill in, nor as more of the address', async () => {
  const odd = { ...from, room: '{state}$&/../?a#b', tenant: 'acme' }
  const address = await loginAddress('https://login.example/?r={room}&s={state}', odd, tab())
  const url = new URL(address ?? '')
  expect([url.host, url.searchParams.get('r'), url.hash]).toEqual(['login.example', odd.room, ''])
  expect(JSON.parse(url.searchParams.get('s') ?? '')).toMatchObject({ room: odd.room, tenant: 'acme' })
})

test('a challenge belongs to a verifier that stays in the tab', async () => {
  const store = tab()
  const address = await loginAddress('https://login.example/?c={code_challenge}', from, store)
  const verifier = store.held['code_verifier'] ?? ''
  expect(verifier).toMatch(/^[\w-]{64}$/u)
  expect(new URL(address ?? '').searchParams.get('c')).toBe(createHash('sha256').update(verifier).digest('base64url'))
  vi.stubGlobal('crypto', {})
  expect(await loginAddress('https://login.example/?c={code_challenge}', from, store)).toBeNull()
})

test.each(['javascript:alert(1)', '/login', '', 'https://'])('no address of the web: %s', async template => {
  expect(await loginAddress(template, from, tab())).toBeNull()
})
