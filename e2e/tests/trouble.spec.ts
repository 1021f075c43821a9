// The network misbehaves: people see what is broken, and it mends itself.
import { test, expect, type Browser } from '@playwright/test';
import { mediaPort, progressing } from '../lib/media.ts';
import { everybodyMoves, join, tileOf, tiles, type Person } from '../lib/meeting.ts';
import { cutUdp, type Cut } from '../lib/network.ts';
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

test('media are lost for a moment and go on where they were', async ({ browser }) => {
  const people = await meet(browser, 'moment', ['Ada', 'Bo']);
  cut = cutUdp(server.mediaPort);
  for (const { page } of people) {
    await expect.poll(() => page.evaluate(() => window.__connections[0]?.connectionState)).toBe('disconnected');
  }
  cut.restore();
  await everybodyMoves(people);
  for (const person of people) {
    expect(await connections(person)).toBe(1);
    await part(person);
  }
});

test('media are lost for long and come back by themselves', async ({ browser }) => {
  test.setTimeout(240_000);
  const people = await meet(browser, 'cable', ['Ada', 'Bo', 'Chen']);
  const [ada, bo] = people as [Person, Person, Person];
  cut = cutUdp(server.mediaPort);

  await test.step('each is told that the connection is being repaired', async () => {
    for (const { page } of people) {
      await expect(page.locator('[data-reconnecting=media]')).toBeVisible({ timeout: 60_000 });
    }
    for (const { page } of people) {
      expect(await progressing(page, 'video')).toBe(0);
      expect(await progressing(page, 'audio')).toBe(0);
    }
  });

  await test.step('nobody is gone, and chat goes on', async () => {
    for (const { page } of people) await expect(tiles(page)).toHaveCount(2);
    await ada.page.locator('[data-action=chat]').click();
    await ada.page.locator('[data-chat-input]').fill('do you hear me?');
    await ada.page.locator('[data-chat-input]').press('Enter');
    await bo.page.locator('[data-action=chat]').click();
    await expect(bo.page.locator('[data-chat-message]').last()).toContainText('do you hear me?');
  });

  await test.step('the second try fails as the first one did', async () => {
    for (const person of people) await expect.poll(() => connections(person), { timeout: 60_000 }).toBe(3);
    for (const { page } of people) await expect(page.locator('[data-reconnecting=media]')).toBeVisible();
  });

  cut.restore();
  await test.step('the bar goes, and everybody sees and hears everybody', async () => {
    for (const { page } of people) {
      await expect(page.locator('[data-reconnecting]')).toHaveCount(0, { timeout: 60_000 });
    }
    await everybodyMoves(people);
  });
  for (const person of people) await part(person);
});

test('the way of one person dies, and another one is found', async ({ browser }) => {
  test.setTimeout(120_000);
  const people = await meet(browser, 'way', ['Ada', 'Bo']);
  const [ada, bo] = people as [Person, Person];
  // As when a router forgets: these two ports never reach each other again.
  cut = cutUdp(server.mediaPort, await mediaPort(ada.page));

  await test.step('she is told, and it is mended before the other has to be', async () => {
    await ada.page.locator('[data-reconnecting=media]').waitFor({ timeout: 30_000 });
    await expect(bo.page.locator('[data-reconnecting]')).toHaveCount(0);
  });

  await test.step('both see and hear each other again', async () => {
    await expect(ada.page.locator('[data-reconnecting]')).toHaveCount(0, { timeout: 30_000 });
    await everybodyMoves(people);
  });
  await expect(tileOf(bo.page, 'Ada')).not.toContainText('Connection lost');
  expect(await connections(bo)).toBe(1);
  for (const person of people) await part(person);
});

async function meet(browser: Browser, room: string, names: string[]): Promise<Person[]> {
  const people: Person[] = [];
  for (const name of names) people.push(await join(browser, server.url, room, name));
  await everybodyMoves(people);
  return people;
}

async function part({ name, context, errors }: Person): Promise<void> {
  expect(errors, `${name}'s console`).toEqual([]);
  await context.close();
}

/** How many peer connections a page has made. */
function connections({ page }: Person): Promise<number> {
  return page.evaluate(() => window.__connections.length);
}
