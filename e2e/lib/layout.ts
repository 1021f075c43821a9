// How a page is laid out, measured as a finger would meet it.
import { expect, type Page } from '@playwright/test';

/** Controls that a finger could miss: visible, enabled, and smaller than `least` CSS pixels either way. */
export function smallTargets(page: Page, least: number): Promise<string[]> {
  return page.evaluate((least) => {
    const controls = [...document.querySelectorAll<HTMLElement>('button, a[href], input, select, textarea, summary, [role=button]')];
    // What lies under an open dialog is out of reach.
    const dialog = document.querySelector<HTMLElement>('dialog:modal');
    const small: string[] = [];
    for (const control of controls) {
      if (dialog && !dialog.contains(control)) continue;
      if (!control.checkVisibility({ opacityProperty: true, visibilityProperty: true }) || control.matches(':disabled')) continue;
      // A link within a sentence is as tall as its line.
      if (control instanceof HTMLAnchorElement && getComputedStyle(control).display === 'inline') continue;
      // A tap on the words beside a box ticks it.
      const labels = control instanceof HTMLInputElement ? [...(control.labels ?? [])].filter((label) => label.contains(control)) : [];
      const { width, height, bottom, right } = (labels[0] ?? control).getBoundingClientRect();
      const shown = bottom > 0 && right > 0;
      // Half a pixel is a matter of rounding.
      if (shown && (width < least - 0.5 || height < least - 0.5)) {
        const { action, field } = control.dataset;
        small.push(`${action ?? field ?? control.outerHTML.slice(0, 80)}: ${width.toFixed(1)} x ${height.toFixed(1)}`);
      }
    }
    return small;
  }, least);
}

/** Nothing sticks out sideways, and everything there is to tap can be tapped. */
export async function expectFits(page: Page): Promise<void> {
  const width = await page.evaluate(() => ({ page: document.scrollingElement?.scrollWidth, window: innerWidth }));
  expect(width.page, 'the page is no wider than the window').toBeLessThanOrEqual(width.window);
  expect(await smallTargets(page, 44), 'controls smaller than a finger').toEqual([]);
}
