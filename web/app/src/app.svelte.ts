/**
 * The whole page: which screen, whose devices, which meeting. Screens read it and call its verbs;
 * what a verb means for the screen is decided by the reducer in `machines/screen.ts`.
 */
import type {
  Conference,
  ConferenceEvents,
  DeviceKind,
  JoinOptions,
  LocalMedia,
  LocalMediaOptions,
  LocalMediaSnapshot,
  MediaMode,
  MediaOutcome
} from '@althing/core'
import { t } from './i18n/index.ts'
import { loginAddress } from './login.ts'
import { calm, isShown, nextBar, SLEPT_MS, type Bar } from './machines/reconnect.ts'
import { keepsPreview, nextScreen, start, type Screen, type ScreenEvent } from './machines/screen.ts'
import { healthAtStart, nextHealth, type DeviceHealth } from './machines/trouble.ts'
import { playChime } from './media/chime.ts'
import { keepAwake } from './media/wakelock.ts'
import { barText } from './meeting/bartext.ts'
import { tellModerated, tellNews } from './meeting/news.ts'
import { Announcer } from './meeting/announcer.svelte.ts'
import { Meeting } from './meeting/meeting.svelte.ts'
import { Notices } from './meeting/notices.svelte.ts'
import { linkOptions, pathOf, placeOf, serverFor, type LinkOptions, type PageConfig, type Place } from './page.ts'
import { Settings, type Theme } from './settings.svelte.ts'
import { tabStore } from './store.ts'
import { keepToken, keptToken, takeToken, type Token } from './token.ts'

/** The two doors of `@althing/core`; development puts a stage set behind them. */
export interface Core {
  createLocalMedia(options?: LocalMediaOptions): LocalMedia
  join(options: JoinOptions): Conference
}

/** What is asked before something is done that cannot be taken back. */
export interface Question {
  readonly title: string
  readonly text: string
  /** What the button that does it says. */
  readonly yes: string
  readonly run: () => void
}

/** Set while in a meeting, so that a reload, and nothing else, goes straight back. */
const IN_MEETING = 'althing.in'

export class App {
  readonly config: PageConfig
  readonly settings: Settings
  readonly notices = new Notices()
  readonly announcer = new Announcer()
  screen: Screen = $state.raw(start)
  bar: Bar = $state.raw(calm)
  media: LocalMediaSnapshot | null = $state.raw(null)
  meeting: Meeting | null = $state.raw(null)
  microphoneHealth: DeviceHealth = $state.raw(healthAtStart)
  cameraHealth: DeviceHealth = $state.raw(healthAtStart)
  settingsOpen = $state(false)
  /** Something that is asked about before it is done. */
  question: Question | null = $state.raw(null)
  soundBlocked = $state(false)
  place: Place = $state.raw({ tenant: null, room: null })

  #token: Token | null = $state.raw(null)

  readonly #core: Core
  /** What a reload of this tab is to find again. */
  readonly #tab = tabStore()
  #link: LinkOptions = linkOptions('')
  #localMedia: LocalMedia | null = null
  #stopMedia: (() => void)[] = []
  #stopMeeting: (() => void)[] = []
  #tickedAt = Date.now()
  /** Where the page was when the server wrote it. */
  readonly #written = placeOf(location.pathname)

  constructor(core: Core, config: PageConfig, settings: Settings) {
    this.#core = core
    this.config = config
    this.settings = settings
  }

  /** The name a token gives; it cannot be changed here. */
  get tokenName(): string | null {
    return this.#token?.name ?? null
  }

  /** The link says who this is. */
  get hasToken(): boolean {
    return this.#token !== null
  }

  /** There is a page to log in at. */
  get canLogIn(): boolean {
    return this.config.login !== undefined
  }

  /** An audio hall: no cameras, no screens. The meeting knows; before it, the page says what its own room is, and what rooms usually are. */
  get hall(): boolean {
    return (this.meeting?.view.room.media ?? this.#expectedMedia) === 'audio'
  }

  get #expectedMedia(): MediaMode | undefined {
    const { media, roomMedia } = this.config
    const { room, tenant } = this.place
    return room === this.#written.room && tenant === this.#written.tenant ? (roomMedia ?? media) : media
  }

