/** What this client prefers to send and to be sent, best first: what every browser encodes cheaply. */
const PREFERENCE = ['vp8', 'vp9', 'av1', 'h264']

/**
 * Video codecs this browser decodes, in order of preference, those of `first` before others: others send us only
 * what everybody can decode (protocol 2 §14.2), so one that is claimed and missing would be a black picture.
 */
export function decodableVideo(first: readonly string[] = []): string[] {
  const order = [...new Set([...first.filter((name) => PREFERENCE.includes(name)), ...PREFERENCE])]
  const types = globalThis.RTCRtpReceiver?.getCapabilities?.('video')?.codecs.map((codec) => codec.mimeType.toLowerCase())
  return types ? order.filter((name) => types.includes(`video/${name}`)) : ['vp8']
}

/** The first of ours that everybody else decodes; who says nothing of codecs is not asked. */
export function codecFor(ours: readonly string[], others: Iterable<readonly string[]>): string {
  const lists = [...others].filter((list) => list.length > 0)
  return ours.find((name) => lists.every((list) => list.includes(name))) ?? 'vp8'
}

/** One picture in several layers, rather than several pictures. */
export const isLayered = (codec: string): boolean => codec === 'vp9' || codec === 'av1'
