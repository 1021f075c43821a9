// What the focus asks of us, and what it is answered.

import type { Element } from 'ltx'
import { type Offer, readOffer } from '../sdp/offer.ts'
import type { LocalRole } from '../session/session.ts'
import { el, errorOf, resultOf } from '../stanza/build.ts'
import { NS } from '../stanza/ns.ts'
import type { OccupantId } from '../types.ts'

/** Last part of a mute's namespace, and what it is about. */
const MUTES: Readonly<Record<string, LocalRole>> = { audio: 'microphone', video: 'camera', desktop: 'screen' }
/** Slots carry all remote sources and candidates come with the offer, so most need no more than an answer. */
const KNOWN_ACTIONS: ReadonlySet<string> = new Set([
  'session-terminate',
  'session-info',
  'source-add',
  'source-remove',
  'transport-info',
  'transport-replace'
])

export interface FocusHandlers {
  /** The media session there is now, if any. */
  sid(): string | undefined
  reply(answer: Element): void
  offered(offer: Offer): void
  /** The focus ended the session: alone in the room, or it moves and offers anew. */
  terminated(): void
  muted(kind: LocalRole, by: OccupantId | null): void
}

/** Answers a request of the focus, and acts on it after that. */
export function handleFocusRequest(request: Element, handlers: FocusHandlers): void {
  const jingle = request.getChild('jingle', NS.jingle)
  const mute = request.getChild('mute')
  if (jingle) handleJingle(request, jingle, handlers)
  else if (mute) {
    handlers.reply(resultOf(request))
    const kind = MUTES[mute.getNS()?.split('/').at(-1) ?? '']
    const by = mute.attrs['actor']?.split('/').at(-1) ?? null
    if (kind && mute.getText().trim() === 'true') handlers.muted(kind, by)
  } else handlers.reply(errorOf(request, 'service-unavailable'))
}

function handleJingle(request: Element, jingle: Element, handlers: FocusHandlers): void {
  const { action, sid } = jingle.attrs as Record<string, string | undefined>
  if (action === 'session-initiate') {
    const offer = readOffer(jingle, request.attrs['from'] ?? '')
    if (!offer) handlers.reply(errorOf(request, 'bad-request'))
    else if (offer.sid === handlers.sid()) handlers.reply(errorOf(request, 'service-unavailable'))
    else {
      handlers.reply(resultOf(request))
      handlers.offered(offer)
    }
  } else if (sid !== handlers.sid()) {
    handlers.reply(errorOf(request, 'item-not-found', el('unknown-session', NS.jingleErrors)))
  } else if (action !== undefined && KNOWN_ACTIONS.has(action)) {
    handlers.reply(resultOf(request))
    if (action === 'session-terminate') handlers.terminated()
  } else handlers.reply(errorOf(request, 'bad-request'))
}
