// What moderators do and what is done to others, stanza by stanza; and who may unmute.

import type { Element } from 'ltx'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { MediaRole, Reaction } from '../src/types.ts'
import { FakePeer } from './peer.ts'
import { FOCUS, ID, ME, ROOM, Service, type World, begin, installWorld, item, joined, presence, removeWorld, self, stanzaError, user } from './service.ts'
import { JID, pass, settle } from './socket.ts'

beforeEach(installWorld)
afterEach(removeWorld)

const BO = 'b2c3d4e5'
const CY = 'c3d4e5f6'
const LOBBY = 'my%20room@lobby.meet.example'
const COMPONENTS = {
  lobbyrooms: 'lobby.meet.example',
  av_moderation: 'avmoderation.meet.example',
  end_conference: 'endconference.meet.example'
}
const there = (id: string, role = 'participant', more = '') =>
  presence(id, `${user(`<item affiliation="none" role="${role}" jid="${id}@meet.example/r"/>`)}${more}`)
const hand = (at: number) => `<jitsi_participant_raisedHand>${at}</jitsi_participant_raisedHand>`
const withLobby =
  '<feature var="muc_membersonly"/><x xmlns="jabber:x:data" type="result"><field var="muc#roominfo_lobbyroom"><value>' +
  `${LOBBY}</value></field><field var="muc#roominfo_created_timestamp"><value>1767300000000</value></field></x>`
const changed = `<message xmlns="jabber:client" type="groupchat" from="${ROOM}">${user('<status code="104"/>')}</message>`
const announce = (message: object, from = 'avmoderation.meet.example') =>
  `<message xmlns="jabber:client" from="${from}"><json-message xmlns="http://jitsi.org/jitmeet">${JSON.stringify(message)}</json-message></message>`
const rule = (media: string, more: object) => announce({ type: 'av_moderation', room: ROOM, mediaType: media, ...more })

/** In a room as a moderator, with Bo, and Cy who moderates, too. */
async function moderating(room = ''): Promise<World> {
  const service = new Service()
  service.components = COMPONENTS
  service.room = room
  service.entry = () => [there(BO), there(CY, 'moderator'), self('moderator')]
  const world = await joined({}, service)
  await settle()
  service.heard.length = 0
  return world
}
const heard = ({ service }: World): Element => {
  const last = service.heard.at(-1)
  if (!last) throw new Error('nothing was heard')
  return last
}
const bare = (element: Element) => element.toString().replace(/ id="[^"]*"/u, '')
const told = (world: World, event: string) => world.told.filter(([name]) => name === event).map(([, detail]) => detail)

