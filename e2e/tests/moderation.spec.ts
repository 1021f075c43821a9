// What moderators do and what it does to others; and what people show each other.
import { test, expect, type Page } from '@playwright/test';
import { accessible } from '../lib/accessible.ts';
import { expectProgress, progressing } from '../lib/media.ts';
import { command, expectMoving, inMeeting, join, openPeople, screen, tileOf, tiles, type Person } from '../lib/meeting.ts';
import { startServer, type Server } from '../lib/server.ts';

let server: Server;
test.beforeAll(async () => {
  server = await startServer();
});
test.afterAll(async () => {
  await server.stop();
});

const notice = (page: Page, text: string) => page.locator('[data-notice]', { hasText: text });
const button = (page: Page, action: string) => page.locator(`[data-action=${action}]`);

async function part(...people: Person[]): Promise<void> {
  for (const { name, context, errors } of people) {
    expect(errors, `${name}'s console`).toEqual([]);
    await context.close();
  }
}

test('mute, stop video, stop a share: one by one and all at once', async ({ browser }) => {
  test.setTimeout(180_000);
  const ada = await join(browser, server.url, 'mute', 'Ada');
  const bo = await join(browser, server.url, 'mute', 'Bo');
  await expectMoving(ada.page, 'Bo');

  await test.step('a guest has no such buttons', async () => {
    await expect(button(bo.page, 'host')).toHaveCount(0);
    await openPeople(bo.page);
    await bo.page.locator('[data-person]', { hasText: 'Ada' }).locator('[data-action=person-menu]').click();
    await expect(bo.page.locator('[role=menu] [data-action=menu-pin]')).toBeVisible();
    await expect(bo.page.locator('[role=menu] [data-action=menu-remove]')).toHaveCount(0);
    await bo.page.keyboard.press('Escape');
  });

  await test.step('muted, told by whom, and free to unmute', async () => {
    await command(ada.page, 'Bo', 'stop-microphone');
    await expect(notice(bo.page, 'Ada turned your microphone off.')).toBeVisible();
    await expect(tileOf(ada.page, 'Bo')).toHaveAttribute('data-mic', 'off');
    await expectProgress(ada.page, 'audio', 0);
    await button(bo.page, 'mic').click();
    await expect(tileOf(ada.page, 'Bo')).toHaveAttribute('data-mic', 'on');
    await expectProgress(ada.page, 'audio', 1);
  });

  await test.step('video and share', async () => {
    await command(ada.page, 'Bo', 'stop-camera');
    await expect(tileOf(ada.page, 'Bo')).toHaveAttribute('data-cam', 'off');
    await button(bo.page, 'share').click();
    await expectMoving(ada.page, 'Bo', 'screen');
    await command(ada.page, 'Bo', 'stop-screen');
    await expect(ada.page.locator('[data-tile][data-kind=screen]')).toHaveCount(0);
    await expect(notice(bo.page, 'A moderator ended your screen share.')).toBeVisible();
  });

  await test.step('all at once', async () => {
    await button(ada.page, 'mute-all').click();
    await expect(tileOf(ada.page, 'Bo')).toHaveAttribute('data-mic', 'off');
  });
  await part(ada, bo);
});

