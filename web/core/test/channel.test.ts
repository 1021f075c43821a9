import { readFileSync, readdirSync } from 'node:fs'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { BridgeChannel, type ChannelHandlers } from '../src/bridge/channel.ts'
import { FakeSocket, installSockets, pass, settle } from './socket.ts'

const URL_ = 'wss://meet.example/colibri-ws/s1/c1/a1b2c3d4?pwd=k1'
const NOTHING = { lastN: -1, onStageSources: [], constraints: {} }
const TILES = { lastN: 25, onStageSources: [], constraints: { 'b2c3d4e5-v0': { maxHeight: 360 } } }

function fixture(name: string): string {
  return readFileSync(new URL(`../../../fixtures/colibri/${name}`, import.meta.url), 'utf8')
}

function handlers() {
  return {
    mapped: vi.fn<ChannelHandlers['mapped']>(),
    forwarded: vi.fn<ChannelHandlers['forwarded']>(),
    speaker: vi.fn<ChannelHandlers['speaker']>(),
    wanted: vi.fn<ChannelHandlers['wanted']>(),
    message: vi.fn<ChannelHandlers['message']>(),
    reachable: vi.fn<ChannelHandlers['reachable']>(),
    downlink: vi.fn<ChannelHandlers['downlink']>()
  }
}

let channel: BridgeChannel
let told: ReturnType<typeof handlers>

