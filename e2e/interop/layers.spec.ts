// What a stock client gets of what others send: sizes, the last N, who speaks, a shared screen. Each with SSRC
// rewriting and without.
import { test, expect, type Browser } from '@playwright/test';
import { startServer, type Server } from '../lib/server.ts';
import { expectProgress } from '../lib/media.ts';
import { call, gather, goHome, id, silent } from './rooms.ts';
import type { Stock } from './stock.ts';

let server: Server;
test.beforeAll(async () => {
  server = await startServer();
});
test.afterAll(async () => {
  await server.stop();
});

const vp8 = { videoQuality: { codecPreferenceOrder: ['VP8'] } };
const camera = { devices: ['video'], resolution: 720 };
const microphone = { devices: ['audio'] };

for (const [mode, ssrcRewritingEnabled] of [['ssrc rewriting', true], ['json sources', false]] as const) {
  const flags = { ssrcRewritingEnabled };
  const room = (name: string) => `layers-${name}-${ssrcRewritingEnabled ? 'slots' : 'plain'}`;
  const meet = async (browser: Browser, name: string, people: Record<string, object>): Promise<Stock[]> => {
    const all = Object.entries(people).map(([who, options]) => [who, { flags, ...options }]);
    const there = await gather(browser, server.url, room(name), Object.fromEntries(all));
    for (const person of there) await person.until('bridge channel', (state) => state.channelOpen);
    return there;
  };

  for (const [codec, config] of [['VP8', vp8], ['its own choice of codec', {}]] as const) {
    test(`sizes as they are asked for, in ${codec} (${mode})`, async ({ browser }) => {
      test.setTimeout(150_000);
      const [ada, bo, chen] = (await meet(browser, codec === 'VP8' ? 'sizes' : 'codec', {
        Ada: { ...camera, config },
        Bo: { ...silent, config },
        Chen: { ...silent, config },
      })) as [Stock, Stock, Stock];
      const source = `${await id(ada)}-v0`;
      const ask = (stock: Stock, maxHeight: number) =>
        call(stock, 'setReceiverConstraints', { lastN: -1, defaultConstraints: { maxHeight: 180 }, constraints: { [source]: { maxHeight } } });
      await ask(chen, 180);
      for (const maxHeight of [720, 180, 720]) {
        await ask(bo, maxHeight);
        await expect.poll(async () => (await heights(bo))[source], { timeout: 40_000, message: `${maxHeight} lines` }).toBe(maxHeight);
        await expectProgress(bo.page, 'video', 1);
        expect((await heights(chen))[source], 'lines for who asked for few').toBe(180);
      }
      // What the library prefers is one encoding in layers.
      expect(await sentAs(ada)).toContain(codec === 'VP8' ? 'video/VP8' : 'video/AV1');
      await goHome(ada, bo, chen);
    });
  }

  test(`the last one only, then all, then none (${mode})`, async ({ browser }) => {
    test.setTimeout(120_000);
    const [ada, bo, chen] = (await meet(browser, 'last-n', {
      Ada: { devices: ['video'], config: vp8 },
      Bo: { devices: ['video'], config: vp8 },
      Chen: { ...silent, config: vp8 },
    })) as [Stock, Stock, Stock];
    await expectProgress(chen.page, 'video', 2);
    const ask = (lastN: number, ...stage: string[]) =>
      call(chen, 'setReceiverConstraints', { lastN, onStageSources: stage, defaultConstraints: { maxHeight: 180 }, constraints: {} });
    const sources = [`${await id(ada)}-v0`, `${await id(bo)}-v0`];
    for (const source of sources) {
      await ask(1, source);
      await expectProgress(chen.page, 'video', 1);
      await expect.poll(() => playing(chen), { timeout: 20_000, message: 'whose picture moves' }).toEqual([source]);
    }
    await ask(-1);
    await expectProgress(chen.page, 'video', 2);
    await ask(0);
    await expectProgress(chen.page, 'video', 0);
    await goHome(ada, bo, chen);
  });

  test(`who speaks is told, and told again when another does (${mode})`, async ({ browser }) => {
    test.setTimeout(120_000);
    const [ada, bo, chen] = (await meet(browser, 'speaker', { Ada: microphone, Bo: microphone, Chen: silent })) as [Stock, Stock, Stock];
    const mute = (stock: Stock, how: 'mute' | 'unmute') => stock.page.evaluate((how) => (window as any).interop.track('audio')[how](), how);
    for (const [speaker, other] of [[ada, bo], [bo, ada], [ada, bo]] as const) {
      await mute(other, 'mute');
      await mute(speaker, 'unmute');
      const who = await id(speaker);
      for (const person of [ada, bo, chen]) await person.until(`${speaker.name} speaks`, (state) => state.dominant === who);
      await expectProgress(chen.page, 'audio', 1);
    }
    await goHome(ada, bo, chen);
  });

  test(`a screen beside the camera, and gone again (${mode})`, async ({ browser }) => {
    test.setTimeout(120_000);
    const [ada, bo] = (await meet(browser, 'screen', { Ada: { devices: ['video'] }, Bo: silent })) as [Stock, Stock];
    await call(bo, 'setReceiverConstraints', { lastN: -1, defaultConstraints: { maxHeight: 2160 }, constraints: {} });
    await expectProgress(bo.page, 'video', 1);
    await ada.page.evaluate(async () => {
      const { interop, JitsiMeetJS } = window as any;
      const shared = await JitsiMeetJS.createLocalTracks({ devices: ['desktop'] });
      interop.screen = shared.find((track: any) => track.getType() === 'video');
      await interop.conference.addTrack(interop.screen);
    });
    await expectProgress(bo.page, 'video', 2);
    const screen = `${await id(ada)}-v1`;
    const captured = await ada.page.evaluate(() => (window as any).interop.screen.getTrack().getSettings().height as number);
    await expect.poll(async () => (await heights(bo))[screen], { timeout: 20_000, message: 'as it was captured' }).toBe(captured);
    await ada.page.evaluate(async () => {
      const { interop } = window as any;
      await interop.conference.removeTrack(interop.screen);
    });
    await expectProgress(bo.page, 'video', 1);
    await goHome(ada, bo);
  });
}

/** The height in which each source is shown. */
function heights(stock: Stock): Promise<Record<string, number>> {
  return stock.page.evaluate(() => (window as any).interop.heights());
}

/** Sources of which the picture moves. */
function playing(stock: Stock): Promise<string[]> {
  return stock.page.evaluate(async () => {
    const { remote } = (window as any).interop;
    const videos = remote.filter(({ track }: any) => track.getType() === 'video');
    const frames = () => videos.map(({ element }: any) => element.getVideoPlaybackQuality().totalVideoFrames as number);
    const before = frames();
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    return frames().flatMap((now: number, index: number) => (now > before[index] ? [videos[index].track.getSourceName() as string] : []));
  });
}

/** Codec and layers of what somebody's camera goes out in. */
function sentAs(stock: Stock): Promise<string> {
  return stock.page.evaluate(async () => {
    const stats = await window.__connections.at(-1)?.getStats();
    const reports = [...(stats?.values() ?? [])];
    const sending = reports.filter((report) => report.type === 'outbound-rtp' && report.kind === 'video' && report.framesSent > 0);
    const codec = reports.find((report) => report.id === sending.at(-1)?.codecId)?.mimeType as string | undefined;
    return `${codec} ${sending.map((report) => `${report.frameHeight} ${report.scalabilityMode ?? ''}`).join(', ')}`;
  });
}
