import { t } from '../i18n/index.ts'
import type { Bar } from '../machines/reconnect.ts'

/** What the bar says, and a screen reader with it. */
export function barText(bar: Bar): string {
  switch (bar.show) {
    case 'media':
      return t('reconnect.media', { attempt: bar.attempt })
    case 'awake':
      return t('reconnect.awake')
    default:
      return t('reconnect.signalling')
  }
}
