/** Where this browser keeps things, if it does: people who block cookies block this as well. */

/** Of this browser; null where it is forbidden. */
export function browserStore(): Storage | null {
  try {
    return localStorage
  } catch {
    return null
  }
}

/** Of this tab; where that is forbidden or full, of this page, until it goes. */
export function tabStore(): Pick<Storage, 'getItem' | 'setItem' | 'removeItem'> {
  const page = new Map<string, string>()
  const kept = <T>(use: (store: Storage) => T, otherwise: T): T => {
    try {
      return use(sessionStorage)
    } catch {
      return otherwise
    }
  }
  return {
    getItem: key => page.get(key) ?? kept(store => store.getItem(key), null),
    setItem(key, value) {
      page.set(key, value)
      kept(store => store.setItem(key, value), undefined)
    },
    removeItem(key) {
      page.delete(key)
      kept(store => store.removeItem(key), undefined)
    }
  }
}
