// An audio hall in our web client: names and voices, and nothing of pictures.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, expect, type Page } from '@playwright/test';
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

/** Notes whatever the page wants of devices. */
async function watchDevices(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const wanted: string[] = [];
    Object.defineProperty(window, '__wanted', { value: wanted });
    const devices = navigator.mediaDevices;
    const original = devices.getUserMedia.bind(devices);
    devices.getUserMedia = (constraints) => {
      wanted.push(...Object.keys(constraints ?? {}));
      return original(constraints);
    };
  });
}

function wanted(page: Page): Promise<string[]> {
  return page.evaluate(() => (window as unknown as { __wanted: string[] }).__wanted);
}

test('nobody is asked for a camera, and everybody is heard', async ({ browser }) => {
  test.setTimeout(120_000);
  const ada = await arrive(browser, 'Ada');
  await watchDevices(ada.page);
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
  expect(await wanted(ada.page)).toEqual(['audio']);
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

test('a room whose name makes it a hall is one before anybody is in it', async ({ browser }) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'althing-hall-'));
  const config = path.join(folder, 'althing.toml');
  await writeFile(config, '[[room]]\npattern = "hall-*"\nmedia = "audio"\n');
  const named = await startServer(['--config', config]);
  try {
    for (const [room, devices] of [['hall-north', ['audio']], ['standup', ['audio', 'video']]] as const) {
      const { context, page, errors } = await arrive(browser, 'Ada');
      await watchDevices(page);
      await page.goto(`${named.url}/${room}`);
      await expect(screen(page)).toHaveAttribute('data-screen', 'prejoin');
      await expect(page.locator('[data-audio-only]')).toHaveCount(room === 'standup' ? 0 : 1);
      await expect.poll(async () => [...new Set(await wanted(page))].sort()).toEqual(devices);
      expect(errors).toEqual([]);
      await context.close();
    }
  } finally {
    await named.stop();
    await rm(folder, { recursive: true });
  }
});
