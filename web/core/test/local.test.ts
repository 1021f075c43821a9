import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createLocalMedia } from '../src/media/local.ts'
import type { LocalMedia, LocalMediaEvents } from '../src/types.ts'

/** A track of a device; ends when the browser says so. */
class Track extends EventTarget {
  readyState: 'live' | 'ended' = 'live'
  enabled = true
  readonly #deviceId: string
  readonly label: string

  constructor(deviceId: string) {
    super()
    this.#deviceId = deviceId
    this.label = `the ${deviceId}`
  }

  getSettings() {
    return { deviceId: this.#deviceId }
  }

  stop(): void {
    this.readyState = 'ended'
  }

  /** What the browser does when it takes a device away. */
  end(): void {
    this.stop()
    this.dispatchEvent(new Event('ended'))
  }
}

class Browser extends EventTarget {
  present = ['headset', 'built-in']
  /** What the next requests come to. */
  refuses: string | null = null
  /** Phones open one camera at a time, and Firefox one microphone. */
  oneAtATime = false
  readonly given: Track[] = []

  async enumerateDevices() {
    return this.present.map((deviceId) => ({ kind: 'audioinput', deviceId, label: `the ${deviceId}` }))
  }

  async getUserMedia({ audio }: { audio?: { deviceId?: { ideal: string } } }) {
    if (this.refuses) throw new DOMException('no', this.refuses)
    if (this.oneAtATime && this.given.some(({ readyState }) => readyState === 'live')) throw new DOMException('no', 'NotReadableError')
    const wanted = audio?.deviceId?.ideal
    const track = new Track(wanted !== undefined && this.present.includes(wanted) ? wanted : (this.present[0] ?? ''))
    this.given.push(track)
    return { getTracks: () => [track] }
  }

  unplug(deviceId: string): void {
    this.present = this.present.filter((one) => one !== deviceId)
    for (const track of this.given) if (track.label === `the ${deviceId}` && track.readyState === 'live') track.end()
    this.dispatchEvent(new Event('devicechange'))
  }
}

let browser: Browser
let media: LocalMedia
let lost: LocalMediaEvents['deviceLost'][]
const states: string[] = []
const given = (index: number): Track => browser.given.at(index) ?? new Track('')
const settled = async () => {
  for (let turn = 0; turn < 50; turn++) await Promise.resolve()
}

beforeEach(async () => {
  browser = new Browser()
  vi.stubGlobal('navigator', { mediaDevices: browser })
  vi.stubGlobal('window', { isSecureContext: true })
  lost = []
  states.length = 0
  vi.useFakeTimers({ toFake: ['Date'], now: 0 })
  media = createLocalMedia({ microphoneId: 'headset' })
  media.on('deviceLost', (detail) => lost.push(detail))
  media.subscribe(({ microphone }) => states.push(microphone.state))
  await settled()
  await media.setMicrophone(true)
  await settled()
  vi.setSystemTime(60_000)
})
afterEach(() => {
  media.dispose()
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

describe('a microphone in use', () => {
  it('that is unplugged is replaced, once, and said so', async () => {
    browser.unplug('headset')
    await settled()
    expect(media.snapshot().microphone).toMatchObject({ state: 'on', deviceId: 'built-in' })
    expect(lost).toEqual([{ kind: 'microphone', label: 'the headset', replacedBy: { id: 'built-in', label: 'the built-in' } }])
    expect(browser.given.filter(({ readyState }) => readyState === 'live')).toHaveLength(1)
  })

  it('that was the only one is off for everybody, not on and silent', async () => {
    browser.present = ['headset']
    browser.refuses = 'NotFoundError'
    browser.unplug('headset')
    await settled()
    expect(media.snapshot().microphone).toMatchObject({ state: 'failed', track: null, code: 'missing' })
    expect(lost).toEqual([{ kind: 'microphone', label: 'the headset', replacedBy: null }])
  })

  it('that the person no longer allows is off, and says why', async () => {
    browser.refuses = 'NotAllowedError'
    given(0).end()
    await settled()
    expect(media.snapshot().microphone).toMatchObject({ state: 'failed', track: null, code: 'denied' })
    expect(lost).toEqual([{ kind: 'microphone', label: 'the headset', replacedBy: null, code: 'denied' }])
    browser.refuses = null
    await media.setMicrophone(true)
    expect(media.snapshot().microphone.state).toBe('on')
  })

  it('that the system took away for a moment is opened again', async () => {
    given(0).end()
    await settled()
    expect(media.snapshot().microphone).toMatchObject({ state: 'on', deviceId: 'headset' })
    expect([lost, browser.given.length]).toEqual([[], 2])
    // Not for ever.
    given(1).end()
    await settled()
    expect(media.snapshot().microphone).toMatchObject({ state: 'failed', code: 'busy' })
    expect([lost.length, browser.given.length]).toEqual([1, 2])
  })

  it('makes way for another where only one can be open', async () => {
    browser.oneAtATime = true
    await media.selectDevice('microphone', 'built-in')
    expect(media.snapshot().microphone).toMatchObject({ state: 'on', deviceId: 'built-in' })
    // Where nothing can be opened, nothing seems to be.
    browser.refuses = 'NotReadableError'
    expect(await media.selectDevice('microphone', 'headset')).toEqual({ ok: false, code: 'busy' })
    expect(media.snapshot().microphone).toMatchObject({ state: 'failed', track: null })
  })

  it('is never hotter than before', async () => {
    await media.setMicrophone(false)
    await settled()
    states.length = 0
    await media.selectDevice('microphone', 'built-in')
    await settled()
    browser.unplug('built-in')
    await settled()
    expect(media.snapshot().microphone).toMatchObject({ state: 'muted', deviceId: 'headset' })
    expect(states).not.toContain('on')
    expect(given(-1).enabled).toBe(false)
  })
})

it('another microphone is tried at once when the first does not work', async () => {
  const other = createLocalMedia({ microphoneId: 'headset' })
  browser.refuses = 'NotReadableError'
  await other.setMicrophone(true)
  expect(other.snapshot().microphone).toMatchObject({ state: 'failed', code: 'busy' })
  browser.refuses = null
  await other.selectDevice('microphone', 'built-in')
  expect(other.snapshot().microphone).toMatchObject({ state: 'on', deviceId: 'built-in' })
  other.dispose()
})
