import { describe, expect, test } from 'vitest'
import { linkOptions, pathOf, placeOf, serverFor, typedRoom } from './page.ts'

const origin = 'https://meet.example'

describe('the address of a room', () => {
  test('the last part, decoded, NFKC and lower case; before it the tenant', () => {
    expect(placeOf('/Foo')).toEqual({ tenant: null, room: 'foo' })
    expect(placeOf('/t/Foo')).toEqual({ tenant: 't', room: 'foo' })
    expect(placeOf('/%C3%84rger/')).toEqual({ tenant: null, room: 'ärger' })
    expect(placeOf('/ﬁne')).toEqual({ tenant: null, room: 'fine' })
    expect(placeOf('/a%zz')).toEqual({ tenant: null, room: 'a%zz' })
  })

  test('home and our own pages are no rooms', () => {
    expect(placeOf('/').room).toBeNull()
    expect(placeOf('/-/recordings').room).toBeNull()
  })

  test('and back', () => {
    expect(pathOf('ärger', null)).toBe('/%C3%A4rger')
    expect(placeOf(pathOf('my room', 'acme'))).toEqual({ tenant: 'acme', room: 'my room' })
  })
})

describe('typing', () => {
  test('spaces become dashes', () => {
    expect(typedRoom('  Team  Sync ', origin)).toEqual({ tenant: null, room: 'team-sync' })
  })

  test('a link to this server opens its room, a link elsewhere opens none', () => {
    expect(typedRoom('https://meet.example/t/Stand#config.x=1', origin)).toEqual({ tenant: 't', room: 'stand' })
    expect(typedRoom('https://elsewhere.example/stand', origin).room).toBeNull()
    expect(typedRoom('https://', origin).room).toBeNull()
  })

  test('nothing usable is no room', () => {
    expect(typedRoom(' ?? ', origin).room).toBeNull()
  })
})

describe('the service', () => {
  const config = { domain: 'meet.jitsi', muc: 'muc.meet.jitsi', focus: 'focus.meet.jitsi', websocket: '/xmpp-websocket' }

  test('as the server wrote it, on the address of the page', () => {
    expect(serverFor(config, placeOf('/foo'), origin)).toEqual({
      webSocketUrl: 'wss://meet.example/xmpp-websocket',
      domain: 'meet.jitsi',
      mucDomain: 'muc.meet.jitsi',
      focus: 'focus.meet.jitsi'
    })
    expect(serverFor({}, placeOf('/foo'), 'http://localhost:8000').webSocketUrl).toBe('ws://localhost:8000/xmpp-websocket')
  })

  test('a tenant has rooms of its own', () => {
    const { webSocketUrl, mucDomain } = serverFor(config, placeOf('/a.b/foo'), origin)
    expect([webSocketUrl, mucDomain]).toEqual(['wss://meet.example/a.b/xmpp-websocket', 'muc.a_b.meet.jitsi'])
  })
})

describe('options of a link', () => {
  test('nothing is asked by an ordinary link', () => {
    expect(linkOptions('')).toEqual({
      straightIn: false,
      microphoneOff: false,
      cameraOff: false,
      keepNoTrace: false,
      name: null,
      codecs: []
    })
  })

  test('skipping the prejoin screen never opens a device', () => {
    const asked = linkOptions('#config.prejoinConfig.enabled=false&config.startWithAudioMuted=false')
    expect(asked).toMatchObject({ straightIn: true, microphoneOff: true, cameraOff: true })
  })

  test('codecs are a list of words, or nothing', () => {
    expect(linkOptions('#config.videoQuality.codecPreferenceOrder=[%22VP9%22,%22vp8%22,1]').codecs).toEqual(['vp9', 'vp8'])
    expect(linkOptions('#config.videoQuality.codecPreferenceOrder=%22VP9%22').codecs).toEqual([])
  })

  test('curly quotes are forgiven, prototypes stay as they are', () => {
    expect(linkOptions('#userInfo.displayName=%E2%80%9CAna%E2%80%9D&config.startWithVideoMuted=true')).toMatchObject({
      name: 'Ana',
      cameraOff: true
    })
    linkOptions('#config.__proto__.x=1')
    expect(({} as Record<string, unknown>)['x']).toBeUndefined()
  })
})
