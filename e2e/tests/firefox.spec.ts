// Two people in Debian's Firefox ESR: VP8 and Opus, and a screen share.
import { test, expect } from '@playwright/test';
import { startServer, type Server } from '../lib/server.ts';
import { expectProgress } from '../lib/media.ts';
import { expectMoving, inMeeting, join, tileOf, tiles } from '../lib/meeting.ts';

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
  await test.step('mute, camera and chat', async () => {
    await ada.page.locator('[data-action=mic]').click();
    await expect(tileOf(bo.page, 'Ada')).toHaveAttribute('data-mic', 'off');
    await ada.page.locator('[data-action=mic]').click();
    await expectProgress(bo.page, 'audio', 1);
    await ada.page.locator('[data-action=camera]').click();
    await expect(tileOf(bo.page, 'Ada').locator('video')).toHaveCount(0);
    await ada.page.locator('[data-action=camera]').click();
    await expectMoving(bo.page, 'Ada');
    await ada.page.locator('[data-action=chat]').click();
    await ada.page.locator('[data-chat-input]').fill('from the fox');
    await ada.page.locator('[data-chat-input]').press('Enter');
    await bo.page.locator('[data-action=chat]').click();
    await expect(bo.page.locator('[data-chat-message]').last()).toContainText('from the fox');
  });

  await test.step('screen share', async () => {
    await ada.page.locator('[data-action=share]').click();
    await expectMoving(bo.page, 'Ada', 'screen');
    await ada.page.locator('[data-action=share]').click();
    await expect(bo.page.locator('[data-tile][data-kind=screen]')).toHaveCount(0);
  });

  await test.step('a reload rejoins', async () => {
    await bo.page.reload();
    await inMeeting(bo.page);
    await expectMoving(ada.page, 'Bo');
    await expectMoving(bo.page, 'Ada');
  });

  await ada.page.locator('[data-action=leave]').click();
  await expect(tiles(bo.page)).toHaveCount(0);
  await ada.context.close();
  await bo.context.close();
});
