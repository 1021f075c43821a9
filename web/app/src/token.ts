/** A token in a link: taken out of the address at once, kept nowhere but in this page's memory. */

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
  const text = decode(inHash ?? '') || query.get('jwt')
  if (!text && !query.has('jwt') && inHash === undefined) return null
  query.delete('jwt')
  const rest = options.filter(option => option !== '' && !option.startsWith('jwt=')).join('&')
  const clean = pathname + (query.size > 0 ? `?${query}` : '') + (rest === '' ? '' : `#${rest}`)
  return { token: { text: text ?? '', name: nameIn(text ?? '') }, clean }
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
