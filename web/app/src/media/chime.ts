/** Two soft tones made on the spot, to try a speaker; no sound file is loaded. */
export async function playChime(speakerId: string | null): Promise<void> {
  const context = new AudioContext()
  if (speakerId !== null && 'setSinkId' in context) {
    await (context as AudioContext & { setSinkId(id: string): Promise<void> }).setSinkId(speakerId).catch(() => undefined)
  }
  const at = context.currentTime
  for (const [index, hertz] of [523.25, 783.99].entries()) {
    const tone = new OscillatorNode(context, { type: 'sine', frequency: hertz })
    const loudness = new GainNode(context, { gain: 0 })
    const start = at + index * 0.18
    loudness.gain.setValueAtTime(0, start)
    loudness.gain.linearRampToValueAtTime(0.2, start + 0.02)
    loudness.gain.exponentialRampToValueAtTime(0.0001, start + 0.6)
    tone.connect(loudness).connect(context.destination)
    tone.start(start)
    tone.stop(start + 0.6)
    if (index === 1) tone.addEventListener('ended', () => void context.close())
  }
}
