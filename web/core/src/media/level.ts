// How loud a track is, about ten times a second.

const EVERY_MS = 100

/** RMS of an own track, 0 to 1, scaled so that normal speech is well visible. */
export function watchTrackLevel(track: MediaStreamTrack, listener: (level: number) => void): () => void {
  const context = new AudioContext()
  const source = context.createMediaStreamSource(new MediaStream([track]))
  const analyser = context.createAnalyser()
  analyser.fftSize = 1024
  source.connect(analyser)
  const samples = new Float32Array(analyser.fftSize)
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples)
    let sum = 0
    for (const sample of samples) sum += sample * sample
    listener(Math.min(1, Math.sqrt(sum / samples.length) * 3))
  }, EVERY_MS)
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
    listener(fresh ? Math.min(1, (latest.audioLevel ?? 0) * 3) : 0)
  }, EVERY_MS)
  return () => clearInterval(timer)
}
