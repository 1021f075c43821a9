/** What happens in a meeting, told: as a notice, to a screen reader, or both. */
import type { Conference, MediaRole } from '@althing/core'
import type { App } from '../app.svelte.ts'
import { t } from '../i18n/index.ts'
import { troubleOf } from '../machines/trouble.ts'
import type { Meeting } from './meeting.svelte.ts'

/** Listens until the functions it gives are called. */
export function tellNews(app: App, meeting: Meeting): (() => void)[] {
  const { conference } = meeting
  return [...tellPeople(app, meeting, conference), ...tellDevices(app, conference), ...tellModeration(app, meeting, conference), tellKnocks(app, meeting, conference)]
}

/** A device stays off until a moderator says otherwise; a raised hand asks them. */
export function tellModerated(app: App, kind: MediaRole): void {
  const conference = app.meeting?.conference
  const raised = conference?.snapshot().self.handRaisedAt !== null
  const action = raised ? undefined : { label: t('toolbar.hand'), run: () => conference?.setHandRaised(true) }
  app.notices.show(t(`rule.ask.${kind}`), { tone: 'warn', action })
  app.announcer.urgent(t(`rule.ask.${kind}`))
}

/** For commands: says when the service did not do it. */
export function tellOutcome(app: App, outcome: Promise<{ readonly ok: boolean }> | boolean): void {
  void Promise.resolve(outcome).then(done => {
    if (!(typeof done === 'boolean' ? done : done.ok)) app.notices.show(t('command.failed'), { tone: 'warn' })
  })
}

function named(given: string | null): string {
  return given ?? t('tile.unnamed')
}

function nameOf(conference: Conference, id: string | null): string | null {
  const found = conference.snapshot().occupants.find(one => one.id === id)
  return found ? named(found.name) : null
}

function tellPeople(app: App, meeting: Meeting, conference: Conference): (() => void)[] {
  const { announcer, notices } = app
  const inRoom = () => conference.snapshot().occupants.length + 1
  return [
    conference.on('occupantJoined', one => announcer.joined(named(one.name), inRoom())),
    conference.on('occupantLeft', ({ occupant, kickedBy }) => {
      const name = named(occupant.name)
      if (kickedBy === null) return announcer.left(name, inRoom())
      const by = kickedBy === conference.snapshot().self.id ? t('tile.you') : nameOf(conference, kickedBy)
      notices.show(by === null ? t('notice.removed', { name }) : t('notice.removedBy', { name, by }))
    }),
    conference.on('chatMessage', message => {
      if (message.own || meeting.chatOpen) return
      const { isPrivate } = message
      announcer.say(t(isPrivate ? 'announce.private' : 'announce.message', { name: named(message.name) }))
    }),
    conference.on('chatRefused', () => notices.show(t('chat.refused'), { tone: 'warn' })),
    conference.on('reaction', ({ from, reactions }) => meeting.showReactions(from, reactions)),
    conference.on('handRaised', one => {
      const place = meeting.placeInQueue(one.id)
      const text = t('announce.hand', { name: named(one.name), place })
      if (conference.snapshot().self.role !== 'moderator') return
      announcer.say(text)
      if (!meeting.peopleOpen) notices.show(text, { action: { label: t('notice.view'), run: () => meeting.openPanel('people') } })
    })
  ]
}

function tellDevices(app: App, conference: Conference): (() => void)[] {
  const { announcer, notices } = app
  const urgent = (text: string) => {
    notices.show(text, { tone: 'warn' })
    announcer.urgent(text)
  }
  return [
    conference.on('mutedByModerator', ({ kind, by }) => {
      const name = nameOf(conference, by)
      if (kind === 'microphone') urgent(name === null ? t('notice.mutedByModerator') : t('notice.mutedBy', { name }))
      else urgent(t(kind === 'camera' ? 'notice.cameraOffByModerator' : 'notice.shareEndedByModerator'))
    }),
    conference.on('sourceRefused', ({ kind }) => notices.show(t(`notice.refused.${kind}`), { tone: 'warn' })),
    conference.on('shareEnded', () => notices.show(t('notice.shareEnded'))),
    conference.on('startedMuted', ({ microphone, camera }) => {
      notices.show(t('notice.startedMuted', { what: microphone && camera ? 'both' : microphone ? 'microphone' : 'camera' }))
    }),
    conference.on('deviceLost', ({ kind, label, replacedBy, code }) => {
      if (code && code !== 'missing') return urgent(t(`trouble.${kind}.${troubleOf(code)}.help`))
      const action = { label: t('device.change'), run: () => (app.settingsOpen = true) }
      const replacement = replacedBy?.label ?? ''
      const text = replacedBy ? t('device.lostReplaced', { label, replacement }) : t('device.lost', { label })
      notices.show(text, { tone: 'warn', action })
    })
  ]
}

