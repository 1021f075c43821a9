// The remote description, built from a model: never edited as text.

import type { HeaderExtension, MediaOffer, Offer, PayloadType, Stream } from './offer.ts'

/** As seen from the bridge, which writes the offer. */
export type Direction = 'sendrecv' | 'sendonly' | 'recvonly'

/** One m-line. The pool only grows: slots are renamed, never removed. */
export interface Section {
  readonly mid: string
  readonly kind: 'audio' | 'video'
  readonly direction: Direction
  /** What the bridge sends on it. */
  readonly stream: Stream | null
}

/** The sections a session has from the start: they carry our microphone and, where there are pictures, our camera. */
export function firstSections(offer: Offer): Section[] {
  const { audio, video } = offer
  const microphone: Section = { mid: '0', kind: 'audio', direction: 'sendrecv', stream: audio.feedback }
  return video ? [microphone, { mid: '1', kind: 'video', direction: 'sendrecv', stream: video.feedback }] : [microphone]
}

/**
 * SDP text of the whole session; `version` grows with every change (RFC 8829 §5.2.1). `asked` names the encodings
 * of the camera to browsers that send several only when asked for them (RFC 8853).
 */
export function remoteDescription(offer: Offer, sections: readonly Section[], version: number, asked: readonly string[] = []): string {
  const lines = [
    'v=0',
    `o=- 1 ${version} IN IP4 0.0.0.0`,
    's=-',
    't=0 0',
    'a=msid-semantic: WMS *',
    `a=group:BUNDLE ${sections.map((section) => section.mid).join(' ')}`
  ]
  for (const section of sections) {
    lines.push(...mediaLines(offer, section))
    if (section.kind === 'video' && section.direction === 'sendrecv' && asked.length > 0) {
      lines.push(...asked.map((rid) => `a=rid:${rid} recv`), `a=simulcast:recv ${asked.join(';')}`)
    }
  }
  return `${lines.join('\r\n')}\r\n`
}

function mediaLines(offer: Offer, section: Section): string[] {
  const media: MediaOffer | null = section.kind === 'audio' ? offer.audio : offer.video
  if (!media) return []
  const { transport } = offer
  const lines = [
    `m=${section.kind} 9 UDP/TLS/RTP/SAVPF ${media.payloadTypes.map((pt) => pt.id).join(' ')}`,
    'c=IN IP4 0.0.0.0',
    'a=rtcp:9 IN IP4 0.0.0.0',
    `a=mid:${section.mid}`,
    `a=ice-ufrag:${transport.ufrag}`,
    `a=ice-pwd:${transport.pwd}`,
    `a=fingerprint:${transport.fingerprint.hash} ${transport.fingerprint.value}`,
    `a=setup:${transport.fingerprint.setup}`,
    ...transport.candidates.map((candidate) => `a=${candidate}`),
    `a=${section.direction}`,
    'a=rtcp-mux',
    'a=extmap-allow-mixed',
    ...media.payloadTypes.flatMap(payloadLines),
    ...media.extensions.map((extension: HeaderExtension) => `a=extmap:${extension.id} ${extension.uri}`)
  ]
  if (section.stream) lines.push(...streamLines(section.stream))
  return lines
}

function payloadLines(pt: PayloadType): string[] {
  const channels = pt.channels > 1 ? `/${pt.channels}` : ''
  const lines = [`a=rtpmap:${pt.id} ${pt.name}/${pt.clockRate}${channels}`]
  const parameters = pt.parameters.map(([name, value]) => (name ? `${name}=${value}` : value).replace(/;+$/u, ''))
  if (parameters.length > 0) lines.push(`a=fmtp:${pt.id} ${parameters.join(';')}`)
  for (const [type, subtype] of pt.feedback) lines.push(`a=rtcp-fb:${pt.id} ${type}${subtype ? ` ${subtype}` : ''}`)
  return lines
}

function streamLines({ ssrc, rtx, msid }: Stream): string[] {
  const lines = [`a=msid:${msid}`]
  if (rtx !== null) lines.push(`a=ssrc-group:FID ${ssrc} ${rtx}`)
  for (const one of rtx === null ? [ssrc] : [ssrc, rtx]) lines.push(`a=ssrc:${one} cname:bridge`, `a=ssrc:${one} msid:${msid}`)
  return lines
}
