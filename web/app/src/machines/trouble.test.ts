import { expect, test } from 'vitest'
import type { LocalDevice, MediaFailureCode } from '@althing/core'
import { healthAtStart, nextHealth, type DeviceHealth, type HealthEvent } from './trouble.ts'

const track = {} as MediaStreamTrack
const device = (state: LocalDevice['state'], now = 0, secure = true, code: MediaFailureCode = 'denied'): HealthEvent => ({
  type: 'device',
  device: { state, track, deviceId: null, code } as unknown as LocalDevice,
  secure,
  now
})
const level = (value: number, now: number): HealthEvent => ({ type: 'level', level: value, now })
const after = (...events: HealthEvent[]): DeviceHealth => events.reduce(nextHealth, healthAtStart)

test('a device starts, works and stops', () => {
  expect(after(device('starting'))).toEqual({ is: 'starting' })
  expect(after(device('starting'), device('on', 5))).toEqual({ is: 'good', since: 5, heard: false })
  expect(after(device('on'), device('muted'))).toEqual({ is: 'off' })
})

test('each failure keeps its own name', () => {
  for (const code of ['denied', 'missing', 'busy', 'blocked'] as const) {
    expect(after(device('failed', 0, true, code))).toEqual({ is: 'trouble', trouble: code })
  }
})

test('on an insecure page the page itself is the trouble', () => {
  expect(after(device('failed', 0, false, 'blocked'))).toEqual({ is: 'trouble', trouble: 'insecure' })
})

test('a microphone that stays at zero for ten seconds is called silent, once heard it never is', () => {
  expect(after(device('on', 0), level(0, 9999))).toMatchObject({ is: 'good', heard: false })
  expect(after(device('on', 0), level(0, 10_000))).toEqual({ is: 'silent' })
  expect(after(device('on', 0), level(0.2, 4000), level(0, 60_000))).toMatchObject({ is: 'good', heard: true })
  expect(after(device('on', 0), level(0, 10_000), level(0.2, 11_000))).toMatchObject({ is: 'good', heard: true })
})

test('nothing new gives the very same object', () => {
  const good = after(device('on', 0))
  expect(nextHealth(good, device('on', 9))).toBe(good)
})
