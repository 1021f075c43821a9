// The picture of one person as another sees it: how large, and whether it ever stands still.
import { expect, type Locator, type Page } from '@playwright/test';
import { tileOf, type Person } from './meeting.ts';

/** Puts somebody on the stage, alone: whoever was there stands beside it. */
export async function pin({ page }: Person, name: string): Promise<void> {
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
export function height({ page }: Person, name: string): Promise<number> {
  return tileOf(page, name)
    .locator('video')
    .evaluate((video: HTMLVideoElement) => video.videoHeight);
}

/** The heights a page sends its camera in just now, ascending. */
export async function sentHeights(page: Page): Promise<number[]> {
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
export function watchGaps(page: Page, name: string): () => Promise<number> {
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
