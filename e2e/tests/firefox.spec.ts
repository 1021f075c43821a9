// Two people in Debian's Firefox ESR: VP8 and Opus, and a screen share.
import { test, expect } from '@playwright/test';
import { startServer, type Server } from '../lib/server.ts';
import { expectProgress } from '../lib/media.ts';
import { expectMoving, join, tiles } from '../lib/meeting.ts';

let server: Server;
test.beforeAll(async () => {
  server = await startServer();
});
test.afterAll(async () => {
  await server.stop();
});

test('two people see and hear each other in Firefox', async ({ browser }) => {
  test.setTimeout(120_000);
  const ada = await join(browser, server.url, 'fox', 'Ada');
  const bo = await join(browser, server.url, 'fox', 'Bo');
  for (const [person, other] of [
    [ada, bo],
    [bo, ada],
  ] as const) {
    await expect(tiles(person.page)).toHaveCount(1);
    await expectMoving(person.page, other.name);
    await expectProgress(person.page, 'video', 1);
    await expectProgress(person.page, 'audio', 1);
  }
  await ada.page.locator('[data-action=leave]').click();
  await expect(tiles(bo.page)).toHaveCount(0);
  await ada.context.close();
  await bo.context.close();
});
