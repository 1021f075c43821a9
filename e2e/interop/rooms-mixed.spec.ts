// Where the features of a room meet: stock lib-jitsi-meet against our server.
import { test, expect } from '@playwright/test';
import { startServer, type Server } from '../lib/server.ts';
import { expectProgress } from '../lib/media.ts';
import { Stock } from './stock.ts';
import { ask, breakoutRooms, call, errors, events, failed, gather, goHome, happened, id, moveTo, part, silent, speaking } from './rooms.ts';

let server: Server;
test.beforeAll(async () => {
  server = await startServer();
});
test.afterAll(async () => {
  await server.stop();
});

/** Who a person sees in the lobby, by their ids there. */
const seenInLobby = (stock: Stock): Promise<string[]> =>
  stock.page.evaluate(() => {
    const { lobbyRoom } = (window as any).interop.conference.room.getLobby();
    return Object.keys(lobbyRoom?.members ?? {}).map((jid) => jid.split('/')[1]!);
  });

/** Keeps the messages of the lobby, as the app's lobby chat does. */
const listenInLobby = (stock: Stock): Promise<void> =>
  stock.page.evaluate(() => {
    const { conference, state } = (window as any).interop;
    conference.addLobbyMessageListener((message: object, from: string) =>
      state.events.push({ room: 'lobby', name: 'LOBBY_MESSAGE', args: [message, from] }),
    );
  });

test('lobby: a second host watches it, talks to who waits, admits all; who was kicked knocks again', async ({ browser }) => {
  const room = 'rooms-lobby-hosts';
  const [ada, bo] = (await gather(browser, server.url, room, { Ada: silent, Bo: silent })) as [Stock, Stock];
  await call(ada, 'enableLobby');
  await happened(bo, 'MEMBERS_ONLY_CHANGED', (on) => on === true);
  await call(ada, 'grantOwner', await id(bo));
  await happened(bo, 'USER_ROLE_CHANGED', (_, role) => role === 'moderator');

  const waiting: Stock[] = [];
  for (const name of ['Chen', 'Dee']) {
    const person = await Stock.arrive(browser, server.url, room, name, silent);
    await failed(person, errors.membersOnly);
    await call(person, 'joinLobby', name);
    for (const host of [ada, bo]) await happened(host, 'LOBBY_USER_JOINED', (_, nick) => nick === name);
    waiting.push(person);
  }
  const [chen, dee] = waiting as [Stock, Stock];
  const knockers = (await events(bo, 'LOBBY_USER_JOINED')).map((event) => event.args[0] as string);
  const chenThere = await ask<string>(chen, 'myLobbyUserId');
  expect(knockers[0]).toBe(chenThere);
  for (const person of waiting) {
    expect((await seenInLobby(person)).filter((who) => who !== 'focus')).toEqual([]);
    await listenInLobby(person);
  }
  await listenInLobby(bo);
  await call(bo, 'sendLobbyMessage', { type: 'LOBBY_CHAT_MESSAGE', message: 'one moment', messageId: '1' }, chenThere);
  const heard = await happened(chen, 'LOBBY_MESSAGE', (message) => message.message === 'one moment');
  await call(chen, 'sendLobbyMessage', { type: 'LOBBY_CHAT_MESSAGE', message: 'thank you', messageId: '2' }, heard.args[1]);
  await happened(bo, 'LOBBY_MESSAGE', (message, from) => message.message === 'thank you' && from === chenThere);
  expect(await events(dee, 'LOBBY_MESSAGE')).toEqual([]);

  await call(bo, 'lobbyApproveAccess', knockers);
  for (const person of waiting) await person.until('joined', (state) => state.joined);
  for (const host of [ada, bo]) await host.until('all three', (state) => Object.keys(state.participants).length === 3);

  await call(bo, 'kickParticipant', await id(dee), 'out');
  await happened(dee, 'KICKED');
  const again = await Stock.arrive(browser, server.url, room, 'Dee', silent);
  await failed(again, errors.membersOnly);
  await goHome(ada, bo, chen, dee, again);
});

test('lobby with a password: the right one is a way in, a wrong one is none', async ({ browser }) => {
  const room = 'rooms-lobby-password';
  const ada = await Stock.join(browser, server.url, room, 'Ada', silent);
  await ada.until('moderator', (state) => state.role === 'moderator');
  await call(ada, 'lock', 'open sesame');
  await call(ada, 'enableLobby');
  await happened(ada, 'MEMBERS_ONLY_CHANGED', (on) => on === true);
  const bo = await Stock.arrive(browser, server.url, room, 'Bo', silent);
  await failed(bo, errors.membersOnly);
  await call(bo, 'joinLobby', 'Bo');
  const seen = await happened(ada, 'LOBBY_USER_JOINED', (_, nick) => nick === 'Bo');
  await call(bo, 'join', 'open barley');
  await bo.until('a second refusal', (state) => state.events.filter((e) => e.name === 'CONFERENCE_FAILED').length === 2);
  expect((await bo.state()).joined).toBe(false);
  await call(bo, 'join', 'open sesame');
  await bo.until('joined', (state) => state.joined);
  await happened(ada, 'LOBBY_USER_LEFT', (who) => who === seen.args[0]);
  await goHome(ada, bo);
});

