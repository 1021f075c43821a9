// @vitest-environment happy-dom
import { flushSync } from 'svelte'
import { cleanup, render, screen as page } from '@testing-library/svelte'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { ConnectionState, JoinOptions } from '@althing/core'
import { App } from './app.svelte.ts'
import AppView from './App.svelte'
import type { PageConfig } from './page.ts'
import { Settings } from './settings.svelte.ts'
import { deviceOn, FakeConference, FakeMedia, frame, person, said } from './test/fake.ts'

let media: FakeMedia
let conference: FakeConference
let joined: JoinOptions[]

beforeEach(() => {
  media = new FakeMedia()
  conference = new FakeConference()
  conference.snapshot = { ...conference.snapshot, connection: { phase: 'connecting' } }
  joined = []
  sessionStorage.clear()
  Object.assign(globalThis, { RTCPeerConnection: Object, isSecureContext: true })
})
afterEach(cleanup)

/** The page at an address. */
function open(address: string, name = 'Ana', config: PageConfig = {}): App {
  history.replaceState(null, '', address)
  const core = {
    createLocalMedia: () => media.media,
    join: (options: JoinOptions) => {
      joined.push(options)
      return conference.conference
    }
  }
  const settings = new Settings(null)
  settings.values.name = name
  const app = new App(core, config, settings)
  app.boot()
  render(AppView, { app })
  flushSync()
  return app
}

const shown = () => document.querySelector('main')?.dataset['screen']
const find = (selector: string) => document.querySelector<HTMLElement>(selector)
const click = (selector: string) => {
  find(selector)!.click()
  flushSync()
}

function enter(app: App): void {
  app.join()
  conference.say({ connection: { phase: 'joined' } })
  conference.emit('connection', { phase: 'joined' })
  flushSync()
}

describe('screens', () => {
  test('welcome, and a typed name leads to its room', () => {
    open('/')
    expect(shown()).toBe('welcome')
    const field = find('[data-field=room]') as HTMLInputElement
    field.value = 'Team Sync'
    field.dispatchEvent(new Event('input', { bubbles: true }))
    field.form!.dispatchEvent(new Event('submit', { bubbles: true, cancelable: true }))
    flushSync()
    expect([location.pathname, shown()]).toEqual(['/team-sync', 'prejoin'])
  })

  test('prejoin opens both devices, joins with the name, and shows the meeting', () => {
    open('/standup')
    expect(shown()).toBe('prejoin')
    expect(media.wanted).toEqual(['camera on', 'microphone on'])
    click('[data-action=join]')
    expect(shown()).toBe('connecting')
    expect(joined[0]).toMatchObject({ room: 'standup', name: 'Ana' })
    conference.emit('connection', { phase: 'joined' })
    flushSync()
    expect(shown()).toBe('meeting')
  })

  test('a browser that keeps nothing still meets', () => {
    const real = Object.getOwnPropertyDescriptor(globalThis, 'sessionStorage')!
    onTestFinished(() => void Object.defineProperty(globalThis, 'sessionStorage', real))
    Object.defineProperty(globalThis, 'sessionStorage', {
      configurable: true,
      get: () => {
        throw new DOMException('denied', 'SecurityError')
      }
    })
    enter(open('/standup?jwt=a.b.c'))
    expect([shown(), location.search]).toEqual(['meeting', ''])
    expect(joined[0]).toMatchObject({ token: 'a.b.c' })
    click('[data-action=leave]')
    expect(shown()).toBe('ended')
  })

  test('leaving ends devices and conference', () => {
    enter(open('/standup'))
    click('[data-action=leave]')
    expect(shown()).toBe('ended')
    expect([conference.left, media.disposed]).toEqual([true, true])
    expect(page.getByRole('heading', { level: 1 }).textContent).toBe('You left standup')
  })

  test('cancelling returns to prejoin with the devices kept', () => {
    open('/standup')
    click('[data-action=join]')
    click('[data-action=cancel]')
    expect([shown(), conference.left, media.disposed]).toEqual(['prejoin', true, false])
  })

  test('removed by a moderator, with name and reason', () => {
    const app = open('/standup')
    enter(app)
    app.meeting!.view = { ...app.meeting!.view, occupants: [person('pia', { name: 'Pia' })] }
    conference.emit('connection', { phase: 'kicked', by: 'pia', reason: 'noise' })
    flushSync()
    expect(shown()).toBe('kicked')
    expect(find('main')!.textContent).toContain('Pia removed you.')
    expect(find('main')!.textContent).toContain('Reason: noise')
  })

  test('a failure says what happened and counts down', () => {
    open('/standup')
    click('[data-action=join]')
    conference.emit('connection', { phase: 'failed', code: 'unreachable' })
    flushSync()
    expect(shown()).toBe('error')
    expect(find('[data-countdown]')!.textContent).toMatch(/^Trying again in \d+ seconds$/)
  })

  test('a link that skips prejoin opens no device', () => {
    open('/standup#config.prejoinConfig.enabled=false')
    expect(shown()).toBe('connecting')
    expect(media.wanted).toEqual([])
  })

  test('a browser without WebRTC is told so', () => {
    Reflect.deleteProperty(globalThis, 'RTCPeerConnection')
    open('/standup')
    expect(find('main')!.textContent).toContain('This browser cannot hold a meeting')
  })
})