describe('a moderator', () => {
  it.each<[string, (world: World) => unknown, string]>([
    [
      'mutes by asking the focus',
      ({ meeting }) => meeting.moderation.mute(BO, 'camera'),
      `<iq xmlns="jabber:client" type="set" to="${FOCUS}"><mute xmlns="http://jitsi.org/jitmeet/video" jid="${ROOM}/${BO}">true</mute></iq>`
    ],
    [
      'removes, with a reason',
      ({ meeting }) => meeting.moderation.remove(BO, 'noise'),
      `<iq xmlns="jabber:client" type="set" to="${ROOM}"><query xmlns="http://jabber.org/protocol/muc#admin"><item nick="${BO}" role="none"><reason>noise</reason></item></query></iq>`
    ],
    [
      'makes moderators',
      ({ meeting }) => meeting.moderation.setModerator(BO, true),
      `<iq xmlns="jabber:client" type="set" to="${ROOM}"><query xmlns="http://jabber.org/protocol/muc#admin"><item affiliation="owner" jid="${BO}@meet.example"/></query></iq>`
    ],
    [
      'and unmakes them',
      ({ meeting }) => meeting.moderation.setModerator(CY, false),
      `<iq xmlns="jabber:client" type="set" to="${ROOM}"><query xmlns="http://jabber.org/protocol/muc#admin"><item affiliation="none" jid="${CY}@meet.example"/></query></iq>`
    ],
    [
      'gives it up',
      ({ meeting }) => meeting.moderation.setModerator(ID, false),
      `<iq xmlns="jabber:client" type="set" to="${ROOM}"><query xmlns="http://jabber.org/protocol/muc#admin"><item affiliation="none" jid="${JID.split('/')[0]}"/></query></iq>`
    ],
    [
      'ends the meeting for all',
      ({ meeting }) => meeting.moderation.endForAll(),
      '<message xmlns="jabber:client" to="endconference.meet.example"><end_conference/></message>'
    ],
    [
      'makes people ask',
      ({ meeting }) => meeting.moderation.setRule('screen', true),
      '<message xmlns="jabber:client" to="avmoderation.meet.example"><av_moderation enable="true" mediaType="desktop"/></message>'
    ],
    [
      'says yes',
      ({ meeting }) => meeting.moderation.allow(BO, 'microphone', true),
      `<message xmlns="jabber:client" to="avmoderation.meet.example"><av_moderation jidToWhitelist="${ROOM}/${BO}" mediaType="audio"/></message>`
    ],
    [
      'and takes it back',
      ({ meeting }) => meeting.moderation.allow(BO, 'microphone', false),
      `<message xmlns="jabber:client" to="avmoderation.meet.example"><av_moderation jidToBlacklist="${ROOM}/${BO}" mediaType="audio"/></message>`
    ]
  ])('%s', async (_, act, expected) => {
    const world = await moderating()
    const outcome = act(world)
    expect(bare(heard(world))).toBe(expected)
    expect(await outcome).toEqual(typeof outcome === 'boolean' ? true : { ok: true })
    await world.meeting.leave()
  })

  it('sets and takes away a password; the lobby stays as it is', async () => {
    const world = await moderating(withLobby)
    const fields = () =>
      Object.fromEntries(
        heard(world)
          .getChild('query', 'http://jabber.org/protocol/muc#owner')
          ?.getChild('x', 'jabber:x:data')
          ?.getChildren('field')
          .map((field) => [field.attrs['var'].split('_').at(-1), field.getChildText('value')]) ?? []
      )
    await world.meeting.moderation.setPassword('s3cret')
    const form = { TYPE: 'http://jabber.org/protocol/muc#roomconfig', membersonly: 'true', whois: 'anyone' }
    expect(fields()).toEqual({ ...form, roomsecret: 's3cret', passwordprotectedroom: '1' })
    await world.meeting.moderation.setPassword(null)
    expect(fields()).toEqual({ ...form, roomsecret: '', passwordprotectedroom: '0' })
    await world.meeting.leave()
  })

  it('switches the lobby on: whoever is inside becomes a member first; a password stays', async () => {
    const world = await moderating('<feature var="muc_passwordprotected"/>')
    expect(await world.meeting.moderation.setLobby(true)).toEqual({ ok: true })
    const [members, form] = world.service.heard.slice(-2).map(String)
    expect(members).toContain(`<item affiliation="member" jid="${BO}@meet.example"/>`)
    expect(members).not.toContain(CY)
    expect(form).toContain('<field var="muc#roomconfig_membersonly"><value>true</value></field>')
    expect(form).toContain('<field var="muc#roomconfig_passwordprotectedroom"><value>1</value></field>')
    world.service.command = { error: stanzaError('forbidden', 'auth') }
    const before = world.service.heard.length
    expect(await world.meeting.moderation.setLobby(true)).toEqual({ ok: false, code: 'refused' })
    expect(world.service.heard).toHaveLength(before + 1)
    await world.meeting.leave()
  })

  it('is told what the service refuses, or cannot do', async () => {
    const world = await moderating()
    world.service.command = { error: stanzaError('not-allowed') }
    expect(await world.meeting.moderation.remove(BO)).toEqual({ ok: false, code: 'refused' })
    expect(await world.meeting.moderation.setModerator('nobody', true)).toEqual({ ok: false, code: 'refused' })
    expect(await world.meeting.moderation.deny('nobody')).toEqual({ ok: false, code: 'refused' })
    world.service.command = 'silence'
    const silent = world.meeting.moderation.setPassword('x')
    await pass(10_000)
    expect(await silent).toEqual({ ok: false, code: 'unreachable' })
    world.service.socket.drop()
    expect(await world.meeting.moderation.mute(BO, 'screen')).toEqual({ ok: false, code: 'unreachable' })
    expect(world.meeting.moderation.setRule('camera', true)).toBe(false)
    await world.meeting.leave()
    const bareWorld = await joined()
    expect(bareWorld.meeting.snapshot().can).toEqual({ lobby: false, rules: false, endForAll: false })
    expect(bareWorld.meeting.moderation.endForAll()).toBe(false)
    await bareWorld.meeting.leave()
  })
})

