// An audio hall: who says that the room is one, and what is different there.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { MediaMode } from '../src/types.ts'
import { FakePeer } from './peer.ts'
import { ID, Service, type World, begin, installWorld, joined, removeWorld, self } from './service.ts'
import { pass, settle } from './socket.ts'

beforeEach(installWorld)
afterEach(removeWorld)

const metadata = (media: string) =>
  `<message xmlns="jabber:client" from="meet.example"><json-message xmlns="http://jitsi.org/jitmeet">${JSON.stringify({ type: 'room_metadata', metadata: { media } })}</json-message></message>`

/** What the page, the answer and the metadata say; what holds. */
const cases: readonly [MediaMode | undefined, string | null, string | null, MediaMode][] = [
  [undefined, null, null, 'all'],
  [undefined, 'audio', null, 'audio'],
  [undefined, null, 'audio', 'audio'],
  ['audio', null, null, 'audio'],
  ['audio', 'all', null, 'all'],
  ['audio', null, 'all', 'all'],
  ['all', 'audio', 'all', 'audio'],
  ['audio', 'all', 'audio', 'all'],
  ['audio', 'nonsense', 'nonsense', 'audio']
]

describe('a room is an audio hall', () => {
  it.each(cases)('when the page says %s, the answer %s and the metadata %s: %s', async (mode, answer, told, expected) => {
    const service = new Service()
    if (answer !== null) service.properties = { media: answer }
    service.entry = () => [...(told === null ? [] : [metadata(told)]), self()]
    const { meeting } = await joined({ mode }, service)
    expect(meeting.snapshot().room.media).toBe(expected)
  })
})

describe('in an audio hall', () => {
  async function hall(): Promise<World> {
    const service = new Service()
    service.properties = { media: 'audio' }
    const world = begin({}, service)
    await world.devices.setMicrophone(true)
    await world.devices.setCamera(true)
    await settle()
    return world
  }

  it('the camera goes off, and neither it nor a screen goes on', async () => {
    const { meeting, devices } = await hall()
    expect(devices.snapshot().camera.state).toBe('off')
    expect(devices.snapshot().microphone.state).toBe('on')
    expect(await meeting.setCamera(true)).toEqual({ ok: false, code: 'audio-only' })
    expect(await meeting.startShare()).toEqual({ ok: false, code: 'audio-only' })
    expect(await meeting.setMicrophone(true)).toEqual({ ok: true })
    expect(devices.snapshot().camera.state).toBe('off')
  })

  it('an offer without video is answered without video, and grows by voices', async () => {
    const { service, meeting } = await hall()
    const answer = await service.offer(undefined, 'offer-hall.xml')
    expect(answer.attrs['type']).toBe('result')
    const [accept] = service.asked('session-accept')
    const contents = accept?.getChildren('content')
    expect(contents?.map(({ attrs }) => attrs['name'])).toEqual(['audio'])
    const description = contents?.[0]?.getChild('description')
    expect(description?.getChildren('payload-type').map(({ attrs }) => attrs['name'])).toEqual(['red', 'opus', 'telephone-event'])
    expect(description?.getChildren('source').map(({ attrs }) => attrs['name'])).toEqual([`${ID}-a0`])
    FakePeer.last.go('connected')
    service.channel.say(
      JSON.stringify({
        colibriClass: 'AudioSourcesMap',
        mappedSources: [{ source: 'b2c3d4e5-a0', owner: 'b2c3d4e5', ssrc: 551_200_777 }]
      })
    )
    service.channel.say(
      JSON.stringify({
        colibriClass: 'VideoSourcesMap',
        mappedSources: [{ source: 'b2c3d4e5-v0', owner: 'b2c3d4e5', ssrc: 1, rtx: 2, videoType: 'CAMERA' }]
      })
    )
    await pass(50)
    const sdp = FakePeer.last.remote.at(-1) ?? ''
    expect(sdp.match(/^m=/gmu)).toHaveLength(2)
    expect(sdp).toContain('a=ssrc:551200777 ')
    expect(meeting.snapshot().media).toBe('connected')
    // The browser took RED.
    await pass(2_000)
    expect(meeting.snapshot().stats?.redundantAudio).toBe(true)
  })
})
