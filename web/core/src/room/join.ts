// Asking for a conference, and what it means when its room does not take us.

import type { Element } from 'ltx'
import { StanzaError, el, errorInfo } from '../stanza/build.ts'
import { NS } from '../stanza/ns.ts'
import type { XmppStream } from '../stream/stream.ts'
import type { FailureCode, MediaMode } from '../types.ts'

/** The focus answers when it is in the room, which takes it a while where it makes one. */
const CONFERENCE_TIMEOUT_MS = 30_000

/** The join was refused. */
export class JoinError extends Error {
  readonly code: FailureCode
  /** True when the same attempt may work a moment later. */
  readonly transient: boolean
  /** What the service adds for people. */
  readonly text: string | null
  /** The room beside this one where somebody may be asked to let us in. */
  readonly lobby: string | null
  /** Nobody can let us in before a host has come, who does so by coming. */
  readonly awaitsHost: boolean
  constructor(code: FailureCode, more: Partial<Pick<JoinError, 'transient' | 'text' | 'lobby' | 'awaitsHost'>> = {}) {
    super(code)
    this.code = code
    this.transient = more.transient ?? false
    this.text = more.text ?? null
    this.lobby = more.lobby ?? null
    this.awaitsHost = more.awaitsHost ?? false
  }
}

/** What of media a room is for, where somebody says so; older services say nothing. */
export function readMediaMode(said: unknown): MediaMode | null {
  return said === 'audio' || said === 'all' ? said : null
}

/** Asks the focus for the conference: it makes the room if there is none. Says what of media the room is for, if told. */
export async function requestConference(stream: XmppStream, focus: string, room: string, machine: string): Promise<MediaMode | null> {
  let answer: Element
  try {
    answer = await stream.request('set', focus, el('conference', NS.focus, { room, 'machine-uid': machine }), CONFERENCE_TIMEOUT_MS)
  } catch (error) {
    if (error instanceof StanzaError) {
      const { condition, text } = error.info
      // Without a host there is no meeting yet (protocol 1 §12.4).
      if (condition === 'not-authorized') throw new JoinError('not-authorized', { awaitsHost: true, text })
      // Full for the moment, or about to be restarted: worth another try later (protocol 1 §12.4).
      if (condition === 'resource-constraint') throw new JoinError('server-full', { text })
      if (condition === 'service-unavailable') throw new JoinError('server-restarting', { text })
      throw new JoinError('request-refused', { text })
    }
    throw error
  }
  const conference = answer.getChild('conference', NS.focus)
  if (conference?.attrs['ready'] !== 'true') throw new JoinError('request-refused', { transient: true })
  return readMediaMode(conference.getChildren('property').find(({ attrs }) => attrs['name'] === 'media')?.attrs['value'])
}

/** Protocol 1 §16: what a refused join means. */
export function joinError(stanza: Element): JoinError {
  const { type, condition, application, text } = errorInfo(stanza)
  if (application === 'displayname-required') return new JoinError('name-required')
  switch (condition) {
    case 'not-authorized':
      return new JoinError('password-required')
    case 'registration-required': {
      const error = stanza.getChild('error')
      const lobby = error?.getChildText('lobbyroom', NS.jitmeet) ?? error?.getChildText('lobbyroom') ?? null
      return new JoinError('members-only', { lobby, awaitsHost: error?.getChild('waiting-for-host') !== undefined })
    }
    case 'service-unavailable':
      return new JoinError('room-full')
    case 'conflict':
      return new JoinError('conflict')
    case 'forbidden':
      return new JoinError('forbidden', { text })
    case 'not-allowed': {
      if (application === 'authentication-required') return new JoinError('not-authorized', { text })
      // The room ended between our request for it and our join.
      const ended = application === 'room-does-not-exist' || text === 'Room creation is restricted'
      return ended ? new JoinError('not-allowed', { transient: true }) : new JoinError('not-allowed', { text })
    }
    default:
      return new JoinError('not-allowed', { transient: type === 'wait' })
  }
}