describe('the room', () => {
  it('says how it is set, and says so again when that changes', async () => {
    const world = await moderating()
    expect(world.meeting.snapshot()).toMatchObject({
      room: { locked: false, lobby: false },
      can: { lobby: true, rules: true, endForAll: true }
    })
    world.service.room = `<feature var="muc_passwordprotected"/>${withLobby}`
    world.service.say(changed)
    await settle()
    expect(world.meeting.snapshot().room).toMatchObject({ locked: true, lobby: true, startedAt: 1_767_300_000_000 })
    world.service.say(changed.replace(`from="${ROOM}"`, `from="${ROOM}/${BO}"`))
    world.service.heard.length = 0
    await settle()
    expect(world.service.heard).toEqual([])
    await world.meeting.leave()
  })

  it('tells who raises a hand, and what our own role is', async () => {
    const world = await moderating()
    world.service.say(there(BO, 'participant', hand(5)), there(BO, 'participant', hand(6)), there(BO), self('participant'))
    world.service.say(there(BO, 'participant', hand(7)))
    expect(told(world, 'handRaised')).toMatchObject([
      { id: BO, handRaisedAt: 5 },
      { id: BO, handRaisedAt: 7 }
    ])
    expect(told(world, 'roleChanged')).toEqual([{ role: 'participant', before: 'moderator' }])
    await world.meeting.leave()
  })
})

describe('a lobby, from inside', () => {
  const waits = (id: string, name: string) =>
    `<presence xmlns="jabber:client" from="${LOBBY}/${id}"><nick xmlns="http://jabber.org/protocol/nick">${name}</nick>` +
    `${user(`<item affiliation="none" role="participant" jid="${id}@meet.example/k"/>`)}</presence>`
  const gone = (id: string) => `<presence xmlns="jabber:client" type="unavailable" from="${LOBBY}/${id}">${item('none')}</presence>`

  it('shows who waits; they are let in, refused, or go', async () => {
    const world = await moderating(withLobby)
    const { service, meeting } = world
    service.say(changed)
    await settle()
    service.say(waits(ID, 'me'), waits('zed', 'Zed'), waits('yan', 'Yan'), waits('xia', 'Xia'))
    service.say(`<presence xmlns="jabber:client" from="${LOBBY}/mod">${user('<item role="moderator" jid="m@meet.example/k"/>')}</presence>`)
    expect(meeting.snapshot().knocking).toEqual(
      ['zed', 'yan', 'xia'].map((id) => ({ id, name: `${id[0]?.toUpperCase()}${id.slice(1)}`, since: 1_767_300_000_000 }))
    )
    const [zed] = meeting.snapshot().knocking
    expect(told(world, 'knock')).toHaveLength(3)

    meeting.moderation.admit(['zed', 'yan', 'nobody'])
    expect(bare(heard(world))).toBe(
      `<message xmlns="jabber:client" to="${ROOM}"><x xmlns="http://jabber.org/protocol/muc#user"><invite to="zed@meet.example/k"/><invite to="yan@meet.example/k"/></x></message>`
    )
    void meeting.moderation.deny('xia')
    expect(bare(heard(world))).toBe(
      `<iq xmlns="jabber:client" type="set" to="${LOBBY}"><query xmlns="http://jabber.org/protocol/muc#admin"><item nick="xia" role="none"/></query></iq>`
    )
    // Whoever is in the room does not wait any more, even while the lobby still lists them.
    service.say(gone('xia'), there('yan'))
    expect(meeting.snapshot().knocking).toEqual([zed])
    expect(meeting.snapshot().knocking[0]).toBe(zed)
    service.say(gone('zed'))
    meeting.moderation.admit(['zed'])
    expect(heard(world).is('message')).toBe(false)
    expect(meeting.snapshot().knocking).toEqual([])
    expect(told(world, 'knock')).toHaveLength(3)
    await meeting.leave()
  })

  it('is watched by moderators only, as long as there is one', async () => {
    const world = await moderating(withLobby)
    const { service, meeting } = world
    const visits = () => service.heard.filter(({ attrs }) => attrs['to'] === `${LOBBY}/${ID}`).map(({ attrs }) => attrs['type'] ?? 'in')
    service.say(changed, self('participant'))
    await settle()
    expect(visits()).toEqual(['unavailable'])
    service.say(self('moderator'))
    expect(visits()).toEqual(['unavailable', 'in'])
    service.say(waits('zed', 'Zed'))
    service.room = ''
    service.say(changed)
    await settle()
    expect(visits()).toEqual(['unavailable', 'in', 'unavailable'])
    expect(meeting.snapshot().knocking).toEqual([])
    await meeting.leave()
  })
})

