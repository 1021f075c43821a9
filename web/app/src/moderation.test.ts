// @vitest-environment happy-dom
import { flushSync } from 'svelte'
import { cleanup, render } from '@testing-library/svelte'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import type { Snapshot } from '@althing/core'
import { App } from './app.svelte.ts'
import AppView from './App.svelte'
import { Settings } from './settings.svelte.ts'
import { FakeConference, FakeMedia, frame, freely, person, said, screenOf } from './test/fake.ts'

let conference: FakeConference
let app: App

const find = (selector: string) => document.querySelector<HTMLElement>(selector)
const all = (selector: string) => [...document.querySelectorAll<HTMLElement>(selector)]
const click = (selector: string) => {
  find(selector)!.click()
  flushSync()
}
const say = async (change: Partial<Snapshot>) => {
  conference.say(change)
  await frame()
  flushSync()
}
const notices = () => all('[data-notice] p').map(one => one.textContent)
const bo = person('bo', { name: 'Bo' })
const cy = person('cy', { name: 'Cy', role: 'moderator' })
const zed = { id: 'zed', name: 'Zed', since: 0 }
const yan = { id: 'yan', name: 'Yan', since: 0 }

async function meet(role: 'moderator' | 'participant', more: Partial<Snapshot> = {}): Promise<void> {
  conference = new FakeConference()
  conference.snapshot = { ...conference.snapshot, connection: { phase: 'connecting' } }
  history.replaceState(null, '', '/standup')
  app = new App({ createLocalMedia: () => new FakeMedia().media, join: () => conference.conference }, {}, new Settings(null))
  app.boot()
  render(AppView, { app })
  app.join()
  const self = { ...conference.snapshot.self, role }
  conference.say({ connection: { phase: 'joined' }, self, occupants: [bo, cy], ...more })
  conference.emit('connection', { phase: 'joined' })
  await frame()
  flushSync()
}

beforeEach(() => {
  sessionStorage.clear()
  Object.assign(globalThis, { RTCPeerConnection: Object, isSecureContext: true })
  // Menus and dialogs of the browser, as far as they are needed here.
  Object.assign(HTMLElement.prototype, { showPopover: () => undefined, hidePopover: () => undefined })
})
afterEach(cleanup)

describe('a guest', () => {
  test('sees people, and nothing to command them with', async () => {
    await meet('participant')
    expect(find('[data-action=host]')).toBeNull()
    click('[data-action=people]')
    expect(all('[data-person]').map(one => one.dataset['person'])).toEqual(['cy', 'me', 'bo'])
    expect(find('[data-action=mute-all]')).toBeNull()
    click('[data-person=bo] [data-action=person-menu]')
    expect(all('[role=menu] [data-action^=menu-]').map(one => one.dataset['action'])).toEqual(['menu-pin', 'menu-message'])
  })

  test('has to ask before unmuting while a rule says so', async () => {
    await meet('participant')
    conference.emit('ruleChanged', { kind: 'microphone', enabled: true, by: 'cy' })
    conference.emit('unmuteOffered', { kind: 'microphone', by: null, asked: false })
    conference.emit('unmuteOffered', { kind: 'camera', by: 'cy', asked: true })
    conference.emit('unmuteWithdrawn', { kind: 'microphone' })
    flushSync()
    expect(notices()).toEqual([
      'You need to ask before you unmute.',
      'You may unmute now.',
      'Cy asks you to start your camera.',
      'A moderator muted you again.'
    ])
  })

  test('who holds the key and has to ask is told so, and does not seem to be heard', async () => {
    const rules = { ...conference.snapshot.rules, microphone: { ...freely, enabled: true, allowed: false } }
    await meet('participant', { rules })
    const key = (type: string) => dispatchEvent(new KeyboardEvent(type, { key: ' ', code: 'Space', bubbles: true, cancelable: true }))
    key('keydown')
    await frame()
    flushSync()
    expect(conference.microphone).toEqual([true])
    expect(find('.hold')).toBeNull()
    expect(notices()).toHaveLength(1)
    key('keyup')
    await say({ rules: { ...rules, microphone: freely } })
    key('keydown')
    await frame()
    flushSync()
    expect(find('.hold')).not.toBeNull()
  })

  test('is told what the browser took away, and what to do', async () => {
    await meet('participant')
    const lost = { kind: 'microphone', label: 'USB mic', replacedBy: null } as const
    conference.emit('deviceLost', { ...lost, code: 'denied' })
    conference.emit('deviceLost', lost)
    flushSync()
    expect(notices()[0]).toMatch(/allow the microphone/u)
    expect(notices()[1]).toBe('USB mic was unplugged.')
  })

  test('what was meant for one who has left goes to nobody', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    onTestFinished(() => void vi.useRealTimers())
    await meet('participant')
    click('[data-action=people]')
    click('[data-person=bo] [data-action=person-menu]')
    click('[data-action=menu-message]')
    await frame()
    flushSync()
    const field = find('[data-chat-input]') as HTMLTextAreaElement
    field.value = 'between us'
    field.dispatchEvent(new Event('input', { bubbles: true }))
    flushSync()
    await say({ occupants: [cy] })
    vi.advanceTimersByTime(1100)
    flushSync()
    click('[data-action=send]')
    expect(conference.sent).toEqual([])
    expect(notices()).toEqual(['Bo has left. Choose who is to read this.'])
    expect([field.value, (find('[data-field=chat-to]') as HTMLSelectElement).selectedOptions[0]?.text]).toEqual(['between us', 'Bo (left)'])
    // Everybody only when that is what is chosen.
    const to = find('[data-field=chat-to]') as HTMLSelectElement
    to.value = ''
    to.dispatchEvent(new Event('change', { bubbles: true }))
    flushSync()
    click('[data-action=send]')
    expect(conference.sent).toEqual(['between us'])
  })

  test('is told what is done to them, and by whom', async () => {
    await meet('participant')
    conference.emit('mutedByModerator', { kind: 'microphone', by: 'cy' })
    conference.emit('handLowered', { by: 'cy' })
    conference.emit('roleChanged', { role: 'moderator', before: 'participant' })
    conference.emit('occupantLeft', { occupant: bo, kickedBy: 'cy' })
    flushSync()
    expect(notices()).toEqual(['Cy turned your microphone off.', 'Cy lowered your hand.', 'You are a moderator now.', 'Cy removed Bo.'])
  })
})