test('unmuting has to be asked for: refused, approved, taken back, given free', async ({ browser }) => {
  test.setTimeout(180_000);
  const ada = await join(browser, server.url, 'ask', 'Ada');
  const bo = await join(browser, server.url, 'ask', 'Bo');
  await expectMoving(ada.page, 'Bo');
  await expectProgress(ada.page, 'audio', 1);
  const rule = async (on: boolean) => {
    await button(ada.page, 'host').click();
    await ada.page.locator('[data-field=may-microphone]').setChecked(!on);
    await ada.page.keyboard.press('Escape');
  };

  await test.step('the rule mutes, and keeps muted', async () => {
    await rule(true);
    await expect(notice(bo.page, 'You need to ask before you unmute.')).toBeVisible();
    await expect(tileOf(ada.page, 'Bo')).toHaveAttribute('data-mic', 'off');
    await expectProgress(ada.page, 'audio', 0);
    await button(bo.page, 'mic').click();
    await expect(notice(bo.page, 'A moderator has to allow you to unmute.')).toBeVisible();
    await expect(button(bo.page, 'mic')).toHaveAttribute('aria-pressed', 'false');
    expect(await progressing(ada.page, 'audio')).toBe(0);
  });

  await test.step('a raised hand asks, a moderator allows, and nobody opens a microphone but its owner', async () => {
    await notice(bo.page, 'A moderator has to allow').getByRole('button', { name: 'Raise hand' }).click();
    await expect(notice(ada.page, 'Bo raised a hand, number 1 in the queue')).toBeVisible();
    await openPeople(ada.page);
    await ada.page.locator('[data-raised] [data-action=allow]').click();
    const offer = notice(bo.page, 'You may unmute now.');
    await expect(offer).toBeVisible();
    await expect(button(bo.page, 'mic')).toHaveAttribute('aria-pressed', 'false');
    await offer.getByRole('button', { name: 'Unmute' }).click();
    await expect(tileOf(ada.page, 'Bo')).toHaveAttribute('data-mic', 'on');
    await expectProgress(ada.page, 'audio', 1);
    await expect(ada.page.locator('[data-raised]')).toHaveCount(0);
  });

  await test.step('taken back', async () => {
    await command(ada.page, 'Bo', 'forbid-microphone');
    await expect(notice(bo.page, 'A moderator muted you again.')).toBeVisible();
    await expect(tileOf(ada.page, 'Bo')).toHaveAttribute('data-mic', 'off');
  });

  await test.step('who comes now starts muted; the moderator is not concerned', async () => {
    const chen = await join(browser, server.url, 'ask', 'Chen');
    await expect(tileOf(ada.page, 'Chen')).toHaveAttribute('data-mic', 'off');
    await expect(tileOf(chen.page, 'Ada')).toHaveAttribute('data-mic', 'on');
    await part(chen);
  });

  await test.step('given free, and asked to', async () => {
    await rule(false);
    await expect(notice(bo.page, 'Everybody may unmute again.')).toBeVisible();
    await command(ada.page, 'Bo', 'allow-microphone');
    await notice(bo.page, 'Ada asks you to unmute.').getByRole('button', { name: 'Unmute' }).click();
    await expectProgress(ada.page, 'audio', 1);
  });
  await part(ada, bo);
});

test('roles are given and taken; people are removed; the meeting ends for all', async ({ browser }) => {
  test.setTimeout(180_000);
  const ada = await join(browser, server.url, 'roles', 'Ada');
  const bo = await join(browser, server.url, 'roles', 'Bo');
  const chen = await join(browser, server.url, 'roles', 'Chen');
  await expect(tiles(ada.page)).toHaveCount(2);
  const confirm = (page: Page) => button(page, 'confirm-yes').click();

  await test.step('given, after a question', async () => {
    await command(ada.page, 'Bo', 'grant');
    await accessible(ada.page, 'a question');
    await confirm(ada.page);
    await expect(notice(bo.page, 'You are a moderator now.')).toBeVisible();
    await expect(button(bo.page, 'host')).toBeVisible();
    await expect(ada.page.locator('[data-person]', { hasText: 'Bo' })).toHaveAttribute('data-role', 'moderator');
  });

  await test.step('used, and taken', async () => {
    await command(bo.page, 'Chen', 'stop-microphone');
    await expect(notice(chen.page, 'Bo turned your microphone off.')).toBeVisible();
    await command(ada.page, 'Bo', 'revoke');
    await confirm(ada.page);
    await expect(button(bo.page, 'host')).toHaveCount(0);
  });

  await test.step('removed, by whom, and free to come back', async () => {
    await command(ada.page, 'Chen', 'remove');
    await confirm(ada.page);
    await expect(screen(chen.page)).toHaveAttribute('data-screen', 'kicked');
    await expect(screen(chen.page)).toContainText('Ada removed you.');
    await accessible(chen.page, 'removed');
    await expect(tiles(bo.page)).toHaveCount(1);
    await expect(notice(bo.page, 'Ada removed Chen.')).toBeVisible();
    await button(chen.page, 'join').click();
    await inMeeting(chen.page);
  });

  await test.step('over for all', async () => {
    await button(ada.page, 'host').click();
    await button(ada.page, 'end-for-all').click();
    await confirm(ada.page);
    for (const { page } of [ada, bo, chen]) {
      await expect(screen(page)).toHaveAttribute('data-screen', 'ended');
      await expect(page.getByRole('heading', { level: 1 })).toHaveText('The meeting has ended');
    }
    await accessible(bo.page, 'ended');
  });
  await part(ada, bo, chen);
});