describe('who may unmute', () => {
  async function guest(): Promise<World> {
    const service = new Service()
    service.components = COMPONENTS
    service.entry = () => [there(CY, 'moderator'), self()]
    const world = await joined({}, service)
    await world.devices.setMicrophone(true)
    await settle()
    world.told.length = 0
    return world
  }
  const microphone = ({ meeting }: World) => meeting.snapshot().self.microphone.state

  it('has to ask while a rule says so, and may when somebody says yes', async () => {
    const world = await guest()
    const { service, meeting } = world
    service.say(rule('audio', { enabled: true, actor: `${ROOM}/${CY}` }))
    await settle()
    expect(meeting.snapshot().rules.microphone).toEqual({ enabled: true, by: CY, allowed: false, approved: [] })
    expect(microphone(world)).not.toBe('on')
    expect(await meeting.setMicrophone(true)).toEqual({ ok: false, code: 'moderated' })
    expect(await meeting.setCamera(true)).toEqual({ ok: true })

    service.say(rule('audio', { approved: true }))
    await settle()
    expect([meeting.snapshot().rules.microphone.allowed, microphone(world)]).not.toContain('on')
    expect(await meeting.setMicrophone(true)).toEqual({ ok: true })
    service.say(rule('audio', { removed: true }), rule('audio', { removed: true }))
    await settle()
    expect(microphone(world)).not.toBe('on')
    expect(await meeting.setMicrophone(true)).toEqual({ ok: false, code: 'moderated' })
    service.say(rule('audio', { enabled: false, actor: `${ROOM}/${CY}` }))
    expect(meeting.snapshot().rules.microphone.allowed).toBe(true)
    expect(world.told.filter(([event]) => /^(rule|unmute)/u.test(event))).toEqual([
      ['ruleChanged', { kind: 'microphone', enabled: true, by: CY }],
      ['unmuteOffered', { kind: 'microphone', by: null, asked: false }],
      ['unmuteWithdrawn', { kind: 'microphone' }],
      ['ruleChanged', { kind: 'microphone', enabled: false, by: CY }]
    ])
    await meeting.leave()
  })

  it('is asked to without any rule', async () => {
    const world = await guest()
    world.service.say(rule('video', { approved: true, from: `${ROOM}/${CY}` }))
    expect(told(world, 'unmuteOffered')).toEqual([{ kind: 'camera', by: CY, asked: true }])
    await world.meeting.leave()
  })

  it('a screen is no exception', async () => {
    const world = await guest()
    world.service.say(rule('desktop', { enabled: true, actor: `${ROOM}/${CY}` }))
    expect(await world.meeting.startShare()).toEqual({ ok: false, code: 'moderated' })
    await world.meeting.leave()
  })

  it('a moderator, whoever was allowed to, and whoever becomes one', async () => {
    const world = await moderating()
    const { service, meeting } = world
    await world.devices.setMicrophone(true)
    await settle()
    service.say(rule('audio', { enabled: true, actor: ME }), rule('audio', { whitelists: { audio: [ME, `${ROOM}/${BO}`] } }))
    expect(meeting.snapshot().rules.microphone).toEqual({ enabled: true, by: ID, allowed: true, approved: [ID, BO] })
    expect(microphone(world)).toBe('on')
    service.say(rule('audio', { whitelists: { audio: {} } }))
    expect(meeting.snapshot().rules.microphone.approved).toEqual([])
    service.say(self('participant'))
    await settle()
    expect([meeting.snapshot().rules.microphone.allowed, microphone(world)]).toEqual([false, 'muted'])
    service.say(self('moderator'))
    expect(meeting.snapshot().rules.microphone.allowed).toBe(true)
    await meeting.leave()
  })

  it('only the service says so, and nonsense says nothing', async () => {
    const world = await guest()
    const evil = { type: 'av_moderation', mediaType: 'audio', enabled: true }
    for (const from of [`${ROOM}/${BO}`, ROOM, 'evil@meet.example', 'evil@meet.example/r', '']) world.service.say(announce(evil, from))
    for (const more of [{}, { enabled: 'yes' }, { whitelists: [] }, { approved: 1 }]) world.service.say(rule('audio', more))
    world.service.say(rule('smell', { enabled: true }), announce([]).replace('[]', '{'), announce([]).replace('[]', 'null'))
    expect(world.meeting.snapshot().rules.microphone).toEqual({ enabled: false, by: null, allowed: true, approved: [] })
    await world.meeting.leave()
  })

  it.each<[string, string, Partial<Record<MediaRole, boolean>>]>([
    ['guests', 'participant', { microphone: true, camera: false }],
    ['moderators', 'moderator', {}]
  ])('newcomers start muted where the room wants it: %s', async (_, role, expected) => {
    const service = new Service()
    const metadata = { type: 'room_metadata', metadata: { startMuted: { audio: true, video: true } } }
    service.entry = () => [announce(metadata, 'metadata.meet.example'), self(role)]
    const world = begin({}, service)
    await world.devices.setMicrophone(true)
    await settle()
    expect(told(world, 'startedMuted')).toEqual(expected.microphone ? [expected] : [])
    expect(microphone(world) === 'on').toBe(!expected.microphone)
    // Whoever comes back is no newcomer.
    await world.devices.setMicrophone(true)
    service.socket.drop()
    await pass(500)
    expect(microphone(world)).toBe('on')
    await world.meeting.leave()
  })
})

