/** Development only: `/dev.html?people=4&share&chat&mixed&hall&moderator&room=name&trouble=denied&phase=…&screen=…`. */
import type { ConnectionState, MediaFailureCode } from '@althing/core'
import { start } from '../start.ts'
import { stageSet } from './stage-set.ts'

const query = new URLSearchParams(location.search)
const phases: Record<string, ConnectionState> = {
  signalling: { phase: 'reconnecting', what: 'signalling', since: 0, attempt: 1 },
  media: { phase: 'reconnecting', what: 'media', since: 0, attempt: 3 },
  kicked: { phase: 'kicked', by: null, reason: 'Testing the door' },
  failed: { phase: 'failed', code: 'unreachable' },
  password: { phase: 'asking', for: 'password', wrong: false, tried: 0 },
  wrong: { phase: 'asking', for: 'password', wrong: true, tried: 1 },
  lobby: { phase: 'asking', for: 'lobby', since: Date.now() - 42_000, wrong: false, tried: 0 },
  host: { phase: 'asking', for: 'host', since: Date.now() - 42_000, wrong: false, tried: 0 },
  denied: { phase: 'failed', code: 'denied' },
  full: { phase: 'failed', code: 'room-full' },
  ended: { phase: 'failed', code: 'destroyed' },
  token: { phase: 'failed', code: 'not-authorized', text: 'The token has expired.' }
}

const wanted = query.get('screen') ?? 'meeting'
history.replaceState(null, '', wanted === 'welcome' ? '/' : `/${query.get('room') ?? 'weekly-planning'}`)
const app = start(
  stageSet({
    people: Number(query.get('people') ?? 3),
    share: query.has('share'),
    chat: query.has('chat'),
    mixed: query.has('mixed'),
    hall: query.has('hall'),
    moderator: query.has('moderator'),
    trouble: query.get('trouble') as MediaFailureCode | null,
    connection: phases[query.get('phase') ?? ''] ?? { phase: 'joined' }
  })
)
if (wanted !== 'welcome' && wanted !== 'prejoin') app.join()
if (wanted === 'ended') setTimeout(() => app.leave(), 500)
