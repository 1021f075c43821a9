// Our own description, read from what the browser made, and written as Jingle.

import type { Element } from 'ltx'
import { parse as parseSdp } from 'sdp-transform'
import { el } from '../stanza/build.ts'
import { NS } from '../stanza/ns.ts'
import type { Kind, MediaOffer, Offer } from './offer.ts'
import type { Encoding } from './simulcast.ts'

/** One source of ours as it is signalled. */
export interface LocalSource {
  readonly name: string
  readonly kind: Kind
  readonly screen: boolean
  /** Ascending. */
  readonly encodings: readonly Encoding[]
  readonly msid: string
}

export interface LocalTransport {
  readonly ufrag: string
  readonly pwd: string
  readonly fingerprint: { readonly hash: string; readonly value: string }
}

export interface Accepted {
  readonly payloadTypes: ReadonlySet<number>
  readonly extensions: ReadonlySet<number>
}

/** What each m-line of an answer sends, by mid. */
export interface LocalDescription {
  readonly transport: LocalTransport | null
  readonly sending: ReadonlyMap<string, readonly Encoding[]>
  /** What the browser accepted, by kind: numbers of payload types and of header extensions. */
  readonly accepted: ReadonlyMap<Kind, Accepted>
}

export function readLocal(sdp: string): LocalDescription {
  const session = parseSdp(sdp)
  const sending = new Map<string, Encoding[]>()
  const accepted = new Map<Kind, Accepted>()
  let transport: LocalTransport | null = null
  for (const media of session.media) {
    const fingerprint = media.fingerprint ?? session.fingerprint
    const ufrag = media.iceUfrag ?? session.iceUfrag
    const pwd = media.icePwd ?? session.icePwd
    if (!transport && fingerprint && ufrag && pwd) {
      transport = { ufrag: String(ufrag), pwd: String(pwd), fingerprint: { hash: fingerprint.type, value: fingerprint.hash } }
    }
    const kind = media.type === 'audio' || media.type === 'video' ? media.type : null
    if (kind && !accepted.has(kind)) {
      accepted.set(kind, {
        payloadTypes: new Set(media.rtp.map((rtp) => rtp.payload)),
        extensions: new Set(media.ext?.map((extension) => extension.value))
      })
    }
    // Firefox writes SSRCs on m-lines that only receive, too: those are not sources.
    const sends = media.direction === 'sendrecv' || media.direction === 'sendonly'
    if (!sends || media.mid === undefined) continue
    const groups = (semantics: string) =>
      (media.ssrcGroups ?? []).filter((group) => group.semantics === semantics).map(({ ssrcs }) => ssrcs.split(' ').map(Number))
    const pairs = groups('FID')
    const first = pairs[0]?.[0] ?? media.ssrcs?.[0]?.id
    // Where several were asked for by name (Firefox), their pairs come in that order, and no group holds them together.
    const named = media.simulcast === undefined || pairs.length < 2 ? undefined : pairs.flatMap(([primary]) => primary ?? [])
    const primaries = groups('SIM')[0] ?? named ?? (first === undefined ? [] : [Number(first)])
    const encodings = primaries.map((ssrc) => ({ ssrc, rtx: pairs.find(([primary]) => primary === ssrc)?.[1] ?? null }))
    if (encodings.length > 0) sending.set(String(media.mid), encodings)
  }
  return { transport, sending, accepted }
}

/** `<jingle action="session-accept">`. */
export function acceptJingle(
  offer: Offer,
  responder: string,
  local: LocalDescription,
  transport: LocalTransport,
  sources: readonly LocalSource[]
): Element {
  const offered = offer.video ? [offer.audio, offer.video] : [offer.audio]
  const group = el(
    'group',
    NS.grouping,
    { semantics: 'BUNDLE' },
    ...offered.map(({ kind }) => el('content', null, { name: kind }))
  )
  const content = (media: MediaOffer) => {
    const accepted = local.accepted.get(media.kind)
    const description = el(
      'description',
      NS.rtp,
      { media: media.kind },
      ...media.payloadTypes
        .filter((pt) => accepted?.payloadTypes.has(pt.id))
        .map((pt) =>
          el(
            'payload-type',
            null,
            { id: String(pt.id), name: pt.name, clockrate: String(pt.clockRate), channels: String(pt.channels) },
            ...pt.parameters.map(([name, value]) => el('parameter', null, { name, value })),
            ...pt.feedback.map(([type, subtype]) => el('rtcp-fb', NS.rtcpFb, { type, subtype: subtype ?? undefined }))
          )
        ),
      ...sourceElements(sources.filter((source) => source.kind === media.kind)),
      el('rtcp-mux', null),
      ...media.extensions
        .filter((extension) => accepted?.extensions.has(extension.id))
        .map((extension) => el('rtp-hdrext', NS.hdrext, { id: String(extension.id), uri: extension.uri }))
    )
    const fingerprint = el(
      'fingerprint',
      NS.dtls,
      { hash: transport.fingerprint.hash, setup: 'active' },
      transport.fingerprint.value
    )
    return el(
      'content',
      null,
      { creator: 'responder', name: media.kind, senders: 'both' },
      description,
      el('transport', NS.iceUdp, { ufrag: transport.ufrag, pwd: transport.pwd }, fingerprint)
    )
  }
  return el(
    'jingle',
    NS.jingle,
    { action: 'session-accept', sid: offer.sid, initiator: offer.initiator, responder },
    group,
    ...offered.map(content)
  )
}

/** `<jingle action="source-add">` or `source-remove`. */
export function sourceJingle(action: 'source-add' | 'source-remove', offer: Offer, sources: readonly LocalSource[]): Element {
  const kinds: Kind[] = ['audio', 'video']
  const contents = kinds.flatMap((kind) => {
    const mine = sources.filter((source) => source.kind === kind)
    if (mine.length === 0) return []
    return [el('content', null, { name: kind }, el('description', NS.rtp, { media: kind }, ...sourceElements(mine)))]
  })
  return el('jingle', NS.jingle, { action, sid: offer.sid, initiator: offer.initiator }, ...contents)
}

function sourceElements(sources: readonly LocalSource[]): Element[] {
  return sources.flatMap((source) => {
    const one = (ssrc: number) =>
      el(
        'source',
        NS.ssma,
        {
          ssrc: String(ssrc),
          name: source.name,
          videoType: source.kind === 'video' ? (source.screen ? 'desktop' : 'camera') : undefined
        },
        el('parameter', null, { name: 'msid', value: source.msid })
      )
    const group = (semantics: string, ssrcs: readonly number[]) =>
      el('ssrc-group', NS.ssma, { semantics }, ...ssrcs.map((ssrc) => el('source', null, { ssrc: String(ssrc) })))
    const primaries = source.encodings.map(({ ssrc }) => ssrc)
    const pairs = source.encodings.flatMap(({ ssrc, rtx }) => (rtx === null ? [] : [[ssrc, rtx]]))
    return [
      ...source.encodings.flatMap(({ ssrc, rtx }) => (rtx === null ? [one(ssrc)] : [one(ssrc), one(rtx)])),
      ...(primaries.length > 1 ? [group('SIM', primaries)] : []),
      ...pairs.map((pair) => group('FID', pair))
    ]
  })
}
