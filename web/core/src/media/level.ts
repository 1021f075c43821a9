// How loud a track is, about ten times a second.

/** How often a level is told. */
export const LEVEL_EVERY_MS = 100
/**
 * Samples behind each level of an own track: 85 ms at 48 kHz. What falls between two windows is not
 * heard, so nearly nothing may: a beep of 15 ms always shows.
 */
export const LEVEL_WINDOW = 4096
/** Normal speech is well visible then. */
const GAIN = 3

/** RMS of samples between -1 and 1, scaled, 0 to 1. */
export function levelOf(samples: Float32Array): number {
  let sum = 0
  for (const sample of samples) sum += sample * sample
  return samples.length === 0 ? 0 : Math.min(1, Math.sqrt(sum / samples.length) * GAIN)
}

/** How loud an own track is, 0 to 1. */
export function watchTrackLevel(track: MediaStreamTrack, listener: (level: number) => void): () => void {
  const context = new AudioContext()
  const source = context.createMediaStreamSource(new MediaStream([track]))
  const analyser = context.createAnalyser()
  analyser.fftSize = LEVEL_WINDOW
  source.connect(analyser)
  const samples = new Float32Array(analyser.fftSize)
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples)
    listener(levelOf(samples))
  }, LEVEL_EVERY_MS)
  return () => {
    clearInterval(timer)
    source.disconnect()
    void context.close()
  }
}

/** What the browser says of a received track; no audio graph is needed for that. */
export function watchReceiverLevel(receiver: () => RTCRtpReceiver | null, listener: (level: number) => void): () => void {
  const timer = setInterval(() => {
    const [latest] = receiver()?.getSynchronizationSources() ?? []
    const fresh = latest && performance.timeOrigin + performance.now() - latest.timestamp < 500
    listener(fresh ? Math.min(1, (latest.audioLevel ?? 0) * GAIN) : 0)
  }, LEVEL_EVERY_MS)
  return () => clearInterval(timer)
}