describe('at the door', () => {
  const say = (state: ConnectionState) => {
    conference.emit('connection', state)
    flushSync()
  }
  const enterPassword = (text: string) => {
    const field = find('[data-field=password]') as HTMLInputElement
    field.value = text
    field.dispatchEvent(new Event('input', { bubbles: true }))
    field.form!.dispatchEvent(new Event('submit', { bubbles: true, cancelable: true }))
    flushSync()
  }
  const asking = (wrong: boolean, tried: number): ConnectionState => ({ phase: 'asking', for: 'password', wrong, tried })

  test('a password: wrong says so, the preview stays', () => {
    open('/standup')
    click('[data-action=join]')
    say(asking(false, 0))
    expect([shown(), document.activeElement?.textContent]).toEqual(['password', 'This room is locked'])
    expect((find('[data-action=enter]') as HTMLButtonElement).disabled).toBe(true)
    enterPassword('sesame')
    enterPassword('sesame')
    expect(conference.passwords).toEqual(['sesame'])
    say(asking(true, 1))
    expect(find('[role=alert]')!.textContent).toBe('Wrong password')
    expect(find('[data-field=password]')!.getAttribute('aria-invalid')).toBe('true')
    click('[data-action=cancel]')
    expect([shown(), conference.left, media.disposed]).toEqual(['prejoin', true, false])
  })

  test('a lobby: waits, takes a password too, and tells when the door opens', () => {
    const app = open('/standup')
    click('[data-action=join]')
    say({ phase: 'asking', for: 'lobby', since: Date.now() - 65_000, wrong: false, tried: 0 })
    expect([shown(), find('[data-waited]')!.textContent]).toEqual(['lobby', '01:05'])
    expect(find('[data-field=password]')).toBeNull()
    click('[data-action=have-password]')
    enterPassword('sesame')
    expect(conference.passwords).toEqual(['sesame'])
    say({ phase: 'joined' })
    expect([shown(), app.announcer.assertive]).toEqual(['meeting', 'You were let in'])
  })

  test('not let in: asking again is offered later', () => {
    open('/standup')
    click('[data-action=join]')
    say({ phase: 'asking', for: 'lobby', since: 0, wrong: false, tried: 0 })
    say({ phase: 'failed', code: 'denied' })
    expect([shown(), find('h1')!.textContent]).toEqual(['lobby', 'You were not let in'])
    const again = find('[data-action=ask-again]') as HTMLButtonElement
    expect([again.disabled, again.textContent?.trim()]).toEqual([true, 'Ask again in 30 s'])
    expect([conference.left, media.disposed]).toEqual([true, false])
  })

  test.each([
    ['waithost', 'The host is not here', { phase: 'asking', for: 'host', since: 0, wrong: false, tried: 0 }],
    ['full', 'This room is full', { phase: 'failed', code: 'room-full' }]
  ] as const)('%s has its own heading and a way back', (at, heading, state) => {
    open('/standup')
    click('[data-action=join]')
    say(state)
    expect([shown(), find('h1')!.textContent]).toEqual([at, heading])
    click('[data-action=cancel]')
    expect(shown()).toBe('prejoin')
  })

  test('a room that wants a name', () => {
    open('/standup', '')
    click('[data-action=join]')
    say({ phase: 'failed', code: 'name-required' })
    expect([shown(), find('[data-field=name]')!.getAttribute('aria-invalid')]).toEqual(['prejoin', 'true'])
  })

  test('a token is taken out of the address, names this person, and goes to the join', () => {
    const claims = btoa(JSON.stringify({ context: { user: { name: 'Dr. Ana' } } }))
    const app = open(`/standup?jwt=h.${claims}.s#config.startWithAudioMuted=true`)
    expect([location.search, location.hash]).toEqual(['', '#config.startWithAudioMuted=true'])
    const field = find('[data-field=name]') as HTMLInputElement
    expect([field.value, field.readOnly]).toEqual(['Dr. Ana', true])
    app.join()
    expect(joined[0]).toMatchObject({ name: 'Dr. Ana', token: `h.${claims}.s` })
    expect(app.settings.values.name).toBe('Ana')
  })

  test('a token is kept for the tab: a reload is the same person, another room is not', () => {
    open('/standup?jwt=h.x.s')
    cleanup()
    for (const [address, token] of [['/standup', 'h.x.s'], ['/other', undefined], ['/t/standup', undefined]] as const) {
      joined.length = 0
      open(address).join()
      expect(joined[0]?.token).toBe(token)
      cleanup()
    }
    expect(Object.values(localStorage).join()).not.toContain('h.x.s')
  })

  test('a host who is not there may say so, where there is a page to log in at', () => {
    const app = open('/standup', 'Ana', { login: 'https://login.example/{room}' })
    let asked = 0
    app.logIn = async () => void asked++
    click('[data-action=join]')
    say({ phase: 'asking', for: 'host', since: 0, wrong: false, tried: 0 })
    expect(find('[data-action=login]')!.textContent).toBe('I am the host')
    click('[data-action=login]')
    say({ phase: 'failed', code: 'not-authorized' })
    expect(find('[data-action=login]')!.textContent).toBe('Sign in')
    click('[data-action=login]')
    expect(asked).toBe(2)
  })

  test('without such a page nobody is asked to log in', () => {
    open('/standup')
    click('[data-action=join]')
    say({ phase: 'asking', for: 'host', since: 0, wrong: false, tried: 0 })
    expect(find('[data-action=login]')).toBeNull()
  })

  test('a refused token is told with the reason, and forgotten', () => {
    open('/standup?jwt=x')
    click('[data-action=join]')
    say({ phase: 'failed', code: 'not-authorized', text: 'token expired' })
    expect(find('h1')!.textContent).toBe('Your link was refused')
    expect(find('[data-said]')!.textContent).toBe('The server says: token expired')
    expect(Object.values(sessionStorage).join()).not.toContain('x')
  })
})

