import * as v from 'valibot'
import type { ServerConfig } from '../types.ts'

const Host = v.pipe(v.string(), v.minLength(1), v.toLowerCase())

const Config = v.object({
  hosts: v.object({ domain: Host, muc: Host, focus: v.optional(Host) }),
  websocket: v.pipe(v.string(), v.regex(/^(wss?:)?\/\//u))
})

/**
 * Takes what the service's `config.js` holds (any object) and keeps what a join needs. Null when the
 * object does not describe a service reachable over WebSocket. `pageUrl` completes an address
 * without a scheme.
 */
export function readServerConfig(raw: unknown, pageUrl?: string): ServerConfig | null {
  const parsed = v.safeParse(Config, raw)
  if (!parsed.success) return null
  const { hosts, websocket } = parsed.output
  const secure = pageUrl === undefined || pageUrl.startsWith('https:')
  return {
    webSocketUrl: websocket.startsWith('//') ? `${secure ? 'wss' : 'ws'}:${websocket}` : websocket,
    domain: hosts.domain,
    mucDomain: hosts.muc,
    focus: hosts.focus
  }
}
