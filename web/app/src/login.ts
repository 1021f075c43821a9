/** The way to the operator's login page, which brings people back with a token. */
import type { Place } from './page.ts'

/** What the login page is told of this page; it gives it back untouched. */
export interface LoginFrom extends Place {
  readonly microphoneOff: boolean
  readonly cameraOff: boolean
}

/** The page that redeems a code finds here what proves that it was asked for in this tab. */
const VERIFIER = 'code_verifier'
const VERIFIER_BYTES = 48

/**
 * Fills in `{room}`, `{state}` and `{code_challenge}` as stock clients do. Null when the result is no address
 * of the web, or when it needs what a page without HTTPS has not got.
 */
export async function loginAddress(template: string, from: LoginFrom, store: Pick<Storage, 'setItem'>): Promise<string | null> {
  const { room, tenant, microphoneOff, cameraOff } = from
  const state = {
    room,
    roomSafe: room,
    tenant: tenant ?? '',
    'config.startWithAudioMuted': microphoneOff,
    'config.startWithVideoMuted': cameraOff
  }
  let address = template
    .replaceAll('{room}', () => encodeURIComponent(room ?? ''))
    .replaceAll('{state}', () => encodeURIComponent(JSON.stringify(state)))
  if (address.includes('{code_challenge}')) {
    if (!globalThis.crypto?.subtle) return null
    const verifier = base64url(crypto.getRandomValues(new Uint8Array(VERIFIER_BYTES)))
    store.setItem(VERIFIER, verifier)
    const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier))
    address = address.replaceAll('{code_challenge}', base64url(new Uint8Array(digest)))
  }
  return URL.canParse(address) && /^https?:$/u.test(new URL(address).protocol) ? address : null
}

function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCodePoint(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}
