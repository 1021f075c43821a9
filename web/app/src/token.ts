/**
 * A token in a link: taken out of the address at once, so that neither a link passed on nor a referrer tells it,
 * and kept for this tab and this room, so that a reload is the same person. It goes with the tab.
 */

export interface Token {
  readonly text: string
  /** The name its issuer gave this person. */
  readonly name: string | null
}

interface Address {
  readonly pathname: string
  readonly search: string
  readonly hash: string
}

/** The token of `#jwt=` or `?jwt=`, and the address without either; null when there is none. */
export function takeToken({ pathname, search, hash }: Address): { token: Token; clean: string } | null {
  const query = new URLSearchParams(search)
  const options = hash.replace(/^#/u, '').split('&')
  const inHash = options.find(option => option.startsWith('jwt='))?.slice(4)
  // Stock login pages write options as JSON: `#jwt="…"`.
  const text = decode(inHash ?? '').replace(/^"(.*)"$/u, '$1') || query.get('jwt')
  if (!text && !query.has('jwt') && inHash === undefined) return null
  query.delete('jwt')
  const rest = options.filter(option => option !== '' && !option.startsWith('jwt=')).join('&')
  const clean = pathname + (query.size > 0 ? `?${query}` : '') + (rest === '' ? '' : `#${rest}`)
  return { token: tokenOf(text ?? ''), clean }
}

const KEPT = 'althing.token'

/** Keeps the token of a room for this tab; an empty one forgets it. */
export function keepToken(store: Pick<Storage, 'setItem' | 'removeItem'>, room: string, text: string): void {
  if (text === '') store.removeItem(KEPT)
  else store.setItem(KEPT, JSON.stringify([room, text]))
}

/** The token that this tab has for a room. */
export function keptToken(store: Pick<Storage, 'getItem'>, room: string): Token | null {
  const kept = store.getItem(KEPT)
  if (kept === null) return null
  try {
    const [where, text] = JSON.parse(kept) as unknown[]
    return where === room && typeof text === 'string' ? tokenOf(text) : null
  } catch {
    return null
  }
}

function tokenOf(text: string): Token {
  return { text, name: nameIn(text) }
}

/** Unchecked, for showing only: the service decides what it believes. */
function nameIn(token: string): string | null {
  const claims = token.split('.')[1]
  if (claims === undefined) return null
  try {
    const bytes = Uint8Array.from(atob(claims.replaceAll('-', '+').replaceAll('_', '/')), letter => letter.codePointAt(0)!)
    const { name } = (JSON.parse(new TextDecoder().decode(bytes)) as { context?: { user?: { name?: unknown } } })?.context?.user ?? {}
    return typeof name === 'string' && name.trim() !== '' ? name.trim().slice(0, 80) : null
  } catch {
    return null
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
