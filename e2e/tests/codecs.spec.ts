// Cameras in every codec that this Chromium encodes: who looks at one large gets a large picture, going from one
// size to another is not seen, and the picture keeps its shape. Each figure is printed.
import { test, expect, type Browser, type LaunchOptions } from '@playwright/test';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { busyDevices } from '../lib/devices.ts';
import { received, since } from '../lib/media.ts';
import { expectMoving, join, tileOf, type Person } from '../lib/meeting.ts';
import { height, pin, watchGaps } from '../lib/picture.ts';
import { startServer, type Server } from '../lib/server.ts';

let server: Server;
let folder: string;
let near: Browser;
test.beforeAll(async ({ playwright, launchOptions }) => {
  server = await startServer();
  folder = await mkdtemp(path.join(tmpdir(), 'althing-devices-'));
  const { args = [], ...options } = launchOptions as LaunchOptions;
  // Slow enough for a browser that encodes three layers of VP9 beside everything else: one that cannot keep up sends
  // smaller pictures of its own accord.
  near = await playwright.chromium.launch({ ...options, args: [...args, ...(await busyDevices(folder, 8))] });
});
test.afterAll(async () => {
  await near.close();
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

for (const codec of ['VP8', 'VP9', 'AV1', 'H264']) {
  test(`${codec}: sizes as they are looked at, and no picture stands still or changes its shape on a switch`, async () => {
    test.setTimeout(120_000);
    const wish = `#config.videoQuality.codecPreferenceOrder=${encodeURIComponent(JSON.stringify([codec]))}`;
    const off = '#config.startWithVideoMuted=true&config.startWithAudioMuted=true';
    const ada = await join(near, server.url, `codec-${codec}`, 'Ada', wish);
    expect(await encodes(ada, codec), `this Chromium encodes ${codec}`).toBe(true);
    // Two look on: one of them always small, so that both sizes are sent.
    const bo = await join(near, server.url, `codec-${codec}`, 'Bo', off);
    const chen = await join(near, server.url, `codec-${codec}`, 'Chen', off);
    for (const { page } of [bo, chen]) await expectMoving(page, 'Ada');
    await pin(chen, 'Bo');
    await pin(bo, 'Ada');
    await expect.poll(() => height(bo, 'Ada'), { timeout: 40_000 }).toBe(720);
    await expect.poll(() => height(chen, 'Ada'), { timeout: 30_000 }).toBeLessThanOrEqual(180);

    const before = await received(bo.page);
    const [gap, shapes] = [watchGaps(bo.page, 'Ada'), watchShapes(bo)];
    const heights: number[] = [];
    for (const [who, expected] of [['Chen', 180], ['Ada', 720], ['Chen', 180], ['Ada', 720]] as const) {
      await pin(bo, who);
      await expect.poll(() => height(bo, 'Ada'), { timeout: 30_000 }).toBe(expected);
      heights.push(await height(bo, 'Ada'));
    }
    const [longest, seen] = [await gap(), await shapes()];
    const { video } = since(before, await received(bo.page));
    const sent = await sentCodec(ada);
    console.log(`figure: ${codec}: ${heights.join(', ')} lines; longest gap ${longest} ms, standing still ${video.frozenSeconds.toFixed(2)} s in ${video.freezes}, keyframes ${video.keyframes}; seen ${seen.join(' ')}; sent as ${sent}`);
    expect(sent).toEqual(`video/${codec}`);
    expect(longest, 'the longest time between two frames, in ms').toBeLessThan(1_500);
    for (const shape of seen) {
      const [width, lines] = shape.split('x').map(Number);
      expect(Math.abs(width! / lines! - 16 / 9), shape).toBeLessThan(0.02);
    }
    for (const { context, errors } of [ada, bo, chen]) {
      expect(errors).toEqual([]);
      await context.close();
    }
  });
}

function encodes({ page }: Person, codec: string): Promise<boolean> {
  return page.evaluate(
    (type) => RTCRtpSender.getCapabilities('video')?.codecs.some(({ mimeType }) => mimeType === type) ?? false,
    `video/${codec}`,
  );
}

/** What somebody's camera goes out in, by the browser's own account. */
function sentCodec({ page }: Person): Promise<string | undefined> {
  return page.evaluate(async () => {
    const stats = await window.__connections.at(-1)?.getStats();
    const reports = [...(stats?.values() ?? [])];
    const sending = reports.filter((report) => report.type === 'outbound-rtp' && report.kind === 'video' && report.framesSent > 0);
    return reports.find((report) => report.id === sending.at(-1)?.codecId)?.mimeType as string | undefined;
  });
}

/** Counts until it is asked: every size in which Ada's picture was shown. */
function watchShapes({ page }: Person): () => Promise<string[]> {
  const watching = tileOf(page, 'Ada')
    .locator('video')
    .evaluate(() => {
      const shapes = new Set<string>();
      Object.assign(window, { __shapes: shapes });
      const look = () => {
        const tiles = [...document.querySelectorAll('[data-tile][data-kind=camera]:not([data-self])')];
        const video = tiles.find(({ textContent }) => textContent?.includes('Ada'))?.querySelector('video');
        if (video && video.videoWidth > 0) shapes.add(`${video.videoWidth}x${video.videoHeight}`);
      };
      setInterval(look, 20);
    });
  return async () => {
    await watching;
    return page.evaluate(() => [...(window as unknown as { __shapes: Set<string> }).__shapes]);
  };
}