describe('a moderator', () => {
  test('admits and denies from one notice, and from the list', async () => {
    await meet('moderator')
    await say({ knocking: [zed] })
    expect(notices()).toEqual(['Zed wants to join.'])
    const [admit, deny] = all('[data-notice=knock] .actions button')
    expect([admit!.textContent, deny!.textContent]).toEqual(['Admit', 'Deny'])
    admit!.click()
    await say({ knocking: [zed, yan] })
    expect(notices()).toEqual(['2 people want to join.'])
    expect(find('[data-action=people]')!.textContent).toContain('2')
    all('[data-notice=knock] .actions button')[0]!.click()
    flushSync()
    click('[data-knocker=yan] [data-action=deny]')
    click('[data-action=admit-all]')
    expect(conference.orders).toEqual(['admit zed', 'deny yan', 'admit zed,yan'])
    await say({ knocking: [] })
    expect([notices(), find('[data-lobby]')]).toEqual([[], null])
  })

  test('a person’s menu fits the person', async () => {
    const sharing = { ...bo, screen: screenOf('bo'), handRaisedAt: 5 }
    await meet('moderator', { occupants: [sharing, cy] })
    click('[data-action=people]')
    const open = (who: string) => {
      click(`[data-person=${who}] [data-action=person-menu]`)
      return all('[role=menu] [data-action^=menu-]').map(one => one.dataset['action']!.slice(5))
    }
    expect(open('bo')).toEqual(['pin', 'message', 'stop-microphone', 'stop-camera', 'stop-screen', 'lower', 'grant', 'remove'])
    for (const action of ['stop-microphone', 'stop-screen', 'lower']) {
      click('[data-person=bo] [data-action=person-menu]')
      click(`[data-action=menu-${action}]`)
    }
    expect(conference.orders).toEqual(['mute bo microphone', 'mute bo screen', 'lower bo'])
    const quiet = { ...bo, audio: { ...bo.audio!, muted: true } }
    await say({ occupants: [quiet, cy] })
    expect(open('bo')).toEqual(['pin', 'message', 'allow-microphone', 'stop-camera', 'grant', 'remove'])
    expect(open('cy')).toEqual(['pin', 'message', 'stop-microphone', 'stop-camera', 'revoke', 'remove'])
    const enabled = { ...freely, enabled: true, approved: ['bo'] }
    await say({ rules: { microphone: enabled, camera: freely, screen: freely } })
    expect(open('bo')).toEqual(['pin', 'message', 'stop-camera', 'forbid-microphone', 'grant', 'remove'])
  })

  test.each([
    ['menu-grant', 'Make Bo a moderator?', 'moderator bo true'],
    ['menu-remove', 'Remove Bo?', 'remove bo']
  ])('%s asks first', async (action, title, order) => {
    await meet('moderator')
    app.meeting!.menu = { id: 'bo', opener: document.body }
    flushSync()
    click(`[data-action=${action}]`)
    expect([find('[role=alertdialog] h2')!.textContent, conference.orders]).toEqual([title, []])
    click('[data-action=confirm-no]')
    expect([find('[role=alertdialog]'), conference.orders]).toEqual([null, []])
    app.meeting!.menu = { id: 'bo', opener: document.body }
    flushSync()
    click(`[data-action=${action}]`)
    click('[data-action=confirm-yes]')
    expect(conference.orders).toEqual([order])
  })

  test('host controls: lobby, password, rules, everyone, end', async () => {
    await meet('moderator')
    click('[data-action=host]')
    click('[data-field=lobby]')
    const field = find('[data-field=room-password]') as HTMLInputElement
    field.value = ' sesame '
    field.dispatchEvent(new Event('input', { bubbles: true }))
    flushSync()
    field.form!.dispatchEvent(new Event('submit', { bubbles: true, cancelable: true }))
    click('[data-field=may-microphone]')
    click('[data-action=host-mute-all]')
    click('[data-action=host-stop-video]')
    await say({ room: { ...conference.snapshot.room, locked: true, lobby: true } })
    expect([find('header [data-locked]') !== null, find('header [data-lobby-on]') !== null]).toEqual([true, true])
    click('[data-action=unlock]')
    click('[data-action=end-for-all]')
    click('[data-action=confirm-yes]')
    expect(conference.orders).toEqual([
      'lobby true',
      'password sesame',
      'rule microphone true',
      'mute bo microphone',
      'mute bo camera',
      'password ',
      'end'
    ])
  })

  test('raised hands are told, listed by time, and lowered', async () => {
    await meet('moderator')
    const raised = { ...bo, handRaisedAt: 5 }
    await say({ occupants: [raised, { ...cy, handRaisedAt: 3 }] })
    conference.emit('handRaised', raised)
    flushSync()
    expect(app.announcer.polite).toBe('Bo raised a hand, number 2 in the queue')
    click('[data-action=people]')
    expect(all('[data-raised]').map(one => one.dataset['raised'])).toEqual(['cy', 'bo'])
    click('[data-raised=bo] [data-action=lower]')
    click('[data-action=lower-all]')
    expect(conference.orders).toEqual(['lower bo', 'lower all'])
  })

  test('loses the controls with the role', async () => {
    await meet('moderator')
    click('[data-action=host]')
    expect(find('[data-host]')).not.toBeNull()
    await say({ self: { ...conference.snapshot.self, role: 'participant' } })
    expect([find('[data-host]'), find('[data-action=host]')]).toEqual([null, null])
  })
})