describe('trouble with devices', () => {
  test.each([
    ['denied', 'Camera not allowed'],
    ['missing', 'No camera found'],
    ['busy', 'Camera in use'],
    ['blocked', 'Camera blocked by your system']
  ] as const)('%s has its own heading, and joining is still possible', (code, heading) => {
    open('/standup')
    media.say({ camera: { state: 'failed', track: null, deviceId: null, code } })
    flushSync()
    expect(page.getByRole('heading', { level: 3 }).textContent).toBe(heading)
    const join = find('[data-action=join]') as HTMLButtonElement
    expect([join.textContent?.trim(), join.disabled]).toEqual(['Join anyway', false])
  })
})

describe('in the meeting', () => {
  test('toggles keep one name and say whether they are pressed', () => {
    enter(open('/standup'))
    const mic = () => find('[data-action=mic]')!
    expect([mic().textContent?.trim(), mic().getAttribute('aria-pressed')]).toEqual(['Microphone', 'false'])
    media.say({ microphone: deviceOn })
    flushSync()
    expect([mic().textContent?.trim(), mic().getAttribute('aria-pressed')]).toEqual(['Microphone', 'true'])
    expect(mic().getAttribute('aria-keyshortcuts')).toBe('M')
  })

  test('one tab stop in the toolbar', () => {
    enter(open('/standup'))
    expect(document.querySelectorAll('[role=toolbar] [tabindex="0"]')).toHaveLength(1)
  })

  test('a tile says who, and what is the matter', async () => {
    enter(open('/standup'))
    const bo = person('bo', { name: 'Bo', handRaisedAt: 1 })
    conference.say({ occupants: [{ ...bo, audio: { ...bo.audio!, muted: true }, camera: null }] })
    await frame()
    flushSync()
    const tile = find('[data-tile][data-id=bo]')!
    expect(tile.getAttribute('aria-label')).toBe('Bo, microphone off, hand raised')
    expect(tile.dataset).toMatchObject({ mic: 'off', cam: 'off', kind: 'camera', conn: 'good', hand: '1' })
    expect(tile.querySelector('video')).toBeNull()
  })

  test('news about a person does not restart their picture or their sound', async () => {
    const { MediaStream } = globalThis
    const streamOf = function Stream(): MediaStream {
      return new MediaStream()
    }
    Object.assign(globalThis, { MediaStream: streamOf })
    onTestFinished(() => void Object.assign(globalThis, { MediaStream }))
    enter(open('/standup'))
    const bo = person('bo')
    const track = {} as MediaStreamTrack
    const camera = { ...bo.camera!, track }
    conference.say({ occupants: [{ ...bo, camera, audio: { ...bo.audio!, track } }] })
    await frame()
    flushSync()
    const video = find('[data-id=bo] video') as HTMLVideoElement
    const audio = find('audio') as HTMLAudioElement
    const before = [video.srcObject, audio.srcObject]
    expect(before).not.toContain(null)
    conference.say({ occupants: [{ ...bo, camera: { ...camera }, audio: { ...bo.audio!, track, muted: true }, handRaisedAt: 5 }] })
    await frame()
    flushSync()
    expect(find('[data-id=bo]')!.dataset['hand']).toBe('1')
    expect([video.srcObject === before[0], audio.srcObject === before[1]]).toEqual([true, true])
    expect(find('[data-id=bo] video')).toBe(video)
  })

  test('a message is text, whatever it holds', async () => {
    enter(open('/standup'))
    conference.say({ chat: [said('1', '<img src=x onerror=alert(1)> https://a.example')] })
    await frame()
    click('[data-action=chat]')
    const message = find('[data-chat-message]')!
    expect(message.textContent).toContain('<img src=x onerror=alert(1)>')
    expect(message.querySelector('img')).toBeNull()
    expect(message.querySelector('a')!.getAttribute('rel')).toBe('noopener noreferrer')
  })

  test('Enter sends, Shift and Enter does not', () => {
    enter(open('/standup'))
    click('[data-action=chat]')
    const input = find('[data-chat-input]') as HTMLTextAreaElement
    input.value = ' hello '
    input.dispatchEvent(new Event('input', { bubbles: true }))
    input.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', shiftKey: true, bubbles: true, cancelable: true }))
    expect(conference.sent).toEqual([])
    input.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true }))
    flushSync()
    expect(conference.sent).toEqual(['hello'])
    expect(input.value).toBe('')
  })

  test('a lost connection keeps the meeting and shows the bar', () => {
    enter(open('/standup'))
    conference.emit('connection', { phase: 'reconnecting', what: 'media', since: 0, attempt: 2 })
    flushSync()
    expect(shown()).toBe('meeting')
    expect(find('[data-reconnecting]')!.textContent).toContain('Retrying, try 2.')
    conference.emit('connection', { phase: 'joined' })
    flushSync()
    expect(find('[data-reconnecting]')).toBeNull()
  })
})
