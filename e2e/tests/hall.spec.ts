// An audio hall in our web client: names and voices, and nothing of pictures.
import { test, expect } from '@playwright/test';
import { accessible } from '../lib/accessible.ts';
import { expectProgress } from '../lib/media.ts';
import { arrive, inMeeting, join, screen } from '../lib/meeting.ts';
import { startServer, type Server } from '../lib/server.ts';

let server: Server;
test.beforeAll(async () => {
  server = await startServer(['--media-mode', 'audio']);
});
test.afterAll(async () => {
  await server.stop();
});

test('nobody is asked for a camera, and everybody is heard', async ({ browser }) => {
  test.setTimeout(120_000);
  const ada = await arrive(browser, 'Ada');
  // Whatever the page wants of devices.
  await ada.page.addInitScript(() => {
    const wanted: string[] = [];
    Object.defineProperty(window, '__wanted', { value: wanted });
    const devices = navigator.mediaDevices;
    const original = devices.getUserMedia.bind(devices);
    devices.getUserMedia = (constraints) => {
      wanted.push(...Object.keys(constraints ?? {}));
      return original(constraints);
    };
  });
  await ada.page.goto(`${server.url}/assembly`);
  await expect(screen(ada.page)).toHaveAttribute('data-screen', 'prejoin');
  await expect(ada.page.locator('[data-audio-only]')).toBeVisible();
  await accessible(ada.page, 'the way into a hall');
  await ada.page.locator('[data-field=name]').fill('Ada');
  await ada.page.locator('[data-action=join]').first().click();
  await inMeeting(ada.page);

  const [bo, chen] = [await join(browser, server.url, 'assembly', 'Bo'), await join(browser, server.url, 'assembly', 'Chen')];
  const people = [ada, bo, chen];
  for (const { page } of people) {
    await expect(page.locator('[data-view=hall]')).toBeVisible();
    await expect(page.locator('[data-roster] [data-person]')).toHaveCount(3);
    await expectProgress(page, 'audio', 2);
    await expect(page.locator('video')).toHaveCount(0);
    for (const gone of ['camera', 'share', 'layout']) await expect(page.locator(`[data-action=${gone}]`)).toHaveCount(0);
  }
  expect(await ada.page.evaluate(() => (window as unknown as { __wanted: string[] }).__wanted)).toEqual(['audio']);
  // Somebody speaks, and is shown: the browsers' microphones beep.
  await expect(ada.page.locator('[data-speaker]').first()).toBeVisible({ timeout: 20_000 });
  await bo.page.locator('[data-action=hand]').click();
  await expect(ada.page.locator('[data-raised]')).toContainText('Bo');
  await accessible(ada.page, 'a hall');
  const video = await ada.page.evaluate(() => window.__connections.at(-1)?.localDescription?.sdp.includes('m=video'));
  expect(video).toBe(false);
  for (const { context, errors } of people) {
    expect(errors).toEqual([]);
    await context.close();
  }
});
