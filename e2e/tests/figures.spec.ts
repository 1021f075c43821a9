// The figures a deployment is judged by, measured as a person would: how long until one is in, and how long
// until one is back. Each is printed.
import { test, expect, type Browser, type Page } from '@playwright/test';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { mediaPort } from '../lib/media.ts';
import { everybodyMoves, expectMoving, inMeeting, join, type Person } from '../lib/meeting.ts';
import { cutNetwork, cutUdp, type Cut } from '../lib/network.ts';
import { startServer, type Server } from '../lib/server.ts';

let server: Server;
let cut: Cut | undefined;
test.beforeAll(async () => {
  server = await startServer();
});
test.afterEach(() => cut?.restore());
test.afterAll(async () => {
  await server.stop();
});

/** Milliseconds since it was made. */
function stopwatch(): () => number {
  const start = performance.now();
  return () => Math.round(performance.now() - start);
}

function tell(what: string, milliseconds: number, limit: number): void {
  console.log(`figure: ${what}: ${(milliseconds / 1000).toFixed(1)} s (limit ${limit} s)`);
  expect(milliseconds, what).toBeLessThan(limit * 1000);
}

for (const [line, kbps, latency] of [
  ['a wire', -1, 0],
  ['a slow mobile line (1.6 Mbit/s, 150 ms)', 1_600, 150],
] as const) {
  test(`a newcomer with an empty profile, over ${line}`, async ({ browser, playwright, launchOptions }) => {
    test.setTimeout(120_000);
    const ada = await join(browser, server.url, 'newcomer', 'Ada');
    const profile = await mkdtemp(path.join(tmpdir(), 'althing-profile-'));
    const context = await playwright.chromium.launchPersistentContext(profile, {
      ...launchOptions,
      permissions: ['camera', 'microphone'],
    });
    try {
      const page = context.pages()[0] ?? (await context.newPage());
      if (kbps > 0) {
        const devtools = await context.newCDPSession(page);
        await devtools.send('Network.enable');
        const throughput = (kbps * 1000) / 8;
        const conditions = { offline: false, latency, downloadThroughput: throughput, uploadThroughput: throughput };
        await devtools.send('Network.emulateNetworkConditions', conditions);
      }
      const since = stopwatch();
      await page.goto(`${server.url}/newcomer`);
      await page.locator('[data-field=name]').fill('Bo');
      await page.locator('[data-action=join]').first().click();
      await inMeeting(page);
      tell(`from the address to the meeting, over ${line}`, since(), 30);
      await expectMoving(page, 'Ada');
      tell(`from the address to Ada's picture, over ${line}`, since(), 30);
      await expectMoving(ada.page, 'Bo');
    } finally {
      await context.close();
      await rm(profile, { recursive: true, force: true });
      await ada.context.close();
    }
  });
}

test('the way of one person dies: back within ten seconds', async ({ browser }) => {
  test.setTimeout(120_000);
  const people = await meet(browser, 'path');
  const [ada] = people;
  const moves = movesAgain(ada, 'Bo');
  cut = cutUdp(server.mediaPort, await mediaPort(ada.page));
  const since = stopwatch();
  await moves;
  tell('from the loss of a path to the picture over another', since(), 10);
  await everybodyMoves(people);
  for (const { context } of people) await context.close();
});

// `script/test --all` runs every length.
for (const seconds of process.env.SLOW_TESTS ? [4, 10, 20, 40] : [4, 10]) {
  test(`the network is away for ${seconds} seconds: back within ten`, async ({ browser }) => {
    test.setTimeout(180_000);
    const people = await meet(browser, `away${seconds}`);
    const [ada, bo] = people;
    const moves = [movesAgain(ada, 'Bo'), movesAgain(bo, 'Ada')];
    cut = cutNetwork(server);
    // The length of the break is what this is about.
    await ada.page.waitForTimeout(seconds * 1000);
    cut.restore();
    const since = stopwatch();
    await Promise.all(moves);
    tell(`from the return of the network, after ${seconds} s, to the picture`, since(), 10);
    await everybodyMoves(people);
    for (const { page } of people) await expect(page.locator('[data-reconnecting]')).toHaveCount(0);
    for (const { context } of people) await context.close();
  });
}

async function meet(browser: Browser, room: string): Promise<[Person, Person]> {
  const people: [Person, Person] = [
    await join(browser, server.url, room, 'Ada'),
    await join(browser, server.url, room, 'Bo'),
  ];
  await everybodyMoves(people);
  return people;
}

/** Resolves when somebody's picture has stood still for a second and then moves again, in whichever tile. */
async function movesAgain({ page }: Person, name: string): Promise<void> {
  await page.evaluate(
    (name) =>
      new Promise<void>((resolve) => {
        let shown = -1;
        let movedAt = performance.now();
        let stood = false;
        let moves = 0;
        const timer = setInterval(() => {
          const tiles = [...document.querySelectorAll('[data-tile][data-kind=camera]:not([data-self])')];
          const video = tiles.find(({ textContent }) => textContent?.includes(name))?.querySelector('video');
          const now = video?.getVideoPlaybackQuality().totalVideoFrames ?? shown;
          const at = performance.now();
          if (now !== shown) {
            shown = now;
            movedAt = at;
            // Another picture in the same place is one change, and none yet.
            if (!stood || ++moves < 3) return;
            clearInterval(timer);
            resolve();
          } else if (at - movedAt > 1_000) stood = true;
        }, 50);
      }),
    name,
  );
}
