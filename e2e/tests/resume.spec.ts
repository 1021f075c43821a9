// The signalling socket goes and comes back: nobody leaves, nothing said is lost, media do not notice.
import { test, expect, type Page, type WebSocketRoute } from '@playwright/test';
import { watchConnections } from '../lib/media.ts';
import { expectMoving, inMeeting, join, tileOf, tiles } from '../lib/meeting.ts';
import { startServer, type Server } from '../lib/server.ts';

let server: Server;
test.beforeAll(async () => {
  server = await startServer();
});
test.afterAll(async () => {
  await server.stop();
});

test('five seconds without signalling: no tile goes, chat said meanwhile arrives once, media go on', async ({ browser }) => {
  const ada = await join(browser, server.url, 'resume', 'Ada');
  const context = await browser.newContext();
  await watchConnections(context);
  const page = await context.newPage();
  const sockets: WebSocketRoute[] = [];
  let open = true;
  await page.routeWebSocket(/xmpp-websocket/u, (route) => {
    if (!open) return void route.close();
    sockets.push(route);
    route.connectToServer();
  });
  await page.goto(`${server.url}/resume`);
  await page.locator('[data-field=name]').fill('Bo');
  await page.locator('[data-action=join]').first().click();
  await inMeeting(page);
  await expectMoving(ada.page, 'Bo');
  const gone = goings(ada.page);

  open = false;
  await sockets.at(-1)?.close();
  await page.locator('[data-action=chat]').click();
  await page.locator('[data-chat-input]').fill('said without a socket');
  await page.keyboard.press('Enter');
  await ada.page.locator('[data-action=chat]').click();
  await ada.page.locator('[data-chat-input]').fill('said to somebody away');
  await ada.page.keyboard.press('Enter');
  await expect(page.locator('[data-reconnecting=signalling]')).toBeVisible();
  await expect(tiles(page)).toHaveCount(1);
  await expectMoving(page, 'Ada');
  open = true;
  await expect(page.locator('[data-reconnecting]')).toHaveCount(0, { timeout: 15_000 });

  for (const one of [page, ada.page]) {
    await expect(one.locator('[data-chat-message]', { hasText: 'said without a socket' })).toHaveCount(1);
    await expect(one.locator('[data-chat-message]', { hasText: 'said to somebody away' })).toHaveCount(1);
  }
  expect(await page.evaluate(() => window.__connections.length)).toBe(1);
  await expect(tileOf(ada.page, 'Bo')).toBeVisible();
  expect(await gone).toBe(0);
  await context.close();
  await ada.context.close();
});

test('a closed tab is gone at once, not after the minute a lost one has', async ({ browser }) => {
  const ada = await join(browser, server.url, 'closed', 'Ada');
  const bo = await join(browser, server.url, 'closed', 'Bo');
  await expect(tiles(ada.page)).toHaveCount(1);
  await bo.page.close({ runBeforeUnload: true });
  await expect(tiles(ada.page)).toHaveCount(0, { timeout: 3_000 });
  await ada.context.close();
  await bo.context.close();
});

/** How many tiles of others went away during the next seconds. */
function goings(page: Page): Promise<number> {
  return page.evaluate(
    () =>
      new Promise<number>((resolve) => {
        let count = 0;
        const watch = new MutationObserver((changes) => {
          for (const { removedNodes } of changes) {
            for (const node of removedNodes) if (node instanceof Element && node.querySelector('[data-tile]')) count++;
          }
        });
        watch.observe(document.body, { childList: true, subtree: true });
        setTimeout(() => resolve(count), 8_000);
      }),
  );
}