function tellModeration(app: App, meeting: Meeting, conference: Conference): (() => void)[] {
  const { announcer, notices } = app
  const switchOn = (kind: MediaRole) => {
    if (kind === 'microphone') void app.setMicrophone(true)
    else if (kind === 'camera') void app.setCamera(true)
    else if (app.media?.screen.state !== 'on') void app.toggleShare()
  }
  const moderates = () => conference.snapshot().self.role === 'moderator'
  return [
    conference.on('ruleChanged', ({ kind, enabled, by }) => {
      if (by === conference.snapshot().self.id) return
      if (!enabled || !moderates()) notices.show(t(enabled ? `rule.on.${kind}` : `rule.off.${kind}`))
    }),
    conference.on('unmuteOffered', ({ kind, by, asked }) => {
      const name = nameOf(conference, by) ?? t('rule.moderator')
      const text = asked ? t(`rule.asked.${kind}`, { name }) : t(`rule.allowed.${kind}`)
      notices.show(text, { actions: [{ label: t(`rule.start.${kind}`), run: () => switchOn(kind) }] })
      announcer.urgent(text)
      // The one who asked for it need not ask any longer.
      if (kind === 'microphone' && conference.snapshot().self.handRaisedAt !== null) conference.setHandRaised(false)
    }),
    conference.on('unmuteWithdrawn', ({ kind }) => {
      notices.show(t(`rule.withdrawn.${kind}`), { tone: 'warn' })
      announcer.urgent(t(`rule.withdrawn.${kind}`))
    }),
    conference.on('roleChanged', ({ role, before }) => {
      if (role === 'moderator') notices.show(t('notice.nowModerator'))
      else if (before === 'moderator') {
        notices.show(t('notice.noModerator'))
        meeting.hostOpen = false
      }
    }),
    conference.on('handLowered', ({ by }) => {
      notices.show(t('notice.handLowered', { name: nameOf(conference, by) ?? t('rule.moderator') }))
    })
  ]
}

/** One notice for all who wait, as long as anybody does. */
function tellKnocks(app: App, meeting: Meeting, conference: Conference): () => void {
  let before = conference.snapshot().knocking
  const { moderation } = conference
  const show = () => {
    const { knocking } = conference.snapshot()
    if (knocking === before) return
    const fresh = knocking.filter(one => !before.some(known => known.id === one.id))
    before = knocking
    const [first] = knocking
    if (!first) return app.notices.forget('knock')
    const name = named(first.name)
    const alone = knocking.length === 1
    const text = alone ? t('knock.one', { name }) : t('knock.many', { count: knocking.length })
    if (fresh.length > 0) app.announcer.say(alone ? text : t('knock.one', { name: named(fresh.at(-1)!.name) }))
    const known = app.notices.all.some(notice => notice.about === 'knock')
    // Closed by hand, it comes back with the next one who knocks.
    if (meeting.peopleOpen || (fresh.length === 0 && !known)) return
    const actions = alone
      ? [
          { label: t('knock.admit'), run: () => moderation.admit([first.id]) },
          { label: t('knock.deny'), run: () => tellOutcome(app, moderation.deny(first.id)) }
        ]
      : [
          { label: t('knock.view'), run: () => meeting.openPanel('people') },
          { label: t('knock.admitAll'), run: () => moderation.admit(knocking.map(one => one.id)) }
        ]
    app.notices.show(text, { about: 'knock', actions })
  }
  return conference.subscribe(show)
}
