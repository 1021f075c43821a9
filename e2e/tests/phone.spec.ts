// A phone held upright: everything is there, within reach of a thumb, and nothing sticks out.
import { test, expect, type BrowserContextOptions, type Locator } from '@playwright/test';
import { accessible } from '../lib/accessible.ts';
import { expectFits } from '../lib/layout.ts';
import { expectProgress } from '../lib/media.ts';
import { arrive, expectMoving, inMeeting, join, screen, tileOf, tiles, type Person } from '../lib/meeting.ts';
import { startServer, type Server } from '../lib/server.ts';

const size = { width: 390, height: 844 };
const phone: BrowserContextOptions = { viewport: size, hasTouch: true, isMobile: true, deviceScaleFactor: 2 };

let server: Server;
let others: Person[] = [];
test.beforeAll(async ({ browser }) => {
  server = await startServer();
  others = [await join(browser, server.url, 'pocket', 'Bo'), await join(browser, server.url, 'pocket', 'Chen')];
});
test.afterAll(async () => {
  for (const other of others) await other.context.close();
  await server.stop();
});

for (const [look, media] of [
  ['light', { colorScheme: 'light' }],
  ['dark', { colorScheme: 'dark' }],
  ['from right to left', { colorScheme: 'dark' }],
  ['in few colours', { forcedColors: 'active' }],
] as const) {
  test(`three people on a phone, ${look}`, async ({ browser }) => {
    test.setTimeout(120_000);
    const ana = await arrive(browser, 'Ana', { ...phone, ...media });
    const { page } = ana;
    const mirrored = look === 'from right to left';
    const fits = async (what: string) => {
      await expectFits(page);
      // Asked of both themes at once.
      if (look === 'light') await accessible(page, what);
    };

    await test.step('welcome', async () => {
      await page.goto(server.url);
      await expect(screen(page)).toHaveAttribute('data-screen', 'welcome');
      if (mirrored) await mirror(ana);
      await fits('welcome');
      await page.locator('[data-field=room]').fill('pocket');
      await page.locator('[data-action=open]').tap();
    });

    await test.step('prejoin', async () => {
      await expect(screen(page)).toHaveAttribute('data-screen', 'prejoin');
      await page.locator('[data-field=name]').fill('Ana');
      await fits('prejoin');
      await expectInside(page.locator('[data-action=join]').first());
      await page.locator('[data-action=join]').first().tap();
    });

    await test.step('three tiles, one of them her own, none over another', async () => {
      await inMeeting(page);
      await expect(tiles(page)).toHaveCount(2);
      for (const other of others) await expectMoving(page, other.name);
      await expectProgress(page, 'audio', 2);
      const self = page.locator('[data-tile][data-self]');
      await expect(self).toHaveCount(1);
      const boxes = [];
      for (const tile of [tileOf(page, 'Bo'), tileOf(page, 'Chen'), self]) {
        await expectInside(tile);
        boxes.push((await tile.boundingBox())!);
      }
      for (const [i, a] of boxes.entries()) {
        for (const b of boxes.slice(i + 1)) {
          const apart = a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y;
          expect(apart, `${JSON.stringify(a)} and ${JSON.stringify(b)}`).toBe(true);
        }
      }
      await fits('the meeting');
      expect(await page.evaluate(() => document.scrollingElement?.scrollHeight), 'nothing to scroll').toBe(size.height);
    });

    await test.step('every tool is on the screen, and does its work', async () => {
      for (const action of ['mic', 'camera', 'chat', 'hand', 'more', 'leave', 'invite']) {
        await expectInside(page.locator(`[data-action=${action}]`));
      }
      await page.locator('[data-action=mic]').tap();
      await expect(tileOf(others[0]!.page, 'Ana')).toHaveAttribute('data-mic', 'off');
      await page.locator('[data-action=more]').tap();
      for (const action of ['more-people', 'more-layout', 'more-settings']) {
        await expectInside(page.locator(`[data-action=${action}]`));
      }
      await fits('the more menu');
      await page.locator('[data-action=more-settings]').tap();
      await expect(page.locator('dialog')).toBeVisible();
      await fits('the settings');
      await page.locator('[data-action=close-settings]').tap();
    });

    await test.step('chat is a sheet as wide and as high as the screen', async () => {
      await page.locator('[data-action=chat]').tap();
      const panel = page.locator('aside');
      await expectSheet(panel);
      await page.locator('[data-chat-input]').fill(`from a phone, ${look}: https://meet.example/${'long-'.repeat(30)}`);
      await fits('the chat with a draft');
      await page.locator('[data-action=send]').tap();
      await expect(page.locator('[data-chat-message]').last()).toContainText(look);
      await fits('the chat');
      await page.locator('[data-action=close-chat]').tap();
      await expect(panel).toHaveCount(0);
    });

    await test.step('and so are the people', async () => {
      await page.locator('[data-action=more]').tap();
      await page.locator('[data-action=more-people]').tap();
      await expectSheet(page.locator('aside'));
      await fits('the people');
      await page.locator('[data-action=close-people]').tap();
    });

    await test.step('leave', async () => {
      await page.locator('[data-action=leave]').tap();
      await expect(screen(page)).toHaveAttribute('data-screen', 'ended');
      await fits('the end');
      await expect(tiles(others[0]!.page)).toHaveCount(1);
    });
    expect(ana.errors, 'the console').toEqual([]);
    await ana.context.close();
  });
}

/** Wholly within the window, but for what rounding takes. */
async function expectInside(locator: Locator): Promise<void> {
  await expect(locator).toBeInViewport({ ratio: 0.99 });
}

/** From one edge of the window to the other, and down to its lower one. */
async function expectSheet(panel: Locator): Promise<void> {
  await expect(panel).toBeVisible();
  // Once it has come in.
  await panel.evaluate((sheet) => Promise.all((sheet.parentElement ?? sheet).getAnimations().map((each) => each.finished)));
  const box = (await panel.boundingBox())!;
  expect(box.width).toBe(size.width);
  expect(box.y).toBeLessThanOrEqual(16);
  expect(box.y + box.height).toBe(size.height);
}

/** As with a language that is written from right to left; only the page's direction is changed. */
async function mirror({ page }: Person): Promise<void> {
  await page.evaluate(() => {
    const turn = () => {
      if (document.documentElement.dir !== 'rtl') document.documentElement.dir = 'rtl';
    };
    new MutationObserver(turn).observe(document.documentElement, { attributeFilter: ['dir'] });
    turn();
  });
}
