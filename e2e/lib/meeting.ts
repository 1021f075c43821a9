// Our web client, driven through what a person sees.
import { expect, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from '@playwright/test';
import { expectProgress, watchConnections } from './media.ts';

export interface Person {
  name: string;
  context: BrowserContext;
  page: Page;
  errors: string[];
}

/** Opens a room, gives a name, joins, and waits for the meeting screen. */
export async function join(browser: Browser, url: string, room: string, name: string, hash = ''): Promise<Person> {
  const person = await knock(browser, url, room, name, hash);
  await inMeeting(person.page);
  return person;
}

/** As `join`, but whatever comes then. */
export async function knock(browser: Browser, url: string, room: string, name: string, hash = ''): Promise<Person> {
  const person = await arrive(browser, name);
  const { page } = person;
  await page.goto(`${url}/${room}${hash}`);
  await expect(screen(page)).toHaveAttribute('data-screen', 'prejoin');
  await page.locator('[data-field=name]').fill(name);
  await page.locator('[data-action=join]').first().click();
  return person;
}

/** A browser window of somebody's own, with nothing in it yet. */
export async function arrive(browser: Browser, name: string, options: BrowserContextOptions = {}): Promise<Person> {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, ...options });
  await watchConnections(context);
  const page = await context.newPage();
  const errors: string[] = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text());
  });
  return { name, context, page, errors };
}

export const screen = (page: Page) => page.locator('main[data-screen]');

export async function inMeeting(page: Page): Promise<void> {
  await expect(screen(page)).toHaveAttribute('data-screen', 'meeting', { timeout: 20_000 });
}

/** Opens the list of people, if it is not open. */
export async function openPeople(page: Page): Promise<void> {
  if ((await page.locator('#people-title').count()) === 0) await page.locator('[data-action=people]').click();
  await expect(page.locator('#people-title')).toBeVisible();
}

/** Chooses something from the menu of one person in the list. */
export async function command(page: Page, name: string, action: string): Promise<void> {
  await openPeople(page);
  await page.locator('[data-person]', { hasText: name }).locator('[data-action=person-menu]').click();
  await page.locator(`[role=menu] [data-action=menu-${action}]`).click();
}

/** The camera tiles of the other people. */
export const tiles = (page: Page) => page.locator('[data-tile][data-kind=camera]:not([data-self])');

/** The tile of one other person, found by the name on it. */
export const tileOf = (page: Page, name: string, kind: 'camera' | 'screen' = 'camera') =>
  page.locator(`[data-tile][data-kind=${kind}]`, { hasText: name }).first();

/** Waits until the picture in a tile really moves. */
export async function expectMoving(page: Page, name: string, kind: 'camera' | 'screen' = 'camera'): Promise<void> {
  const video = tileOf(page, name, kind).locator('video');
  await expect(video).toBeVisible();
  // Counted as they are shown: the quality counters of Firefox stay at zero for live pictures.
  const moves = () =>
    video.evaluate(
      (element: HTMLVideoElement) =>
        new Promise<boolean>((resolve) => {
          let shown = 0;
          const timer = setTimeout(() => resolve(false), 3_000);
          const next = () => {
            if (++shown < 4) element.requestVideoFrameCallback(next);
            else {
              clearTimeout(timer);
              resolve(true);
            }
          };
          element.requestVideoFrameCallback(next);
        }),
    );
  await expect.poll(moves, { message: `${name}'s ${kind} moves` }).toBe(true);
}

/** Waits until everybody sees and hears everybody else. */
export async function everybodyMoves(people: Person[]): Promise<void> {
  const sees = async ({ page }: Person, others: Person[]) => {
    await expect(tiles(page)).toHaveCount(others.length);
    for (const other of others) await expectMoving(page, other.name);
    await expectProgress(page, 'video', others.length);
    await expectProgress(page, 'audio', others.length);
  };
  await Promise.all(people.map((person) => sees(person, people.filter((other) => other !== person))));
}
