// A camera in several sizes: who looks at it large gets a large picture, who looks at it small a small one, and
// going from one to the other is not seen.
import { test, expect, type Locator, type Page } from '@playwright/test';
import { everybodyMoves, join, tileOf, type Person } from '../lib/meeting.ts';
import { startServer, type Server } from '../lib/server.ts';

let server: Server;
test.beforeAll(async () => {
  server = await startServer();
});
test.afterAll(async () => {
  await server.stop();
});

test('one looks large, two look small: heights differ, and no picture stands still on a switch', async ({ browser }) => {
  test.setTimeout(180_000);
  const [ada, bo, chen] = [
    await join(browser, server.url, 'sizes', 'Ada'),
    await join(browser, server.url, 'sizes', 'Bo'),
    await join(browser, server.url, 'sizes', 'Chen'),
  ];
  await everybodyMoves([ada, bo, chen]);
  await test.step('beside each other nobody needs more than 360 lines, and no more are sent', async () => {
    await expect.poll(() => sentHeights(chen.page), { timeout: 30_000 }).toEqual([180, 360]);
  });

  // Ada looks at Chen; Bo and Chen look at Ada, and see Chen, and Bo, beside her.
  await pin(ada, 'Chen');
  await pin(bo, 'Ada');
  await pin(chen, 'Ada');
  await test.step('each gets the size that is looked at', async () => {
    await expect.poll(() => height(ada, 'Chen'), { timeout: 30_000 }).toBe(720);
    await expect.poll(() => height(ada, 'Bo'), { timeout: 30_000 }).toBe(180);
    await expect.poll(() => height(bo, 'Chen'), { timeout: 30_000 }).toBe(180);
    await expect.poll(() => height(bo, 'Ada'), { timeout: 30_000 }).toBe(720);
    expect(await sentHeights(chen.page)).toEqual([180, 360, 720]);
  });

  await test.step('up and down again without standing still', async () => {
    const gap = watchGaps(bo.page, 'Chen');
    await pin(bo, 'Chen');
    await expect.poll(() => height(bo, 'Chen'), { timeout: 30_000 }).toBe(720);
    await pin(bo, 'Ada');
    await expect.poll(() => height(bo, 'Chen'), { timeout: 30_000 }).toBe(180);
    const longest = await gap();
    console.log(`longest gap between two frames over two switches: ${longest} ms`);
    expect(longest).toBeLessThan(1_000);
  });

  await test.step('what nobody looks at large is not sent large', async () => {
    await pin(ada, 'Bo');
    await expect.poll(() => sentHeights(chen.page), { timeout: 30_000 }).not.toContain(720);
  });
  for (const { context, errors } of [ada, bo, chen]) {
    expect(errors).toEqual([]);
    await context.close();
  }
});

/** Puts somebody on the stage, alone: whoever was there stands beside it. */
async function pin({ page }: Person, name: string): Promise<void> {
  const press = async (tile: Locator) => {
    await tile.hover();
    await tile.locator('[data-action=pin]').click();
  };
  await press(tileOf(page, name));
  await expect(tileOf(page, name)).toHaveAttribute('data-pinned', '');
  const others = page.locator('[data-tile][data-kind=camera][data-pinned]').filter({ hasNotText: name });
  if ((await others.count()) > 0) await press(others.first());
  await expect(page.locator('[data-tile][data-pinned]')).toHaveCount(1);
}

/** The height of somebody's picture as it arrives. */
function height({ page }: Person, name: string): Promise<number> {
  return tileOf(page, name)
    .locator('video')
    .evaluate((video: HTMLVideoElement) => video.videoHeight);
}

/** The heights a page sends its camera in just now, ascending. */
async function sentHeights(page: Page): Promise<number[]> {
  const frames = () =>
    page.evaluate(async () => {
      const stats = await window.__connections.at(-1)?.getStats();
      return [...(stats?.values() ?? [])]
        .filter((report) => report.type === 'outbound-rtp' && report.kind === 'video')
        .map((report) => ({ ssrc: report.ssrc as number, height: (report.frameHeight ?? 0) as number, sent: (report.framesSent ?? 0) as number }));
    });
  const before = await frames();
  await page.waitForTimeout(1_000);
  const after = await frames();
  const sends = after.filter(({ ssrc, sent }) => sent > (before.find((one) => one.ssrc === ssrc)?.sent ?? 0));
  return sends.map((one) => one.height).toSorted((a, b) => a - b);
}

/** Counts until it is asked: the longest time between two frames of somebody, in milliseconds. */
function watchGaps(page: Page, name: string): () => Promise<number> {
  const watching = page.evaluate((name) => {
    const state = { longest: 0, last: performance.now(), frames: -1 };
    Object.assign(window, { __gaps: state });
    const look = () => {
      const tiles = [...document.querySelectorAll('[data-tile][data-kind=camera]:not([data-self])')];
      const video = tiles.find(({ textContent }) => textContent?.includes(name))?.querySelector('video');
      const frames = video?.getVideoPlaybackQuality().totalVideoFrames ?? state.frames;
      const now = performance.now();
      if (frames !== state.frames) {
        state.frames = frames;
        state.last = now;
      }
      state.longest = Math.max(state.longest, now - state.last);
    };
    setInterval(look, 20);
  }, name);
  return async () => {
    await watching;
    return page.evaluate(() => Math.round((window as unknown as { __gaps: { longest: number } }).__gaps.longest));
  };
}