test('breakout rooms: a host stays one there, and lets people from the lobby into the main room', async ({ browser }) => {
  const room = 'rooms-breakout-host';
  const [ada, bo] = (await gather(browser, server.url, room, { Ada: silent, Bo: silent })) as [Stock, Stock];
  await call(ada, 'enableLobby');
  await happened(ada, 'MEMBERS_ONLY_CHANGED', (on) => on === true);
  await part(ada, 'getBreakoutRooms', 'createBreakoutRoom', 'Group 1');
  await expect.poll(async () => (await breakoutRooms(bo)).length).toBe(2);
  const group = (await breakoutRooms(ada)).find((r) => r.name === 'Group 1')!.jid;
  const main = (await breakoutRooms(ada)).find((r) => r.isMainRoom)!.jid;
  // Both go on their own, and leave the main room empty.
  await moveTo(bo, group);
  await moveTo(ada, group);
  for (const person of [ada, bo]) await person.until('the other', (state) => Object.keys(state.participants).length === 1);
  await expect.poll(() => ask(ada, 'isModerator')).toBe(true);
  expect(await ask(bo, 'isModerator')).toBe(false);

  const chen = await Stock.arrive(browser, server.url, room, 'Chen', silent);
  await failed(chen, errors.membersOnly);
  await call(chen, 'joinLobby', 'Chen');
  await moveTo(ada, main);
  expect(await ask(ada, 'isModerator')).toBe(true);
  const seen = await happened(ada, 'LOBBY_USER_JOINED', (_, nick) => nick === 'Chen');
  await call(ada, 'lobbyApproveAccess', seen.args[0]);
  await chen.until('joined', (state) => state.joined);
  expect(await ask(chen, 'isModerator')).toBe(false);
  await moveTo(bo, main);
  for (const person of [ada, bo, chen]) await person.until('both others', (state) => Object.keys(state.participants).length === 2);
  await goHome(ada, bo, chen);
});

test('AV moderation of cameras and screens: neither is seen before approval', async ({ browser }) => {
  const [ada, bo] = (await gather(browser, server.url, 'rooms-moderation-video', { Ada: silent, Bo: { devices: ['video'] } })) as [Stock, Stock];
  const boId = await id(bo);
  await expectProgress(ada.page, 'video', 1);
  for (const type of ['video', 'desktop']) {
    await call(ada, 'enableAVModeration', type);
    await happened(bo, 'AV_MODERATION_CHANGED', (what) => what.enabled && what.mediaType === type);
  }
  await call(ada, 'muteParticipant', boId, 'video');
  await happened(bo, 'TRACK_MUTE_CHANGED', (track) => track.local && track.muted);
  await bo.page.evaluate(async () => {
    const { interop, JitsiMeetJS } = window as any;
    await interop.track('video').unmute();
    // The sound of the screen comes along, and stays unused.
    const shared = await JitsiMeetJS.createLocalTracks({ devices: ['desktop'] });
    await interop.conference.addTrack(shared.find((track: any) => track.getType() === 'video'));
  });
  await expectProgress(ada.page, 'video', 0);
  await call(ada, 'avModerationApprove', 'video', boId);
  await happened(bo, 'AV_MODERATION_APPROVED', (what) => what.mediaType === 'video');
  await expectProgress(ada.page, 'video', 1);
  await call(ada, 'avModerationApprove', 'desktop', boId);
  await happened(bo, 'AV_MODERATION_APPROVED', (what) => what.mediaType === 'desktop');
  await expectProgress(ada.page, 'video', 2);
  await call(ada, 'muteParticipant', boId, 'desktop');
  await expectProgress(ada.page, 'video', 1);
  await goHome(ada, bo);
});

test('over the bridge: reactions to all, a hand lowered for one, speaking times', async ({ browser }) => {
  const [ada, bo, chen] = (await gather(browser, server.url, 'rooms-bridge', { Ada: silent, Bo: speaking, Chen: silent })) as [Stock, Stock, Stock];
  const [adaId, boId] = [await id(ada), await id(bo)];
  for (const person of [ada, bo, chen]) await person.until('bridge channel', (state) => state.channelOpen);
  await call(ada, 'sendEndpointMessage', '', { name: 'endpoint-reaction', reactions: ['clap'], timestamp: 1 });
  for (const person of [bo, chen]) {
    await happened(person, 'ENDPOINT_MESSAGE_RECEIVED', (who, what) => who.id === adaId && what.name === 'endpoint-reaction' && what.reactions[0] === 'clap');
  }
  await call(ada, 'sendEndpointMessage', boId, { name: 'lower-hand-message' });
  await happened(bo, 'ENDPOINT_MESSAGE_RECEIVED', (who, what) => who.id === adaId && what.name === 'lower-hand-message');
  expect((await events(chen, 'ENDPOINT_MESSAGE_RECEIVED')).filter((event) => event.args[1].name === 'lower-hand-message')).toEqual([]);
  for (const person of [ada, chen]) await person.until('who speaks', (state) => state.dominant === boId);

  // Who comes later learns how long others spoke before.
  const dee = await Stock.join(browser, server.url, 'rooms-bridge', 'Dee', silent);
  const spoken = () =>
    dee.page.evaluate((who) => (window as any).interop.conference.getSpeakerStats()[who]?.getTotalDominantSpeakerTime() ?? 0, boId);
  await expect.poll(spoken).toBeGreaterThan(0);
  await goHome(ada, bo, chen, dee);
});