describe('over the bridge', () => {
  const say = (world: World, from: string, msgPayload: object) =>
    world.service.channel.say(JSON.stringify({ colibriClass: 'EndpointMessage', from, msgPayload }))
  async function connected(): Promise<World> {
    const world = await moderating()
    await world.service.offer()
    FakePeer.last.go('connected')
    await settle()
    world.told.length = 0
    return world
  }

  it('reactions are sent, seen by oneself, and received', async () => {
    const world = await connected()
    world.meeting.react('clap')
    expect(JSON.parse(world.service.channel.sent.at(-1) ?? '')).toMatchObject({
      colibriClass: 'EndpointMessage',
      to: '',
      msgPayload: { name: 'endpoint-reaction', reactions: ['clap'] }
    })
    say(world, BO, { name: 'endpoint-reaction', reactions: ['like', 'evil', 5, 'love'] })
    say(world, 'nobody', { name: 'endpoint-reaction', reactions: ['like'] })
    say(world, BO, { name: 'endpoint-reaction', reactions: ['evil'] })
    say(world, BO, { name: 'endpoint-reaction', reactions: Array.from<Reaction>({ length: 500 }).fill('boo') })
    expect(told(world, 'reaction')).toEqual([
      { from: ID, reactions: ['clap'] },
      { from: BO, reactions: ['like', 'love'] },
      { from: BO, reactions: Array.from<Reaction>({ length: 20 }).fill('boo') }
    ])
    await world.meeting.leave()
  })

  it('a hand is lowered by moderators, and by nobody else', async () => {
    const world = await connected()
    world.meeting.setHandRaised(true)
    say(world, BO, { name: 'lower-hand-message' })
    expect(world.meeting.snapshot().self.handRaisedAt).not.toBeNull()
    say(world, CY, { name: 'lower-hand-message' })
    expect(world.meeting.snapshot().self.handRaisedAt).toBeNull()
    say(world, CY, { name: 'lower-hand-message' })
    expect(told(world, 'handLowered')).toEqual([{ by: CY }])
    expect(world.service.presences.at(-1)?.getChild('jitsi_participant_raisedHand')).toBeUndefined()

    world.meeting.moderation.lowerHand(BO)
    expect(JSON.parse(world.service.channel.sent.at(-1) ?? '')).toMatchObject({ to: BO, msgPayload: { name: 'lower-hand-message' } })
    await world.meeting.leave()
  })
})
