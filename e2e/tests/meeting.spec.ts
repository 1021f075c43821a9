// People meet: the real program, real Chromium, what a person sees and hears.
import { test, expect } from '@playwright/test';
import { startServer, type Server } from '../lib/server.ts';
import { expectProgress, inbound } from '../lib/media.ts';
import { expectMoving, inMeeting, join, screen, tileOf, tiles } from '../lib/meeting.ts';

let server: Server;
test.beforeAll(async () => {
  server = await startServer();
});
test.afterAll(async () => {
  await server.stop();
});

test('three people see and hear each other, and notice what each does', async ({ browser }) => {
  test.setTimeout(180_000);
  const ada = await join(browser, server.url, 'standup', 'Ada');
  const bo = await join(browser, server.url, 'standup', 'Bo');
  const chen = await join(browser, server.url, 'standup', 'Chen');
  const people = [ada, bo, chen];

  await test.step('three moving pictures, and sound', async () => {
    for (const person of people) {
      await expect(tiles(person.page)).toHaveCount(2);
      for (const other of people) if (other !== person) await expectMoving(person.page, other.name);
      await expectProgress(person.page, 'video', 2);
      await expectProgress(person.page, 'audio', 2);
    }
  });

  await test.step('mute and unmute', async () => {
    await ada.page.locator('[data-action=mic]').click();
    await expect(tileOf(bo.page, 'Ada')).toHaveAttribute('data-mic', 'off');
    await expectProgress(bo.page, 'audio', 1);
    await ada.page.locator('[data-action=mic]').click();
    await expect(tileOf(bo.page, 'Ada')).toHaveAttribute('data-mic', 'on');
    await expectProgress(bo.page, 'audio', 2);
  });

  await test.step('camera off and on', async () => {
    await ada.page.locator('[data-action=camera]').click();
    await expect(tileOf(bo.page, 'Ada')).toHaveAttribute('data-cam', 'off');
    await expect(tileOf(bo.page, 'Ada').locator('video')).toHaveCount(0);
    await ada.page.locator('[data-action=camera]').click();
    await expect(tileOf(bo.page, 'Ada')).toHaveAttribute('data-cam', 'on');
    await expectMoving(bo.page, 'Ada');
  });

  await test.step('screen share reaches the others and ends', async () => {
    await ada.page.locator('[data-action=share]').click();
    for (const person of [bo, chen]) await expectMoving(person.page, 'Ada', 'screen');
    await ada.page.locator('[data-action=share]').click();
    for (const person of [bo, chen]) {
      await expect(person.page.locator('[data-tile][data-kind=screen]')).toHaveCount(0);
    }
  });

  await test.step('chat', async () => {
    await ada.page.locator('[data-action=chat]').click();
    await ada.page.locator('[data-chat-input]').fill('see <b>the</b> doc');
    await ada.page.locator('[data-chat-input]').press('Enter');
    await bo.page.locator('[data-action=chat]').click();
    await expect(bo.page.locator('[data-chat-message]').last()).toContainText('see <b>the</b> doc');
    await expect(ada.page.locator('[data-chat-message]').last()).toContainText('see <b>the</b> doc');
  });

  await test.step('a reload rejoins', async () => {
    await bo.page.reload();
    if ((await screen(bo.page).getAttribute('data-screen')) !== 'meeting') {
      await expect(screen(bo.page)).toHaveAttribute('data-screen', 'prejoin');
      await bo.page.locator('[data-action=join]').first().click();
    }
    await inMeeting(bo.page);
    await expect(tiles(bo.page)).toHaveCount(2);
    await expect(tiles(ada.page)).toHaveCount(2);
    await expectProgress(bo.page, 'video', 2);
    await expectMoving(ada.page, 'Bo');
  });

  await test.step('a leaver is gone', async () => {
    await chen.page.locator('[data-action=leave]').click();
    await expect(screen(chen.page)).toHaveAttribute('data-screen', 'ended');
    await expect(tiles(ada.page)).toHaveCount(1);
    await expect(tiles(bo.page)).toHaveCount(1);
  });

  await test.step('a closed tab is gone', async () => {
    await bo.page.close();
    await expect(tiles(ada.page)).toHaveCount(0, { timeout: 10_000 });
  });

  for (const person of people) {
    expect(person.errors, `${person.name}'s console`).toEqual([]);
    await person.context.close();
  }
});

test('ten rooms at once do not mix', async ({ browser, launchOptions }) => {
  test.setTimeout(240_000);
  const rooms = Array.from({ length: 10 }, (_, index) => `room-${index}`);
  // Chromium lends a microphone to sixteen pages at most: two browsers share the twenty people.
  const another = await browser.browserType().launch(launchOptions);
  const pairs = [];
  for (const room of rooms) {
    // Sound only: two cores do not encode twenty pictures.
    const [first, second] = await Promise.all([
      join(browser, server.url, room, `First of ${room}`, '#config.startWithVideoMuted=true'),
      join(another, server.url, room, `Second of ${room}`, '#config.startWithVideoMuted=true'),
    ]);
    await Promise.all([first, second].map(({ page }) => expectProgress(page, 'audio', 1)));
    // Heard in both directions; two cores do not go on with twenty voices either.
    for (const { page } of [first, second]) await page.locator('[data-action=mic]').click();
    await expect(tileOf(second.page, `First of ${room}`)).toHaveAttribute('data-mic', 'off');
    await expect(tileOf(first.page, `Second of ${room}`)).toHaveAttribute('data-mic', 'off');
    pairs.push({ room, first, second });
  }
  for (const { room, first, second } of pairs) {
    await test.step(room, async () => {
      await expect(tiles(first.page)).toHaveCount(1);
      await expect(tiles(second.page)).toHaveCount(1);
      await expect(tileOf(first.page, `Second of ${room}`)).toBeVisible();
      await expect(tileOf(second.page, `First of ${room}`)).toBeVisible();
      for (const { page } of [first, second]) {
        expect((await inbound(page)).filter((s) => s.kind === 'audio' && s.packets > 0)).toHaveLength(1);
      }
    });
  }
  for (const { first, second } of pairs) {
    await first.context.close();
    await second.context.close();
  }
  await another.close();
});

test('the room name from another spelling is the same room', async ({ browser }) => {
  const ada = await join(browser, server.url, 'Case-Room', 'Ada');
  const bo = await join(browser, server.url, 'case-room', 'Bo');
  await expect(tiles(ada.page)).toHaveCount(1);
  await expect(tiles(bo.page)).toHaveCount(1);
  await ada.context.close();
  await bo.context.close();
});
