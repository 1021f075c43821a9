// Two people in Debian's Firefox ESR: VP8 and Opus, and a screen share.
import { test, expect } from '@playwright/test';
import type { Page } from '@playwright/test';
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
  await test.step('cameras go in three sizes', async () => {
    for (const { page } of [ada, bo]) await expect.poll(() => sentSizes(page), { timeout: 30_000 }).toEqual([180, 360, 720]);
    // As the bridge sees them: each encoding has a height of its own.
    await expect.poll(() => layers(server), { timeout: 30_000 }).toEqual([3, 3]);
  });

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

/** The heights a page makes pictures in, ascending. */
function sentSizes(page: Page): Promise<number[]> {
  return page.evaluate(async () => {
    const reports = [...((await window.__connections.at(-1)?.getStats())?.values() ?? [])];
    const video = reports.filter(({ type, kind, frameHeight }) => type === 'outbound-rtp' && kind === 'video' && frameHeight > 0);
    return video.map(({ frameHeight }) => frameHeight as number).toSorted((a, b) => a - b);
  });
}

interface Debugged {
  readonly endpoints: Record<string, { media: { sources: { video_type?: string; layers?: { id: string; height: number; active: boolean }[] }[] } }>;
}

/** How many encodings of each camera come, of different heights. */
async function layers({ admin }: Server): Promise<number[]> {
  const [first] = (await (await fetch(`${admin}/debug`)).json()) as { conference: string }[];
  const { endpoints } = (await (await fetch(`${admin}/debug/${first?.conference}`)).json()) as Debugged;
  return Object.values(endpoints).map(({ media }) => {
    const active = media.sources.flatMap((source) => source.layers ?? []).filter((layer) => layer.active);
    return new Set(active.map(({ height }) => height)).size;
  });
}
