/** What this client prefers to be sent, best first. */
const PREFERENCE = ['vp8', 'vp9', 'av1', 'h264']

/**
 * Video codecs this browser decodes, in order of preference: others send us only what everybody can
 * decode (protocol 2 §14.2), so one that is claimed and missing would be a black picture.
 */
export function decodableVideo(): string[] {
  const types = globalThis.RTCRtpReceiver?.getCapabilities?.('video')?.codecs.map((codec) => codec.mimeType.toLowerCase())
  return types ? PREFERENCE.filter((name) => types.includes(`video/${name}`)) : ['vp8']
}
