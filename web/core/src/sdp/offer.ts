// What the focus offers, read from Jingle into a plain model.

import type { Element } from 'ltx'
import { NS } from '../stanza/ns.ts'

export type Kind = 'audio' | 'video'

export interface PayloadType {
  readonly id: number
  readonly name: string
  readonly clockRate: number
  readonly channels: number
  readonly parameters: readonly (readonly [name: string, value: string])[]
  readonly feedback: readonly (readonly [type: string, subtype: string | null])[]
}

export interface HeaderExtension {
  readonly id: number
  readonly uri: string
}

export interface MediaOffer {
  readonly kind: Kind
  readonly payloadTypes: readonly PayloadType[]
  readonly extensions: readonly HeaderExtension[]
  /** The bridge's own source: keeps the first m-line of each kind from belonging to a person. */
  readonly feedback: Stream
}

/** What is sent on one SSRC (and its retransmissions). */
export interface Stream {
  readonly ssrc: number
  readonly rtx: number | null
  readonly msid: string
}

export interface TransportOffer {
  readonly ufrag: string
  readonly pwd: string
  readonly fingerprint: { readonly hash: string; readonly value: string; readonly setup: string }
  readonly candidates: readonly string[]
  readonly webSocket: string | null
}

export interface Offer {
  readonly sid: string
  readonly initiator: string
  readonly bridgeSession: string | null
  readonly audio: MediaOffer
  /** Null in an audio hall: there is no m-line for pictures. */
  readonly video: MediaOffer | null
  readonly transport: TransportOffer
}

/** Cameras first try what every browser encodes cheaply. */
const VIDEO_PREFERENCE = ['VP8', 'VP9', 'H264', 'AV1']

/** Null when the offer lacks something a session cannot do without. */
export function readOffer(jingle: Element, from: string): Offer | null {
  const contents = jingle.getChildren('content')
  const content = (kind: Kind) => contents.find((c) => c.getChild('description')?.attrs['media'] === kind)
  const transport = readTransport(contents.map((c) => c.getChild('transport', NS.iceUdp)).find((t) => t !== undefined))
  const feedback = feedbackSources(jingle)
  const audio = content('audio')?.getChild('description')
  const video = content('video')?.getChild('description')
  const sid = jingle.attrs['sid']
  if (!transport || !audio || !sid || !feedback.audio || (video && !feedback.video)) return null
  return {
    sid,
    initiator: from,
    bridgeSession: jingle.getChild('bridge-session', NS.focus)?.attrs['id'] ?? null,
    audio: { kind: 'audio', ...readDescription(audio), feedback: feedback.audio },
    video: video && feedback.video ? { kind: 'video', ...preferred(readDescription(video)), feedback: feedback.video } : null,
    transport
  }
}

/** The same offer with a video codec first: what is sent is the first of them. */
export function withCodec(offer: Offer, codec: string): Offer {
  const isFirst = (pt: PayloadType) => pt.name.toLowerCase() === codec
  if (!offer.video) return offer
  const { payloadTypes } = offer.video
  const ordered = [...payloadTypes.filter(isFirst), ...payloadTypes.filter((pt) => !isFirst(pt))]
  return { ...offer, video: { ...offer.video, payloadTypes: ordered } }
}

function readDescription(description: Element): { payloadTypes: PayloadType[]; extensions: HeaderExtension[] } {
  const payloadTypes = description.getChildren('payload-type').map((pt) => ({
    id: Number(pt.attrs['id']),
    name: pt.attrs['name'] ?? '',
    clockRate: Number(pt.attrs['clockrate']),
    channels: Number(pt.attrs['channels'] ?? 1),
    parameters: pt.getChildren('parameter').map((p) => [p.attrs['name'] ?? '', p.attrs['value'] ?? ''] as const),
    feedback: pt.getChildren('rtcp-fb').map((f) => [f.attrs['type'] ?? '', f.attrs['subtype'] ?? null] as const)
  }))
  const extensions = description
    .getChildren('rtp-hdrext')
    .map((e) => ({ id: Number(e.attrs['id']), uri: e.attrs['uri'] ?? '' }))
    // `mid` is renumbered by nobody on the way, so it must not be believed.
    .filter((e) => e.uri !== 'urn:ietf:params:rtp-hdrext:sdes:mid')
  return { payloadTypes, extensions }
}

function preferred<T extends { payloadTypes: PayloadType[] }>(description: T): T {
  const rank = (pt: PayloadType) => {
    const place = VIDEO_PREFERENCE.indexOf(pt.name.toUpperCase())
    return place < 0 ? VIDEO_PREFERENCE.length : place
  }
  return { ...description, payloadTypes: description.payloadTypes.toSorted((a, b) => rank(a) - rank(b)) }
}

function readTransport(transport: Element | undefined): TransportOffer | null {
  const fingerprint = transport?.getChild('fingerprint', NS.dtls)
  const ufrag = transport?.attrs['ufrag']
  const pwd = transport?.attrs['pwd']
  if (!transport || !fingerprint || !ufrag || !pwd) return null
  return {
    ufrag,
    pwd,
    fingerprint: {
      hash: fingerprint.attrs['hash'] ?? 'sha-256',
      value: fingerprint.getText(),
      setup: fingerprint.attrs['setup'] ?? 'actpass'
    },
    candidates: transport.getChildren('candidate').map(candidateLine),
    webSocket: transport.getChild('web-socket', NS.colibri)?.attrs['url'] ?? null
  }
}

function candidateLine(candidate: Element): string {
  const a = (name: string) => candidate.attrs[name] ?? ''
  const related = candidate.attrs['rel-addr'] ? ` raddr ${a('rel-addr')} rport ${a('rel-port')}` : ''
  const tcp = candidate.attrs['tcptype'] ? ` tcptype ${a('tcptype')}` : ''
  return `candidate:${a('foundation')} ${a('component')} ${a('protocol')} ${a('priority')} ${a('ip')} ${a('port')} typ ${a('type')}${related}${tcp} generation ${a('generation') || '0'}`
}

/** The sources owned by `jvb`, from JSON or XML. */
function feedbackSources(jingle: Element): { audio: Stream | null; video: Stream | null } {
  const [video, , audio] = jsonSources(jingle.getChild('json-message', NS.jitmeet)?.getText() ?? '')
  return { audio: audio ?? xmlSource(jingle, 'audio'), video: video ?? xmlSource(jingle, 'video') }
}

/** The first of each of `[video sources, video groups, audio sources]` (protocol 2 §5.3). */
function jsonSources(text: string): (Stream | null)[] {
  try {
    const parsed = JSON.parse(text) as { sources?: { jvb?: { s?: unknown; m?: unknown }[][] } }
    return (parsed.sources?.jvb ?? []).map(([first]) =>
      typeof first?.s === 'number' && typeof first.m === 'string' ? { ssrc: first.s, rtx: null, msid: first.m } : null
    )
  } catch {
    return []
  }
}

function xmlSource(jingle: Element, kind: Kind): Stream | null {
  const sources = jingle.getChildren('content').flatMap((content) => {
    const description = content.getChild('description')
    return description?.attrs['media'] === kind ? description.getChildren('source', NS.ssma) : []
  })
  const source = sources.find((s) => s.getChild('ssrc-info')?.attrs['owner'] === 'jvb')
  const msid = source?.getChildren('parameter').find((p) => p.attrs['name'] === 'msid')?.attrs['value']
  return source && msid ? { ssrc: Number(source.attrs['ssrc']), rtx: null, msid } : null
}
