import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { LEVEL_EVERY_MS, LEVEL_WINDOW, levelOf, watchReceiverLevel, watchTrackLevel } from '../src/media/level.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

/** A second of silence with one beep in it, at full scale. */
function beep(rate: number, fromMs: number, lengthMs: number): Float32Array {
  const sound = new Float32Array(rate)
  const from = Math.round((fromMs * rate) / 1000)
  const to = Math.round(((fromMs + lengthMs) * rate) / 1000)
  for (let at = from; at < to; at++) sound[at] = Math.sin((2 * Math.PI * 1000 * at) / rate)
  return sound
}

/** The loudest level told over that second. */
function loudest(sound: Float32Array, rate: number): number {
  let most = 0
  for (let ms = LEVEL_EVERY_MS; ms <= 1000; ms += LEVEL_EVERY_MS) {
    const end = (ms * rate) / 1000
    most = Math.max(most, levelOf(sound.subarray(Math.max(0, end - LEVEL_WINDOW), end)))
  }
  return most
}

describe('the level of samples', () => {
  it('is their root mean square, three times, and at most one', () => {
    expect(levelOf(new Float32Array(LEVEL_WINDOW))).toBe(0)
    expect(levelOf(new Float32Array(LEVEL_WINDOW).fill(0.1))).toBeCloseTo(0.3)
    expect(levelOf(Float32Array.of(0.1, -0.1, 0.1, -0.1))).toBeCloseTo(0.3)
    expect(levelOf(new Float32Array(LEVEL_WINDOW).fill(-1))).toBe(1)
    expect(levelOf(new Float32Array())).toBe(0)
    // A tone of amplitude a has a root mean square of a / √2.
    const tone = Float32Array.from({ length: 4800 }, (_, at) => 0.2 * Math.sin((2 * Math.PI * at) / 48))
    expect(levelOf(tone)).toBeCloseTo((0.2 / Math.SQRT2) * 3)
  })

  it.each([44_100, 48_000])('leaves at most 15 ms unheard at %i Hz', (rate) => {
    const unheard = LEVEL_EVERY_MS - (LEVEL_WINDOW / rate) * 1000
    expect(unheard).toBeLessThan(15)
    // Analysers take powers of two only.
    expect(Math.log2(LEVEL_WINDOW) % 1).toBe(0)
  })

  it.each([44_100, 48_000])('shows a beep of 30 ms wherever it falls, at %i Hz', (rate) => {
    for (let from = 0; from < 900; from++) expect(loudest(beep(rate, from, 30), rate)).toBeGreaterThan(0.5)
  })
})

describe('an own track', () => {
  it('is measured ten times a second until nobody listens', () => {
    let amplitude = 0.1
    const source = { connect: vi.fn<(to: unknown) => void>(), disconnect: vi.fn<() => void>() }
    const analyser = {
      fftSize: 2048,
      getFloatTimeDomainData: (into: Float32Array) => void into.fill(amplitude)
    }
    const close = vi.fn<() => Promise<void>>(async () => {})
    vi.stubGlobal(
      'AudioContext',
      class {
        readonly close = close
        createMediaStreamSource = () => source
        createAnalyser = () => analyser
      }
    )
    vi.stubGlobal(
      'MediaStream',
      class {
        readonly active = true
      }
    )
    const levels: number[] = []
    const stop = watchTrackLevel({} as MediaStreamTrack, (level) => levels.push(level))
    expect(analyser.fftSize).toBe(LEVEL_WINDOW)
    expect(source.connect).toHaveBeenCalledExactlyOnceWith(analyser)
    vi.advanceTimersByTime(100)
    amplitude = 0.2
    vi.advanceTimersByTime(100)
    expect(levels.map((level) => level.toFixed(2))).toEqual(['0.30', '0.60'])
    stop()
    expect(source.disconnect).toHaveBeenCalledOnce()
    expect(close).toHaveBeenCalledOnce()
    vi.advanceTimersByTime(1000)
    expect(levels).toHaveLength(2)
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('a received track', () => {
  it('is as loud as its newest packet, and silent once that is old', () => {
    const now = performance.timeOrigin + performance.now()
    const receiver = { getSynchronizationSources: () => [{ timestamp: now, audioLevel: 0.2 }] }
    let current: unknown = null
    const levels: number[] = []
    const stop = watchReceiverLevel(
      () => current as RTCRtpReceiver | null,
      (level) => levels.push(level)
    )
    vi.advanceTimersByTime(100)
    current = receiver
    vi.advanceTimersByTime(100)
    vi.advanceTimersByTime(500)
    stop()
    expect(levels[0]).toBe(0)
    expect(levels[1]).toBeCloseTo(0.6)
    expect(levels.at(-1)).toBe(0)
    expect(vi.getTimerCount()).toBe(0)
  })
})
