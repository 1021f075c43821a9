// At the door of a room: a password, a lobby, a room that is full, a host who is not there.
import { test, expect, type Page } from '@playwright/test';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { accessible } from '../lib/accessible.ts';
import { hostToken, startWithHosts } from '../lib/hosts.ts';
import { expectMoving, inMeeting, join, knock, openPeople, screen, tileOf, tiles } from '../lib/meeting.ts';
import { startServer, type Server } from '../lib/server.ts';

let server: Server;
test.beforeAll(async () => {
  server = await startServer();
});
test.afterAll(async () => {
  await server.stop();
});

const host = (page: Page) => page.locator('[data-host]');

async function openHost(page: Page): Promise<void> {
  await page.locator('[data-action=host]').click();
  await expect(host(page)).toBeVisible();
}

async function closeHost(page: Page): Promise<void> {
  await page.keyboard.press('Escape');
  await expect(host(page)).toHaveCount(0);
}

test('a password is set, asked for, refused when wrong, and opens', async ({ browser }) => {
  const ada = await join(browser, server.url, 'locked', 'Ada');
  await openHost(ada.page);
  await ada.page.locator('[data-field=room-password]').fill('sesame');
  await ada.page.locator('[data-action=lock]').click();
  await expect(host(ada.page).locator('[data-locked]')).toBeVisible();
  await accessible(ada.page, 'host controls');
  await closeHost(ada.page);
  await expect(ada.page.locator('header [data-locked]')).toBeVisible();

  const bo = await knock(browser, server.url, 'locked', 'Bo');
  await expect(screen(bo.page)).toHaveAttribute('data-screen', 'password');
  await accessible(bo.page, 'password');
  await bo.page.locator('[data-field=password]').fill('wrong');
  await bo.page.keyboard.press('Enter');
  await expect(bo.page.getByRole('alert')).toHaveText('Wrong password');
  await bo.page.locator('[data-field=password]').fill('sesame');
  await bo.page.keyboard.press('Enter');
  await inMeeting(bo.page);
  await expectMoving(bo.page, 'Ada');
  await expect(bo.page.locator('header [data-locked]')).toBeVisible();

  await test.step('taken away again, anybody comes in; nobody inside noticed', async () => {
    await openHost(ada.page);
    await ada.page.locator('[data-action=unlock]').click();
    await expect(ada.page.locator('[data-field=room-password]')).toBeVisible();
    await closeHost(ada.page);
    await expect(bo.page.locator('header [data-locked]')).toHaveCount(0);
    const chen = await join(browser, server.url, 'locked', 'Chen');
    await expect(tiles(ada.page)).toHaveCount(2);
    await chen.context.close();
  });
  for (const person of [ada, bo]) {
    expect(person.errors, `${person.name}'s console`).toEqual([]);
    await person.context.close();
  }
});

test('a lobby: asked, let in, refused, all at once, and switched off', async ({ browser }) => {
  test.setTimeout(180_000);
  const ada = await join(browser, server.url, 'lobby', 'Ada');
  await openHost(ada.page);
  await ada.page.locator('[data-field=lobby]').check();
  await closeHost(ada.page);
  await expect(ada.page.locator('header [data-lobby-on]')).toBeVisible();

  await test.step('one knocks and is let in', async () => {
    const bo = await knock(browser, server.url, 'lobby', 'Bo');
    await expect(screen(bo.page)).toHaveAttribute('data-screen', 'lobby');
    await accessible(bo.page, 'lobby');
    const notice = ada.page.locator('[data-notice=knock]');
    await expect(notice).toContainText('Bo wants to join.');
    await expect(ada.page.locator('[data-announcer=polite]')).toContainText('Bo wants to join.');
    await notice.getByRole('button', { name: 'Admit', exact: true }).click();
    await inMeeting(bo.page);
    await expect(bo.page.locator('[data-announcer=assertive]')).toContainText('You were let in');
    await expect(notice).toHaveCount(0);
    await expectMoving(ada.page, 'Bo');
    await bo.context.close();
    await expect(tiles(ada.page)).toHaveCount(0);
  });

  await test.step('one is refused, and may ask again only later', async () => {
    const mallory = await knock(browser, server.url, 'lobby', 'Mallory');
    await ada.page.locator('[data-notice=knock]').getByRole('button', { name: 'Deny' }).click();
    await expect(mallory.page.getByRole('heading', { level: 1 })).toHaveText('You were not let in');
    await expect(mallory.page.locator('[data-action=ask-again]')).toBeDisabled();
    await expect(ada.page.locator('[data-notice=knock]')).toHaveCount(0);
    await mallory.context.close();
  });

  await test.step('one thinks better of it', async () => {
    const eli = await knock(browser, server.url, 'lobby', 'Eli');
    await expect(ada.page.locator('[data-notice=knock]')).toBeVisible();
    await eli.page.locator('[data-action=cancel]').click();
    await expect(screen(eli.page)).toHaveAttribute('data-screen', 'prejoin');
    await expect(ada.page.locator('[data-notice=knock]')).toHaveCount(0);
    await eli.context.close();
  });

  await test.step('three at once, from the list', async () => {
    const three = [];
    for (const name of ['Xia', 'Yan', 'Zed']) three.push(await knock(browser, server.url, 'lobby', name));
    await expect(ada.page.locator('[data-notice=knock]')).toContainText('3 people want to join.');
    await openPeople(ada.page);
    await expect(ada.page.locator('[data-knocker]')).toHaveCount(3);
    await accessible(ada.page, 'people');
    await ada.page.locator('[data-action=admit-all]').click();
    for (const { page } of three) await inMeeting(page);
    await expect(ada.page.locator('[data-knocker]')).toHaveCount(0);
    for (const { context } of three) await context.close();
  });

  await test.step('switched off, whoever waits comes in', async () => {
    const dee = await knock(browser, server.url, 'lobby', 'Dee');
    await expect(screen(dee.page)).toHaveAttribute('data-screen', 'lobby');
    await openHost(ada.page);
    await ada.page.locator('[data-field=lobby]').uncheck();
    await inMeeting(dee.page);
    await dee.context.close();
  });
  expect(ada.errors).toEqual([]);
  await ada.context.close();
});