test('hands are queued, reactions rise, and private words stay private', async ({ browser }) => {
  test.setTimeout(180_000);
  // In silence: a hand goes down by itself once its owner was heard.
  const quiet = '#config.startWithAudioMuted=true';
  const ada = await join(browser, server.url, 'show', 'Ada', quiet);
  const bo = await join(browser, server.url, 'show', 'Bo', quiet);
  const chen = await join(browser, server.url, 'show', 'Chen', quiet);
  await Promise.all([ada, bo, chen].map(({ page }) => expectProgress(page, 'video', 2)));

  await test.step('hands in order, lowered one by one and by their owner', async () => {
    await openPeople(ada.page);
    await chen.page.keyboard.press('r');
    await expect(ada.page.locator('[data-announcer=polite]')).toContainText('Chen raised a hand, number 1 in the queue');
    await bo.page.keyboard.press('r');
    await expect(ada.page.locator('[data-raised]')).toHaveText([/1\s*Chen/u, /2\s*Bo/u]);
    await expect(tileOf(ada.page, 'Bo')).toHaveAttribute('data-hand', '2');
    await accessible(ada.page, 'people with raised hands');
    await ada.page.locator('[data-raised]', { hasText: 'Chen' }).locator('[data-action=lower]').click();
    await expect(notice(chen.page, 'Ada lowered your hand.')).toBeVisible();
    await expect(ada.page.locator('[data-raised]')).toHaveText([/1\s*Bo/u]);
    await button(bo.page, 'hand').click();
    await expect(ada.page.locator('[data-raised]')).toHaveCount(0);
  });

  await test.step('reactions', async () => {
    await bo.page.keyboard.press('Alt+c');
    for (const { page } of [ada, chen]) await expect(tileOf(page, 'Bo').locator('[data-flying]')).toHaveText('👏');
    await expect(tileOf(ada.page, 'Bo').locator('[data-flying]')).toHaveCount(0);
    await button(chen.page, 'react').click();
    await accessible(chen.page, 'reactions');
    await chen.page.locator('[data-reaction=love]').filter({ visible: true }).click();
    await expect(tileOf(ada.page, 'Chen').locator('[data-flying]')).toHaveText('❤️');
    await chen.page.keyboard.press('Escape');
  });

  await test.step('a private message reaches one; the answer is asked about before all get it', async () => {
    await command(ada.page, 'Bo', 'message');
    await ada.page.locator('[data-chat-input]').fill('psst');
    await ada.page.keyboard.press('Enter');
    await button(bo.page, 'chat').click();
    await expect(bo.page.locator('[data-chat-message]')).toHaveText('psst');
    await button(chen.page, 'chat').click();
    await expect(chen.page.locator('[data-chat-message]')).toHaveCount(0);
    await bo.page.locator('[data-chat-input]').fill('a secret');
    await bo.page.keyboard.press('Enter');
    await expect(bo.page.locator('[data-doubt]')).toContainText('Ada wrote to you alone.');
    await accessible(bo.page, 'a doubt in chat');
    await button(bo.page, 'only-one').click();
    await expect(ada.page.locator('[data-chat-message]').last()).toHaveText('a secret');
    await bo.page.locator('[data-field=chat-to]').selectOption({ label: 'Everyone' });
    await bo.page.locator('[data-chat-input]').fill('hello all');
    await bo.page.keyboard.press('Enter');
    await button(bo.page, 'to-all').click();
    await expect(chen.page.locator('[data-chat-message]')).toHaveText(['hello all']);
  });
  await test.step('a hand goes down once its owner was heard', async () => {
    await button(bo.page, 'hand').click();
    await expect(tileOf(chen.page, 'Bo')).toHaveAttribute('data-hand', '1');
    await button(bo.page, 'mic').click();
    await expect(button(bo.page, 'hand')).toHaveAttribute('aria-pressed', 'false');
    await expect(tileOf(chen.page, 'Bo')).not.toHaveAttribute('data-hand');
  });
  await part(ada, bo, chen);
});
