// Stock lib-jitsi-meet against our server. Later issues add rows.
import { test, expect } from '@playwright/test';
import { startServer, type Server } from '../lib/server.ts';
import { expectProgress } from '../lib/media.ts';
import { join, expectMoving } from '../lib/meeting.ts';
import { endpointCounters } from '../lib/counters.ts';
import { Stock } from './stock.ts';

let server: Server;
test.beforeAll(async () => {
  server = await startServer();
});
test.afterAll(async () => {
  await server.stop();
});

async function three(browser: import('@playwright/test').Browser, room: string, options: object): Promise<Stock[]> {
  const people: Stock[] = [];
  for (const name of ['Ada', 'Bo', 'Chen']) people.push(await Stock.join(browser, server.url, room, name, options));
  return people;
}

for (const [mode, options] of [
  ['ssrc rewriting', { flags: { ssrcRewritingEnabled: true } }],
  ['json sources', { flags: { ssrcRewritingEnabled: false } }],
] as const) {
  test(`three occupants hear and see each other (${mode})`, async ({ browser }) => {
    const people = await three(browser, `stock-${mode.replace(' ', '-')}`, options);
    for (const person of people) {
      await person.until('two others', (s) => Object.keys(s.participants).length === 2);
      await person.until('bridge channel', (s) => s.channelOpen);
      await person.until('four remote tracks', (s) => s.remoteTracks.length >= 4);
    }
    for (const person of people) {
      await expectProgress(person.page, 'video', 2);
      await expectProgress(person.page, 'audio', 2);
    }
    const before = await endpointCounters(server);
    await people[0]!.page.waitForTimeout(1_000);
    const after = await endpointCounters(server);
    expect(after.length).toBeGreaterThanOrEqual(3);
    for (const endpoint of after) {
      const earlier = before.find((e) => e.id === endpoint.id);
      expect(endpoint.in).toBeGreaterThan(earlier?.in ?? 0);
      expect(endpoint.out).toBeGreaterThan(earlier?.out ?? 0);
    }
    for (const person of people) await person.page.context().close();
  });
}

test('mute, chat and leave reach the others', async ({ browser }) => {
  const ada = await Stock.join(browser, server.url, 'stock-talk', 'Ada');
  const bo = await Stock.join(browser, server.url, 'stock-talk', 'Bo');
  await ada.until('moderator', (s) => s.role === 'moderator');
  await bo.until('tracks', (s) => s.remoteTracks.length >= 2);
  await ada.page.evaluate(() => (window as any).interop.track('audio').mute());
  await bo.until('mute', (s) => Object.values(s.muted).some(Boolean));
  await ada.page.evaluate(() => (window as any).interop.conference.sendTextMessage('hello'));
  await bo.until('chat', (s) => s.messages.some((m) => m.text === 'hello'));
  const adaId = (await ada.state()).id!;
  await ada.page.evaluate(() => (window as any).interop.leave());
  await bo.until('leave', (s) => s.left.includes(adaId));
  await ada.page.context().close();
  await bo.page.context().close();
});

test('a late joiner sees those who were there, and a leaver makes room', async ({ browser }) => {
  const ada = await Stock.join(browser, server.url, 'stock-late', 'Ada');
  const bo = await Stock.join(browser, server.url, 'stock-late', 'Bo');
  await bo.until('tracks', (s) => s.remoteTracks.length >= 2);
  const chen = await Stock.join(browser, server.url, 'stock-late', 'Chen');
  await chen.until('tracks', (s) => s.remoteTracks.length >= 4);
  await expectProgress(chen.page, 'video', 2);
  await bo.page.context().close();
  await chen.until('leave', (s) => s.left.length === 1);
  await expectProgress(chen.page, 'video', 1);
  await ada.page.context().close();
  await chen.page.context().close();
});

test('a stock client and our web client share a room', async ({ browser }) => {
  const ours = await join(browser, server.url, 'stock-ours', 'Ours');
  const stock = await Stock.join(browser, server.url, 'stock-ours', 'Stock');
  await stock.until('tracks', (s) => s.remoteTracks.length >= 2);
  await expectProgress(stock.page, 'video', 1);
  await expectProgress(stock.page, 'audio', 1);
  await expectMoving(ours.page, 'Stock');
  await expectProgress(ours.page, 'audio', 1);
  await stock.page.context().close();
  await ours.context.close();
});
