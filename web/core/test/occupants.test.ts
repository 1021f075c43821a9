import { describe, expect, it } from 'vitest'
import { Occupants } from '../src/conference/occupants.ts'
import type { Present, SourceState } from '../src/room/room.ts'

const on: SourceState = { muted: false, screen: false }
const off: SourceState = { muted: true, screen: false }
const share: SourceState = { muted: false, screen: true }

function present(id: string, sources: Record<string, SourceState> = {}, more: Partial<Present> = {}): Present {
  const named = Object.entries(sources).map(([suffix, state]) => [`${id}-${suffix}`, state] as const)
  return { id, jid: null, name: null, role: 'participant', sources: new Map(named), codecs: [], handRaisedAt: null, ...more }
}

function made() {
  const tracks = new Map<string, { muted: boolean }>()
  const occupants = new Occupants((source) => (tracks.get(source) as MediaStreamTrack | undefined) ?? null)
  return { tracks, occupants }
}

describe('occupants', () => {
  it('come in order of arrival and go', () => {
    const { occupants } = made()
    expect(occupants.update(present('b'))?.order).toBe(0)
    expect(occupants.update(present('a'))?.order).toBe(1)
    expect(occupants.update(present('b', {}, { name: 'Bo' }))).toBeNull()
    expect(occupants.views().map(({ id, name }) => [id, name])).toEqual([
      ['b', 'Bo'],
      ['a', null]
    ])
    expect(occupants.remove('b')?.name).toBe('Bo')
    expect(occupants.remove('b')).toBeNull()
    expect(occupants.update(present('b'))?.order).toBe(2)
    expect(occupants.views().map(({ id }) => id)).toEqual(['a', 'b'])
    occupants.clear()
    expect(occupants.views()).toEqual([])
  })

  it('keep their identity while nothing changes', () => {
    const { occupants } = made()
    const a = { a0: on, v0: on }
    occupants.update(present('a', a))
    occupants.update(present('b', a))
    const before = occupants.views()
    occupants.update(present('a', a))
    occupants.tracksChanged()
    occupants.setForwarded(['a-v0', 'b-v0'])
    expect(occupants.checkFrozen(0)).toBe(false)
    expect(occupants.views()).toBe(before)

    occupants.update(present('a', { ...a, a0: off }))
    const after = occupants.views()
    expect(after).not.toBe(before)
    expect(after[0]).not.toBe(before[0])
    expect(after[0]?.camera).toBe(before[0]?.camera)
    expect(after[0]?.audio?.muted).toBe(true)
    expect(after[1]).toBe(before[1])
  })

  it('are out of reach while the bridge hears nothing of them', () => {
    const { occupants } = made()
    occupants.update(present('a'))
    const reachable = () => occupants.views().map((view) => view.reachable)
    occupants.setReachable('a', false)
    occupants.setReachable('somebody', false)
    occupants.update(present('a', { a0: off }))
    occupants.update(present('somebody'))
    expect(reachable()).toEqual([false, true])
    occupants.setReachable('a', true)
    expect(reachable()).toEqual([true, true])
    // Another session, or another stay, begins afresh.
    occupants.setReachable('a', false)
    occupants.sessionEnded()
    expect(reachable()).toEqual([true, true])
    occupants.setReachable('a', false)
    occupants.remove('a')
    occupants.update(present('a'))
    expect(reachable()).toEqual([true, true])
  })

  it('show the sources that matter', () => {
    const { occupants } = made()
    const view = (sources: Record<string, SourceState>) => {
      occupants.update(present('a', sources))
      const [a] = occupants.views()
      return [a?.audio?.source ?? null, a?.camera?.source ?? null, a?.screen?.source ?? null]
    }
    expect(view({})).toEqual([null, null, null])
    expect(view({ a0: off, v0: off, v1: { muted: true, screen: true } })).toEqual(['a-a0', 'a-v0', null])
    expect(view({ a1: on, a0: on, v0: off, v1: share })).toEqual(['a-a0', 'a-v0', 'a-v1'])
    expect(view({ v0: off, v2: off })).toEqual([null, 'a-v0', null])
    expect(view({ v0: off, v2: on })).toEqual([null, 'a-v2', null])
    expect(view({ v0: share, v1: { muted: true, screen: true } })).toEqual([null, null, 'a-v0'])
  })

  it('get their tracks when the bridge maps them', () => {
    const { occupants, tracks } = made()
    occupants.update(present('a', { a0: on, v0: on }))
    expect(occupants.views()[0]?.camera?.track).toBeNull()
    const track = { muted: false }
    tracks.set('a-v0', track)
    occupants.tracksChanged()
    expect(occupants.views()[0]?.camera?.track).toBe(track)
  })
})

describe('streaming', () => {
  const camera = (occupants: Occupants) => occupants.views()[0]?.camera?.streaming

  it('is active until the bridge says otherwise, and inactive when it holds back', () => {
    const { occupants, tracks } = made()
    tracks.set('a-v0', { muted: false })
    occupants.update(present('a', { v0: on }))
    expect(camera(occupants)).toBe('active')
    occupants.setForwarded([])
    expect(camera(occupants)).toBe('inactive')
    occupants.setForwarded(['a-v0'])
    expect(camera(occupants)).toBe('active')
    occupants.setForwarded([])
    occupants.sessionEnded()
    expect(camera(occupants)).toBe('active')
  })

  it('that stands still is restoring, then interrupted, then active again', () => {
    const { occupants, tracks } = made()
    const track = { muted: true }
    tracks.set('a-v0', track)
    occupants.update(present('a', { v0: on }))
    const at = Date.now() + 60_000
    expect(occupants.checkFrozen(at)).toBe(true)
    expect(camera(occupants)).toBe('restoring')
    expect(occupants.checkFrozen(at + 9_999)).toBe(false)
    expect(occupants.checkFrozen(at + 10_000)).toBe(true)
    expect(camera(occupants)).toBe('interrupted')
    track.muted = false
    expect(occupants.checkFrozen(at + 11_000)).toBe(true)
    expect(camera(occupants)).toBe('active')
  })

  it('counts anew after the bridge held it back', () => {
    const { occupants, tracks } = made()
    tracks.set('a-v0', { muted: true })
    occupants.update(present('a', { v0: on }))
    const at = Date.now() + 60_000
    occupants.checkFrozen(at)
    occupants.checkFrozen(at + 10_000)
    expect(camera(occupants)).toBe('interrupted')
    occupants.setForwarded([])
    occupants.setForwarded(['a-v0'])
    occupants.checkFrozen(at + 11_000)
    expect(camera(occupants)).toBe('restoring')
  })

  it('of somebody muted is no trouble', () => {
    const { occupants, tracks } = made()
    tracks.set('a-v0', { muted: true })
    occupants.update(present('a', { v0: off }))
    occupants.setForwarded([])
    occupants.checkFrozen(Date.now())
    expect(camera(occupants)).toBe('active')
  })
})