beforeEach(() => {
  vi.useFakeTimers()
  installSockets()
  told = handlers()
  channel = new BridgeChannel(URL_, NOTHING, told)
})
afterEach(() => {
  channel.close()
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

const sent = () => FakeSocket.last.sent.map((text) => JSON.parse(text) as Record<string, unknown>)
const classes = () => sent().map((message) => message['colibriClass'])

describe('sending', () => {
  it('begins with what is wanted and what we send', () => {
    channel.setVideoType('a1b2c3d4-v0', 'camera')
    channel.setVideoType('a1b2c3d4-v1', 'desktop')
    expect(FakeSocket.last.sent).toEqual([])
    FakeSocket.last.accept()
    expect(sent()).toEqual([
      {
        colibriClass: 'ReceiverVideoConstraints',
        lastN: -1,
        onStageSources: [],
        selectedSources: [],
        constraints: {},
        defaultConstraints: { maxHeight: 0 }
      },
      { colibriClass: 'SourceVideoTypeMessage', sourceName: 'a1b2c3d4-v0', videoType: 'camera' },
      { colibriClass: 'SourceVideoTypeMessage', sourceName: 'a1b2c3d4-v1', videoType: 'desktop' }
    ])
  })

  it('waits for wishes to settle', async () => {
    FakeSocket.last.accept()
    for (const lastN of [1, 2, 3]) {
      channel.setConstraints({ ...NOTHING, lastN })
      await pass(99)
    }
    expect(sent()).toHaveLength(1)
    await pass(1)
    expect(sent()).toHaveLength(2)
    expect(sent()[1]).toMatchObject({ lastN: 3 })
  })

  it('says a video type once', () => {
    FakeSocket.last.accept()
    channel.setVideoType('a1b2c3d4-v0', 'camera')
    channel.setVideoType('a1b2c3d4-v0', 'camera')
    channel.setVideoType('a1b2c3d4-v0', 'none')
    expect(sent().slice(1).map((message) => message['videoType'])).toEqual(['camera', 'none'])
  })

  it('carries messages while open, and says when it does not', () => {
    expect(channel.sendMessage('', { x: 1 })).toBe(false)
    FakeSocket.last.accept()
    expect(channel.sendMessage('b2c3d4e5', { x: 1 })).toBe(true)
    expect(sent().at(-1)).toEqual({ colibriClass: 'EndpointMessage', to: 'b2c3d4e5', msgPayload: { x: 1 } })
    FakeSocket.last.drop()
    expect(channel.sendMessage('', { x: 1 })).toBe(false)
  })
})

describe('staying', () => {
  it('tries again after 1, 2, 4 and up to 60 seconds, for ever', async () => {
    for (const seconds of [1, 2, 4, 8, 16, 32, 60, 60]) {
      const { length } = FakeSocket.all
      FakeSocket.last.refuse()
      await pass(seconds * 1000 - 1)
      expect(FakeSocket.all).toHaveLength(length)
      await pass(1)
      expect(FakeSocket.all).toHaveLength(length + 1)
      expect(FakeSocket.last.url).toBe(URL_)
    }
  })

  it('starts over after it was open, and says everything again', async () => {
    FakeSocket.last.refuse()
    await pass(1000)
    FakeSocket.last.accept()
    channel.setVideoType('a1b2c3d4-v0', 'camera')
    channel.setConstraints(TILES)
    FakeSocket.last.drop()
    await pass(1000)
    FakeSocket.last.accept()
    expect(classes()).toEqual(['ReceiverVideoConstraints', 'SourceVideoTypeMessage'])
    expect(sent()[0]).toMatchObject(TILES)
  })

  it('ends when it is closed', async () => {
    FakeSocket.last.accept()
    channel.setConstraints(TILES)
    const socket = FakeSocket.last
    channel.close()
    await settle()
    socket.say('{"colibriClass":"ForwardedSources","forwardedSources":[]}')
    await pass(100_000)
    expect(told.forwarded).not.toHaveBeenCalled()
    expect(FakeSocket.all).toHaveLength(1)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('with an address that cannot be opened is no channel, and no accident', () => {
    const none = new BridgeChannel('not an address', NOTHING, told)
    expect(none.sendMessage('', {})).toBe(false)
    none.close()
  })
})

describe('receiving', () => {
  beforeEach(() => FakeSocket.last.accept())

  it('maps sources to slots', () => {
    FakeSocket.last.say(fixture('video-sources-map.json'))
    FakeSocket.last.say(fixture('audio-sources-map.json'))
    expect(told.mapped.mock.calls).toEqual([
      [
        [
          { source: 'ann00001-v0', owner: 'ann00001', ssrc: 3_001_200_450, rtx: 3_001_200_451, kind: 'video' },
          { source: 'bob00002-v1', owner: 'bob00002', ssrc: 871_230_011, rtx: 871_230_012, kind: 'video' }
        ]
      ],
      [[{ source: 'ann00001-a0', owner: 'ann00001', ssrc: 551_200_777, rtx: null, kind: 'audio' }]]
    ])
  })

  it('passes on the rest', () => {
    FakeSocket.last.say('{"colibriClass":"ForwardedSources","forwardedSources":["a-v0",7]}')
    FakeSocket.last.say(fixture('dominant-speaker.json'))
    FakeSocket.last.say('{"colibriClass":"SenderSourceConstraints","sourceName":"a1b2c3d4-v0","maxHeight":360}')
    FakeSocket.last.say('{"colibriClass":"EndpointMessage","from":"ann00001","to":"","msgPayload":{"x":1}}')
    FakeSocket.last.say('{"colibriClass":"EndpointConnectivityStatusChangeEvent","endpoint":"ann00001","active":"false"}')
    FakeSocket.last.say('{"colibriClass":"EndpointConnectivityStatusChangeEvent","endpoint":"ann00001","active":"true"}')
    FakeSocket.last.say('{"colibriClass":"EndpointConnectivityStatusChangeEvent","endpoint":7}')
    FakeSocket.last.say('{"colibriClass":"ConnectionStats","estimatedDownlinkBandwidth":2500000}')
    expect(told.forwarded).toHaveBeenCalledExactlyOnceWith(['a-v0'])
    expect(told.speaker).toHaveBeenCalledExactlyOnceWith('ann00001', ['bob00002', 'cat00003'], false)
    expect(told.wanted).toHaveBeenCalledExactlyOnceWith('a1b2c3d4-v0', 360)
    expect(told.message).toHaveBeenCalledExactlyOnceWith('ann00001', { x: 1 })
    expect(told.reachable.mock.calls).toEqual([
      ['ann00001', false],
      ['ann00001', true]
    ])
    expect(told.downlink).toHaveBeenCalledExactlyOnceWith(2_500_000)
  })

  it.each([
    '',
    '{',
    'null',
    '[]',
    '"VideoSourcesMap"',
    '{"colibriClass":null}',
    '{"colibriClass":"DominantSpeakerEndpointChangeEvent"}',
    '{"colibriClass":"SenderSourceConstraints","sourceName":1,"maxHeight":"x"}',
    '{"colibriClass":"EndpointMessage","from":"ann00001","msgPayload":null}',
    '{"colibriClass":"EndpointMessage","from":"ann00001","msgPayload":[1]}',
    '{"colibriClass":"ConnectionStats"}'
  ])('ignores %s', (text) => {
    FakeSocket.last.say(text)
    for (const handler of Object.values(told)) expect(handler).not.toHaveBeenCalled()
  })

  it('believes no number that is not an SSRC', () => {
    const entry = (ssrc: unknown, rtx: unknown) => ({ source: 'a-v0', owner: 'a', ssrc, rtx })
    const mappedSources = [entry(0, 1), entry(1.5, 2), entry('1', 2), entry(2 ** 32, 3), entry(7, 7), entry(8, -1), null, 4]
    FakeSocket.last.say(JSON.stringify({ colibriClass: 'VideoSourcesMap', mappedSources }))
    const slot = { source: 'a-v0', owner: 'a', rtx: null, kind: 'video' }
    expect(told.mapped).toHaveBeenCalledExactlyOnceWith([
      { ...slot, ssrc: 7 },
      { ...slot, ssrc: 8 }
    ])
  })

  it('survives every capture and any JSON at all', () => {
    for (const name of readdirSync(new URL('../../../fixtures/colibri/', import.meta.url))) FakeSocket.last.say(fixture(name))
    const known = fc.constantFrom(
      'VideoSourcesMap',
      'AudioSourcesMap',
      'ForwardedSources',
      'DominantSpeakerEndpointChangeEvent',
      'SenderSourceConstraints',
      'EndpointMessage',
      'ConnectionStats'
    )
    const keys = fc.constantFrom('mappedSources', 'forwardedSources', 'from', 'msgPayload', 'sourceName', 'maxHeight')
    fc.assert(
      fc.property(known, fc.dictionary(keys, fc.jsonValue()), fc.jsonValue(), (colibriClass, fields, anything) => {
        FakeSocket.last.say(JSON.stringify({ ...fields, colibriClass }))
        FakeSocket.last.say(JSON.stringify(anything))
      })
    )
  })
})
