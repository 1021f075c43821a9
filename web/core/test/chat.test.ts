// What is said in a conference, both ways.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ID, ROOM, begin, installWorld, item, joined, presence, removeWorld, stanzaError } from './service.ts'
import { pass, settle } from './socket.ts'

beforeEach(installWorld)
afterEach(removeWorld)

const BO = 'b2c3d4e5'
const message = (from: string, body: string, { type = 'groupchat', id = 'm1', more = '' } = {}) =>
  `<message xmlns="jabber:client" type="${type}" id="${id}" from="${ROOM}${from && `/${from}`}"><body>${body}</body>${more}</message>`
const delay = (stamp: string) => `<delay xmlns="urn:xmpp:delay" stamp="${stamp}"/>`
const bo = presence(BO, `${item('participant')}<nick xmlns="http://jabber.org/protocol/nick">Bo</nick>`)

describe('chat in', () => {
  it('carries who, what and when', async () => {
    const { service, meeting, told } = await joined()
    service.say(bo, message(BO, '1 &lt; 2'))
    const expected = {
      id: 'm1',
      from: BO,
      name: 'Bo',
      own: false,
      isPrivate: false,
      to: null,
      text: '1 < 2',
      at: 1_767_300_000_000,
      history: false
    }
    expect(meeting.snapshot().chat).toEqual([expected])
    expect(told.at(-1)).toEqual(['chatMessage', expected])
    service.say(message(BO, 'psst', { type: 'chat', id: 'm2' }))
    expect(meeting.snapshot().chat[1]).toMatchObject({ id: 'm2', isPrivate: true, text: 'psst', to: null })
    // Only what the room says to all is said to all, whatever the type.
    service.say(message(BO, 'all hear this', { type: 'normal', id: 'm3' }))
    expect(meeting.snapshot().chat[2]).toMatchObject({ id: 'm3', isPrivate: true })
    await meeting.leave()
  })

  it('from before us is history and no news', async () => {
    const { service, meeting, told } = begin()
    const old = message(BO, 'hello?', { more: delay('2026-01-01T00:00:00Z') })
    service.entry = () => [old, presence(ID, item('participant'))]
    await settle()
    expect(meeting.snapshot().chat).toMatchObject([{ text: 'hello?', history: true, at: Date.parse('2026-01-01T00:00:00Z') }])
    expect(told.map(([event]) => event)).not.toContain('chatMessage')
    await meeting.leave()
  })

  it('replayed after a rejoin is known, whatever else has its id is not', async () => {
    const { service, meeting } = await joined()
    service.say(message(BO, 'first'))
    service.entry = () => [
      message(BO, 'first', { more: delay('2026-01-01T00:00:00Z') }),
      message('c3d4e5f6', 'first', { more: delay('2026-01-01T00:00:01Z') }),
      presence(ID, item('participant'))
    ]
    service.socket.drop()
    await pass(500)
    service.say(message(BO, 'first'))
    const { chat } = meeting.snapshot()
    expect(chat.map(({ from, text }) => `${from} ${text}`)).toEqual([`${BO} first`, 'c3d4e5f6 first', `${BO} first`])
    expect(new Set(chat.map(({ id }) => id)).size).toBe(3)
    await meeting.leave()
  })

  it('is kept to the last five hundred', async () => {
    const { service, meeting } = await joined()
    for (let n = 0; n < 510; n++) service.say(message(BO, `number ${n}`, { id: `n${n}` }))
    const { chat } = meeting.snapshot()
    expect(chat).toHaveLength(500)
    expect([chat[0]?.text, chat.at(-1)?.text]).toEqual(['number 10', 'number 509'])
    await meeting.leave()
  })
})

describe('chat out', () => {
  it('to all appears when the room echoes it', async () => {
    const { service, meeting, told } = await joined()
    const id = meeting.sendChat('hello') ?? ''
    expect(service.heard.at(-1)?.toString()).toBe(
      `<message xmlns="jabber:client" id="${id}" to="${ROOM}" type="groupchat"><body>hello</body></message>`
    )
    expect(meeting.snapshot().chat).toEqual([])
    service.say(message(ID, 'hello', { id }))
    expect(meeting.snapshot().chat).toMatchObject([{ id, own: true, from: ID, name: 'Ada' }])
    expect(told.map(([event]) => event)).toEqual(['chatMessage'])
    await meeting.leave()
  })

  it('to one appears at once: nobody echoes it', async () => {
    const { service, meeting } = await joined()
    const id = meeting.sendChat('psst', BO)
    expect(service.heard.at(-1)?.attrs).toMatchObject({ id, to: `${ROOM}/${BO}`, type: 'chat' })
    expect(meeting.snapshot().chat).toEqual([
      {
        id,
        from: ID,
        name: 'Ada',
        own: true,
        isPrivate: true,
        to: BO,
        text: 'psst',
        at: 1_767_300_000_000,
        history: false
      }
    ])
    await meeting.leave()
  })

  it('tells what was refused, and says nothing outside the room', async () => {
    const { service, meeting, told } = await joined()
    const id = meeting.sendChat('hello')
    service.say(`<message xmlns="jabber:client" type="error" id="${id}" from="${ROOM}">${stanzaError('forbidden', 'auth')}</message>`)
    expect(told).toEqual([['chatRefused', { id }]])
    const heard = service.heard.length
    service.socket.drop()
    expect(meeting.sendChat('hello?')).toBeNull()
    expect(service.heard).toHaveLength(heard)
    await meeting.leave()
  })
})
