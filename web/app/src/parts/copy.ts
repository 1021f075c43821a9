import { t } from '../i18n/index.ts'
import type { App } from '../app.svelte.ts'

/** Copies a link and says so. */
export async function copyLink(app: App, link: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(link)
    app.notices.show(t('invite.copied'))
    app.announcer.say(t('invite.copied'))
  } catch {
    app.notices.show(t('invite.notCopied'), { tone: 'warn' })
  }
}