describe('between people', () => {
  const write = (text: string) => {
    const input = find('[data-chat-input]') as HTMLTextAreaElement
    input.value = text
    input.dispatchEvent(new Event('input', { bubbles: true }))
    flushSync()
    input.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true }))
    flushSync()
  }

  test('a private message goes to one, and says so before it is written', async () => {
    await meet('participant')
    app.meeting!.writeTo('bo')
    flushSync()
    expect(find('[data-chat-input]')!.getAttribute('placeholder')).toBe('Write to Bo alone')
    write('psst')
    expect(conference.sent).toEqual(['bo: psst'])
  })

  test('what may be meant for one is asked about before it goes to all', async () => {
    await meet('participant')
    await say({ chat: [said('1', 'psst', { from: 'bo', name: 'Bo', isPrivate: true, at: Date.now() })] })
    click('[data-action=chat]')
    write('the secret')
    expect([find('[data-doubt]') !== null, conference.sent]).toEqual([true, []])
    click('[data-action=only-one]')
    expect(conference.sent).toEqual(['bo: the secret'])
    app.meeting!.chatTo = null
    flushSync()
    write('hello all')
    click('[data-action=to-all]')
    expect(conference.sent).toEqual(['bo: the secret', 'hello all'])
  })

  test('a reaction rises over the tile of its person, and is not announced', async () => {
    await meet('participant')
    dispatchEvent(new KeyboardEvent('keydown', { code: 'KeyC', key: 'ç', altKey: true }))
    expect(conference.reacted).toEqual(['clap'])
    conference.emit('reaction', { from: 'bo', reactions: ['like', 'love'] })
    flushSync()
    expect(all('[data-tile][data-id=bo] [data-flying]').map(one => one.textContent)).toEqual(['👍', '❤️'])
    expect(all('[data-flying]')).toHaveLength(2)
    expect([app.announcer.polite, app.announcer.assertive]).toEqual(['', ''])
  })
})