  /** What others are shown of this person. */
  get shownName(): string {
    return this.tokenName ?? this.settings.values.name
  }

  /** Reads the address and shows its screen. */
  boot(): void {
    this.applyTheme(this.settings.values.theme)
    addEventListener('popstate', () => this.#readAddress(false))
    addEventListener('pagehide', () => this.#depart())
    addEventListener('pageshow', event => {
      if (event.persisted) location.reload()
    })
    const navigation = performance.getEntriesByType('navigation')[0] as PerformanceNavigationTiming | undefined
    this.#readAddress(navigation?.type === 'reload')
  }

  applyTheme(theme: Theme): void {
    this.settings.set('theme', theme)
    if (theme === 'system') delete document.documentElement.dataset['theme']
    else document.documentElement.dataset['theme'] = theme
  }

  open(place: Place): void {
    if (place.room === null) return
    history.pushState(null, '', pathOf(place.room, place.tenant))
    this.#readAddress(false)
  }

  home(): void {
    if (location.pathname !== '/') history.pushState(null, '', '/')
    this.#readAddress(false)
  }

  /** The clean address of this room: no options, no token. */
  roomLink(): string {
    return location.origin + pathOf(this.place.room ?? '', this.place.tenant)
  }

  join(): void {
    this.#dispatch({ type: 'join' })
  }

  givePassword(password: string): void {
    this.meeting?.conference.givePassword(password)
  }

  /** Leaves for the login page, which brings back who this is. */
  async logIn(): Promise<void> {
    const { login } = this.config
    if (login === undefined) return
    const { microphoneOn, cameraOn } = this.settings.values
    const from = { ...this.place, microphoneOff: !microphoneOn, cameraOff: !cameraOn }
    // The login page looks for it where the browser keeps it, or not at all.
    const store = { setItem: (key: string, value: string) => sessionStorage.setItem(key, value) }
    const address = await loginAddress(login, from, store).catch(() => null)
    if (address === null) this.notices.show(t('asking.loginBroken'), { tone: 'warn' })
    else location.assign(address)
  }

  leave(): void {
    this.#dispatch({ type: 'left', now: Date.now() })
  }

  async setMicrophone(on: boolean): Promise<void> {
    this.settings.set('microphoneOn', on)
    this.#tellFailure(await (this.meeting?.conference ?? this.#localMedia)?.setMicrophone(on), 'microphone')
  }

  /** For as long as a key is held; what is remembered stays as it is. Whether it is on, or off, now. */
  async holdToTalk(on: boolean): Promise<boolean> {
    const outcome = await this.meeting?.conference.setMicrophone(on)
    this.#tellFailure(outcome, 'microphone')
    return outcome?.ok ?? false
  }

  async setCamera(on: boolean): Promise<void> {
    this.settings.set('cameraOn', on)
    this.#tellFailure(await (this.meeting?.conference ?? this.#localMedia)?.setCamera(on), 'camera')
  }

  async toggleShare(): Promise<void> {
    const conference = this.meeting?.conference
    if (!conference) return
    if (this.media?.screen.state === 'on') return conference.stopShare()
    const outcome = await conference.startShare()
    if (outcome.ok || outcome.code === 'cancelled' || outcome.code === 'denied' || outcome.code === 'audio-only') return
    if (outcome.code === 'moderated') return tellModerated(this, 'screen')
    this.notices.show(t(outcome.code === 'blocked' ? 'trouble.share.blocked' : 'trouble.share'), { tone: 'warn' })
  }

  async selectDevice(kind: DeviceKind, id: string): Promise<void> {
    const outcome = await (this.meeting?.conference ?? this.#localMedia)?.selectDevice(kind, id)
    if (outcome?.ok) this.settings.set(`${kind}Id`, id)
    else if (kind !== 'speaker') this.#tellFailure(outcome, kind)
  }

  /** After a card said what is wrong. */
  retryDevice(kind: 'microphone' | 'camera'): void {
    void (kind === 'microphone' ? this.setMicrophone(true) : this.setCamera(true))
  }

  /** Own level for meters; also how we learn that a microphone is silent. */
  readonly watchOwnLevel = (listener: (level: number) => void): (() => void) =>
    this.#localMedia?.watchLevel(level => {
      listener(level)
      this.microphoneHealth = nextHealth(this.microphoneHealth, { type: 'level', level, now: Date.now() })
    }) ?? (() => undefined)

  readonly watchLevel =
    (who: string) =>
    (listener: (level: number) => void): (() => void) =>
      this.meeting?.conference.watchLevel(who, listener) ?? (() => undefined)

  setName(name: string): void {
    this.settings.set('name', name)
    this.meeting?.conference.setDisplayName(name)
  }

  #readAddress(reloaded: boolean): void {
    this.#endMeeting()
    const before = this.place
    this.place = placeOf(location.pathname)
    this.#readToken(before)
    this.#link = linkOptions(location.hash)
    const { room } = this.place
    const { name } = this.#link
    if (name !== null && this.settings.values.name === '') this.settings.values.name = name
    if (room === null) return this.#dispatch({ type: 'home' })
    if (!('RTCPeerConnection' in globalThis)) {
      this.#dispatch({ type: 'open', room })
      return this.#dispatch({ type: 'unusable', code: 'unsupported' })
    }
    if (reloaded && this.#wasInside()) return this.#dispatch({ type: 'rejoin', room, now: Date.now() })
    this.#dispatch({ type: 'open', room })
    if (this.#link.straightIn) this.join()
  }

  /** Out of the address before anything else can see it; another room needs another link. */
  #readToken(before: Place): void {
    const given = takeToken(location)
    const { room, tenant } = this.place
    const path = room === null ? null : pathOf(room, tenant)
    if (given) {
      this.#token = given.token.text === '' ? null : given.token
      history.replaceState(history.state, '', given.clean)
      if (path !== null) keepToken(this.#tab, path, given.token.text)
    } else if (before.room !== room || before.tenant !== tenant) {
      this.#token = path === null ? null : keptToken(this.#tab, path)
    }
  }

  #dispatch(event: ScreenEvent): void {
    const before = this.screen
    const next = nextScreen(before, event)
    if (next === before) return
    this.screen = next
    this.#entered(before, next)
  }

  #entered(before: Screen, next: Screen): void {
    switch (next.at) {
      case 'prejoin':
        this.#endMeeting()
        if (!this.#localMedia || !keepsPreview(before)) this.#openMedia()
        if (next.nameNeeded) this.announcer.urgent(t('prejoin.nameNeeded'))
        break
      case 'connecting':
        this.#startMeeting(next.room)
        break
      case 'meeting':
        if (next.back) this.#startMeeting(next.room)
        else {
          if (before.at === 'lobby' || before.at === 'waithost') this.#letIn()
          this.#inside()
        }
        break
      case 'password':
      case 'lobby':
      case 'waithost':
        break
      case 'denied':
      case 'full':
        this.#endMeeting()
        this.announcer.urgent(t(`asking.${next.at}.title`, { room: next.room }))
        break
      default:
        this.#endMeeting()
        this.#closeMedia()
    }
    if (next.at === 'ended' && !this.#link.keepNoTrace) {
      this.settings.remember({ path: location.pathname, room: next.room, at: Date.now(), minutes: next.minutes })
    }
  }

  #openMedia(): void {
    this.#closeMedia()
    const { microphoneId, cameraId, speakerId, microphoneOn, cameraOn } = this.settings.values
    const media = this.#core.createLocalMedia({
      microphoneId: microphoneId ?? undefined,
      cameraId: cameraId ?? undefined,
      speakerId: speakerId ?? undefined
    })
    this.#localMedia = media
    this.#showMedia(media.snapshot())
    this.#stopMedia = [media.subscribe(snapshot => this.#showMedia(snapshot)), () => media.dispose()]
    if (cameraOn && !this.#link.cameraOff && !this.hall) void media.setCamera(true)
    if (microphoneOn && !this.#link.microphoneOff) void media.setMicrophone(true)
  }

  #showMedia(snapshot: LocalMediaSnapshot): void {
    this.media = snapshot
    const shared = { type: 'device', secure: isSecureContext, now: Date.now() } as const
    this.microphoneHealth = nextHealth(this.microphoneHealth, { ...shared, device: snapshot.microphone })
    this.cameraHealth = nextHealth(this.cameraHealth, { ...shared, device: snapshot.camera })
  }

  #closeMedia(): void {
    for (const stop of this.#stopMedia.splice(0)) stop()
    this.#localMedia = null
    this.media = null
  }

  #startMeeting(room: string): void {
    this.#endMeeting()
    if (!this.#localMedia) this.#openMedia()
    const name = this.shownName.trim()
    const token = this.#token?.text
    const server = serverFor(this.config, this.place, location.origin)
    const { codecs } = this.#link
    const mode = this.#expectedMedia
    const conference = this.#core.join({
      server,
      room,
      name: name === '' ? null : name,
      token,
      codecs,
      mode,
      media: this.#localMedia!
    })
    this.meeting = new Meeting(conference)
    const ticking = setInterval(() => this.#tick(), 1000)
    this.#stopMeeting = [
      () => clearInterval(ticking),
      keepAwake(),
      conference.on('connection', state => this.#connection(state)),
      ...tellNews(this, this.meeting)
    ]
    this.#connection(conference.snapshot().connection)
  }

  #endMeeting(): void {
    const { meeting } = this
    for (const stop of this.#stopMeeting.splice(0)) stop()
    this.meeting = null
    this.bar = calm
    this.soundBlocked = false
    this.question = null
    this.announcer.dispose()
    if (!meeting) return
    this.#tab.removeItem(IN_MEETING)
    meeting.dispose()
    this.notices.forget('knock')
    void meeting.conference.leave()
  }

  /** The page goes away: tell the others, but remember that a reload comes back. */
  #depart(): void {
    for (const stop of this.#stopMeeting.splice(0)) stop()
    void this.meeting?.conference.leave({ atOnce: true })
  }

  /** They may have been doing something else meanwhile. */
  #letIn(): void {
    this.announcer.urgent(t('asking.admitted'))
    if (document.visibilityState === 'hidden') void playChime(this.media?.speakerId ?? null)
  }

  #inside(): void {
    this.#tab.setItem(IN_MEETING, location.pathname)
  }

  #wasInside(): boolean {
    return this.#tab.getItem(IN_MEETING) === location.pathname
  }

  #tick(): void {
    const now = Date.now()
    if (now - this.#tickedAt > SLEPT_MS) this.bar = nextBar(this.bar, { type: 'woke' })
    this.#tickedAt = now
    const before = this.bar
    this.bar = nextBar(before, { type: 'tick', now })
    if (isShown(this.bar) && !isShown(before)) this.announcer.urgent(barText(this.bar))
  }

  #connection(state: ConferenceEvents['connection']): void {
    const now = Date.now()
    const wasShown = isShown(this.bar)
    this.bar = nextBar(this.bar, { type: 'connection', state, now })
    if (isShown(this.bar) && !wasShown) this.announcer.urgent(barText(this.bar))
    if (wasShown && state.phase === 'joined') this.announcer.urgent(t('reconnect.back'))
    // A refused one is of no use to a reload, which may still come in as a guest.
    if (state.phase === 'failed' && state.code === 'not-authorized') keepToken(this.#tab, '', '')
    const byName = state.phase === 'kicked' ? (this.meeting?.occupantName(state.by) ?? null) : null
    this.#dispatch({ type: 'connection', state, now, byName, jitter: Math.random() })
  }

  /** On the prejoin screen a card tells; in the meeting a notice does. */
  #tellFailure(outcome: MediaOutcome | undefined, kind: 'microphone' | 'camera'): void {
    if (!outcome || outcome.ok || this.screen.at !== 'meeting') return
    if (outcome.code === 'moderated') return tellModerated(this, kind)
    if (outcome.code === 'audio-only') return
    const code = outcome.code === 'cancelled' ? 'unknown' : outcome.code
    this.notices.show(t(`trouble.${kind}.${code}.help`), { tone: 'warn' })
  }
}
