import { describe, expect, test } from 'vitest'
import { codecFor } from '../src/media/codecs.ts'
import { withCodec } from '../src/sdp/offer.ts'
import type { Offer } from '../src/sdp/offer.ts'

describe('which codec is sent', () => {
  test.each([
    [['vp9', 'vp8'], [], 'vp9'],
    [['vp9', 'vp8'], [['vp8', 'vp9']], 'vp9'],
    [['av1', 'vp9', 'vp8'], [['vp8', 'vp9'], ['av1', 'vp8', 'vp9']], 'vp9'],
    [['vp9', 'vp8'], [['vp9'], ['vp8']], 'vp8'],
    // Who says nothing is not asked.
    [['h264', 'vp8'], [[]], 'h264'],
    [['av1'], [['vp8']], 'vp8']
  ])('%j among %j', (ours, others, sent) => {
    expect(codecFor(ours, others)).toBe(sent)
  })

  test('comes first in the offer, and nothing is lost', () => {
    const payloadTypes = ['VP8', 'VP9', 'rtx'].map((name, id) => ({ id, name, clockRate: 90_000, channels: 1, parameters: [], feedback: [] }))
    const offer = { video: { payloadTypes } } as unknown as Offer
    expect(withCodec(offer, 'vp9').video?.payloadTypes.map(({ name }) => name)).toEqual(['VP9', 'VP8', 'rtx'])
  })
})