test('a full room says so, tries by itself, and lets in when somebody leaves', async ({ browser }) => {
  const small = await startServer(['--rooms-max-occupants', '2']);
  try {
    const ada = await join(browser, small.url, 'full', 'Ada');
    const bo = await join(browser, small.url, 'full', 'Bo');
    const chen = await knock(browser, small.url, 'full', 'Chen');
    await expect(screen(chen.page)).toHaveAttribute('data-screen', 'full');
    await expect(chen.page.locator('[data-countdown]')).toContainText('Trying again in');
    await accessible(chen.page, 'full');
    await bo.page.locator('[data-action=leave]').click();
    await expect(tiles(ada.page)).toHaveCount(0);
    await expect(screen(chen.page)).toHaveAttribute('data-screen', 'meeting', { timeout: 30_000 });
    for (const { context } of [ada, bo, chen]) await context.close();
  } finally {
    await small.stop();
  }
});

test('a guest waits for the host, and comes in without a click', async ({ browser }) => {
  const guarded = await startWithHosts();
  try {
    const guest = await knock(browser, guarded.url, 'hosted', 'Guest');
    await expect(screen(guest.page)).toHaveAttribute('data-screen', 'waithost');
    await accessible(guest.page, 'waiting for the host');

    const token = hostToken('hosted', 'Dr. Host');
    const page = await (await browser.newContext()).newPage();
    await page.goto(`${guarded.url}/hosted?jwt=${token}`);
    await expect(page.locator('[data-field=name]')).toHaveValue('Dr. Host');
    expect(page.url()).toBe(`${guarded.url}/hosted`);
    await page.locator('[data-action=join]').first().click();
    await inMeeting(page);
    await inMeeting(guest.page);
    await expect(tileOf(guest.page, 'Dr. Host')).toBeVisible();
    await expect(page.locator('[data-action=host]')).toBeVisible();
    await expect(guest.page.locator('[data-action=host]')).toHaveCount(0);
    expect(await stored(page)).not.toContain(token);
    expect(guarded.log()).not.toContain(token);

    await test.step('a reload is the same person', async () => {
      await page.reload();
      await inMeeting(page);
      await expect(page.locator('[data-action=host]')).toBeVisible();
      await expect(tileOf(guest.page, 'Dr. Host')).toBeVisible();
      expect(page.url()).toBe(`${guarded.url}/hosted`);
    });

    const bad = await knock(browser, guarded.url, 'hosted?jwt=not.a.token', 'Evil');
    await expect(screen(bad.page)).toHaveAttribute('data-screen', 'error');
    await expect(bad.page.locator('[data-said]')).toBeVisible();
    await page.context().close();
    for (const { context } of [guest, bad]) await context.close();
  } finally {
    await guarded.stop();
  }
});

test('somebody who says to be the host goes to log in, and comes back as the host', async ({ browser }) => {
  // The operator's login page: it knows who this is, and sends them back.
  const login = createServer((request, response) => {
    const state = JSON.parse(new URL(request.url ?? '', 'http://x').searchParams.get('state') ?? '{}') as { room: string };
    response.writeHead(302, { location: `${guarded.url}/${state.room}#jwt="${hostToken(state.room, 'Dr. Host')}"` }).end();
  });
  await once(login.listen(0, '127.0.0.1'), 'listening');
  const { port } = login.address() as AddressInfo;
  const guarded = await startWithHosts(['--auth-login-url', `http://127.0.0.1:${port}/?state={state}`]);
  try {
    const host = await knock(browser, guarded.url, 'signed', 'Somebody');
    await expect(screen(host.page)).toHaveAttribute('data-screen', 'waithost');
    await accessible(host.page, 'waiting for the host, who may be here');
    await host.page.locator('[data-action=login]').click();
    await expect(host.page.locator('[data-field=name]')).toHaveValue('Dr. Host');
    expect(host.page.url()).toBe(`${guarded.url}/signed`);
    await host.page.locator('[data-action=join]').first().click();
    await inMeeting(host.page);
    await expect(host.page.locator('[data-action=host]')).toBeVisible();
    expect(host.errors).toEqual([]);
    await host.context.close();
  } finally {
    await guarded.stop();
    login.close();
  }
});

/** All that the page's storage holds for longer than its tab. */
function stored(page: Page): Promise<string> {
  return page.evaluate(() => JSON.stringify([{ ...localStorage }, history.state]));
}
