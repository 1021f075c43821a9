// Rooms as people run them: stock lib-jitsi-meet against our server, told by the library's own events.
import { test, expect } from '@playwright/test';
import { startServer, type Server } from '../lib/server.ts';
import { expectProgress } from '../lib/media.ts';
import { Stock } from './stock.ts';
import { ask, breakoutRooms, Cable, call, errors, events, expectUnheard, failed, gather, goHome, happened, id, moveTo, part, silent, speaking, untilHeard } from './rooms.ts';

let server: Server;
test.beforeAll(async () => {
  server = await startServer();
});
test.afterAll(async () => {
  await server.stop();
});

test('lobby: who knocks is seen by the moderator alone, and let in, sent away, or free to come', async ({ browser }) => {
  const [ada, bo] = (await gather(browser, server.url, 'rooms-lobby', { Ada: speaking, Bo: silent })) as [Stock, Stock];
  await call(ada, 'enableLobby');
  for (const person of [ada, bo]) await happened(person, 'MEMBERS_ONLY_CHANGED', (on) => on === true);

  const knock = async (name: string) => {
    const person = await Stock.arrive(browser, server.url, 'rooms-lobby', name, silent);
    const refusal = await failed(person, errors.membersOnly);
    expect(refusal.args[1]).toMatch(/^rooms-lobby@lobby\./);
    await call(person, 'joinLobby', name);
    const seen = await happened(ada, 'LOBBY_USER_JOINED', (_, nick) => nick === name);
    return { person, knocker: seen.args[0] as string };
  };

  const chen = await knock('Chen');
  expect((await chen.person.state()).joined).toBe(false);
  await call(ada, 'lobbyApproveAccess', chen.knocker);
  await chen.person.until('joined', (state) => state.joined);
  await happened(ada, 'LOBBY_USER_LEFT', (who) => who === chen.knocker);
  await bo.until('a newcomer', (state) => Object.values(state.participants).includes('Chen'));
  await happened(bo, 'ENDPOINT_MESSAGE_RECEIVED', (_, what) => what.event === 'LOBBY-ACCESS-GRANTED' && what.name === 'Chen');
  await expectProgress(chen.person.page, 'audio', 1);

  const dee = await knock('Dee');
  await call(ada, 'lobbyDenyAccess', dee.knocker);
  await failed(dee.person, errors.denied);
  await happened(ada, 'LOBBY_USER_LEFT', (who) => who === dee.knocker);
  await happened(bo, 'ENDPOINT_MESSAGE_RECEIVED', (_, what) => what.event === 'LOBBY-ACCESS-DENIED' && what.name === 'Dee');
  expect((await dee.person.state()).joined).toBe(false);

  const eve = await knock('Eve');
  await call(ada, 'disableLobby');
  await eve.person.until('joined', (state) => state.joined);
  await happened(bo, 'MEMBERS_ONLY_CHANGED', (on) => on === false);
  expect(await events(bo, 'LOBBY_USER_JOINED')).toEqual([]);
  await goHome(ada, bo, chen.person, dee.person, eve.person);
});

test('password: asked, refused, accepted, taken off', async ({ browser }) => {
  const ada = await Stock.join(browser, server.url, 'rooms-password', 'Ada', silent);
  await ada.until('moderator', (state) => state.role === 'moderator');
  await call(ada, 'lock', 'open sesame');
  await happened(ada, 'LOCK_STATE_CHANGED', (locked) => locked === true);

  const bo = await Stock.arrive(browser, server.url, 'rooms-password', 'Bo', silent);
  await failed(bo, errors.password);
  await call(bo, 'join', 'open barley');
  await bo.until('a second refusal', (state) => state.events.filter((e) => e.args[0] === errors.password).length === 2);
  await call(bo, 'join', 'open sesame');
  await bo.until('joined', (state) => state.joined);

  await call(ada, 'unlock');
  for (const person of [ada, bo]) await happened(person, 'LOCK_STATE_CHANGED', (locked) => locked === false);
  const chen = await Stock.join(browser, server.url, 'rooms-password', 'Chen', silent);
  expect(await events(chen, 'CONFERENCE_FAILED')).toEqual([]);
  await goHome(ada, bo, chen);
});

test('kick: everybody is told who, by whom and why, and a guest kicks nobody', async ({ browser }) => {
  const [ada, bo, chen] = (await gather(browser, server.url, 'rooms-kick', { Ada: silent, Bo: silent, Chen: silent })) as [Stock, Stock, Stock];
  const [adaId, boId] = [await id(ada), await id(bo)];
  await call(chen, 'kickParticipant', boId, 'I may not');
  await call(ada, 'kickParticipant', boId, 'That was rude.');

  const kicked = await happened(bo, 'KICKED');
  expect(kicked.args.slice(0, 2)).toEqual([{ id: adaId }, 'That was rude.']);
  await happened(bo, 'CONNECTION_DISCONNECTED');
  for (const person of [ada, chen]) {
    const seen = await happened(person, 'PARTICIPANT_KICKED');
    expect(seen.args).toEqual([{ id: adaId }, { id: boId }, 'That was rude.']);
    await happened(person, 'USER_LEFT', (who) => who === boId);
    expect(await events(person, 'PARTICIPANT_KICKED')).toHaveLength(1);
  }
  await goHome(ada, bo, chen);
});

test('grant: a second moderator rules, a first one steps back', async ({ browser }) => {
  const [ada, bo, chen] = (await gather(browser, server.url, 'rooms-grant', { Ada: silent, Bo: silent, Chen: speaking })) as [Stock, Stock, Stock];
  const [adaId, boId, chenId] = [await id(ada), await id(bo), await id(chen)];
  await happened(ada, 'PERMISSIONS_RECEIVED', (permissions) => permissions.recording === 'true');
  expect(await events(bo, 'PERMISSIONS_RECEIVED')).toEqual([]);

  await call(ada, 'grantOwner', boId);
  for (const person of [ada, bo, chen]) {
    await happened(person, 'USER_ROLE_CHANGED', (who, role) => who === boId && role === 'moderator');
  }
  await happened(bo, 'PERMISSIONS_RECEIVED', (permissions) => permissions.recording === 'true');
  expect(await ask(bo, 'isModerator')).toBe(true);

  await call(ada, 'revokeOwner', adaId);
  for (const person of [ada, bo, chen]) {
    await happened(person, 'USER_ROLE_CHANGED', (who, role) => who === adaId && role === 'participant');
  }
  expect(await ask(ada, 'isModerator')).toBe(false);
  await call(ada, 'muteParticipant', chenId, 'audio');
  await call(ada, 'kickParticipant', chenId, 'no longer mine to say');
  // The one who rules now is obeyed, after the other was not.
  await call(bo, 'kickParticipant', chenId, 'mine to say');
  expect((await happened(chen, 'KICKED')).args.slice(0, 2)).toEqual([{ id: boId }, 'mine to say']);
  expect((await events(chen, 'TRACK_MUTE_CHANGED')).filter((event) => event.args[0].local)).toEqual([]);
  await goHome(ada, bo, chen);
});

test('mute by a moderator: the microphone is off, and its owner may turn it on', async ({ browser }) => {
  const [ada, bo, chen] = (await gather(browser, server.url, 'rooms-mute', { Ada: silent, Bo: {}, Chen: silent })) as [Stock, Stock, Stock];
  const [adaId, boId] = [await id(ada), await id(bo)];
  await expectProgress(chen.page, 'audio', 1);
  await expectProgress(chen.page, 'video', 1);
  for (const type of ['audio', 'video']) {
    await call(ada, 'muteParticipant', boId, type);
    const muted = await happened(bo, 'TRACK_MUTE_CHANGED', (track) => track.local && track.type === type && track.muted);
    expect(muted.args[1]).toEqual({ id: adaId });
    await happened(chen, 'TRACK_MUTE_CHANGED', (track) => track.owner === boId && track.type === type && track.muted);
    await expectProgress(chen.page, type as 'audio' | 'video', 0);
  }
  for (const type of ['audio', 'video']) {
    await bo.page.evaluate((type) => (window as any).interop.track(type).unmute(), type);
    await happened(chen, 'TRACK_MUTE_CHANGED', (track) => track.owner === boId && track.type === type && !track.muted);
    await expectProgress(chen.page, type as 'audio' | 'video', 1);
  }
  await goHome(ada, bo, chen);
});

test('AV moderation: who turns the microphone on unasked is not heard before approval', async ({ browser }) => {
  const [ada, bo, chen] = (await gather(browser, server.url, 'rooms-moderation', { Ada: silent, Bo: speaking, Chen: silent })) as [Stock, Stock, Stock];
  const [adaId, boId] = [await id(ada), await id(bo)];
  const unmute = () => bo.page.evaluate(() => (window as any).interop.track('audio').unmute());
  await expectProgress(chen.page, 'audio', 1);

  await call(ada, 'enableAVModeration', 'audio');
  for (const person of [ada, bo, chen]) await happened(person, 'AV_MODERATION_CHANGED', (what) => what.enabled === true && what.mediaType === 'audio');
  expect((await events(bo, 'AV_MODERATION_CHANGED'))[0]?.args[0].actor).toEqual({ id: adaId });
  await call(ada, 'muteParticipant', boId, 'audio');
  await happened(bo, 'TRACK_MUTE_CHANGED', (track) => track.local && track.muted);
  await unmute();
  await happened(bo, 'TRACK_MUTE_CHANGED', (track) => track.local && !track.muted);
  await expectUnheard(bo, [ada, chen]);

  await call(ada, 'avModerationApprove', 'audio', boId);
  test.info().annotations.push({ type: 'heard', description: `${await untilHeard(chen)} ms after approval` });
  await happened(bo, 'AV_MODERATION_APPROVED', (what) => what.mediaType === 'audio');
  await happened(ada, 'AV_MODERATION_PARTICIPANT_APPROVED', (what) => what.participant.id === boId && what.mediaType === 'audio');
  for (const person of [ada, chen]) await expectProgress(person.page, 'audio', 1);

  await call(ada, 'avModerationReject', 'audio', boId);
  await happened(bo, 'AV_MODERATION_REJECTED', (what) => what.mediaType === 'audio');
  await happened(ada, 'AV_MODERATION_PARTICIPANT_REJECTED', (what) => what.participant.id === boId && what.mediaType === 'audio');
  await expectUnheard(bo, [ada, chen]);

  await call(ada, 'disableAVModeration', 'audio');
  for (const person of [ada, bo, chen]) await happened(person, 'AV_MODERATION_CHANGED', (what) => what.enabled === false && what.mediaType === 'audio');
  await unmute();
  for (const person of [ada, chen]) await expectProgress(person.page, 'audio', 1);
  await goHome(ada, bo, chen);
});

test('breakout rooms: there, talking, and back; closing one sends its people home', async ({ browser }) => {
  const [ada, bo, chen] = (await gather(browser, server.url, 'rooms-breakout', { Ada: speaking, Bo: speaking, Chen: {} })) as [Stock, Stock, Stock];
  const inside = async (person: Stock, jid: string) =>
    Object.values((await breakoutRooms(person)).find((room) => room.jid === jid)?.participants ?? {}).map((p) => p.displayName).sort();

  await part(ada, 'getBreakoutRooms', 'createBreakoutRoom', 'Group 1');
  await expect.poll(async () => (await breakoutRooms(bo)).map((room) => room.name)).toContain('Group 1');
  const group = (await breakoutRooms(ada)).find((room) => room.name === 'Group 1')!.jid;
  const main = (await breakoutRooms(ada)).find((room) => room.isMainRoom)!.jid;

  for (const person of [bo, chen]) {
    const jid = (await breakoutRooms(ada)).flatMap((room) => Object.values(room.participants)).find((p) => p.displayName === person.name)!.jid;
    await part(ada, 'getBreakoutRooms', 'sendParticipantToRoom', jid, group);
    expect((await happened(person, 'BREAKOUT_ROOMS_MOVE_TO_ROOM')).args[0]).toBe(group);
    const before = await id(person);
    await moveTo(person, group);
    await happened(ada, 'USER_LEFT', (who) => who === before);
  }
  for (const person of [ada, bo, chen]) await expect.poll(() => inside(person, group)).toEqual(['Bo', 'Chen']);
  await expect.poll(() => inside(bo, main)).toEqual(['Ada']);
  await bo.until('one other', (state) => Object.values(state.participants).join() === 'Chen');
  await expectProgress(bo.page, 'audio', 1);
  await expectProgress(bo.page, 'video', 1);
  await expectProgress(chen.page, 'audio', 1);
  await expectProgress(ada.page, 'audio', 0);
  await call(bo, 'sendTextMessage', 'between us');
  await chen.until('chat', (state) => state.messages.some((m) => m.text === 'between us'));

  const jid = (await breakoutRooms(ada)).flatMap((room) => Object.values(room.participants)).find((p) => p.displayName === 'Bo')!.jid;
  await part(ada, 'getBreakoutRooms', 'sendParticipantToRoom', jid, main);
  await happened(bo, 'BREAKOUT_ROOMS_MOVE_TO_ROOM', (where) => where === main);
  await moveTo(bo, main);
  await bo.until('one other', (state) => Object.values(state.participants).join() === 'Ada');
  await expectProgress(bo.page, 'audio', 1);
  await expectProgress(ada.page, 'audio', 1);

  await part(ada, 'getBreakoutRooms', 'removeBreakoutRoom', group);
  expect((await failed(chen, errors.destroyed)).args[2]).toBe(main);
  await moveTo(chen, main);
  for (const person of [ada, bo, chen]) {
    await person.until('both others', (state) => Object.keys(state.participants).length === 2);
    await expect.poll(async () => (await breakoutRooms(person)).length).toBe(1);
  }
  await expectProgress(ada.page, 'video', 1);
  expect((await ada.state()).messages).toEqual([]);
  await goHome(ada, bo, chen);
});

test('end for all: nobody stays, and a guest ends nothing', async ({ browser }) => {
  const [ada, bo] = (await gather(browser, server.url, 'rooms-end', { Ada: silent, Bo: silent })) as [Stock, Stock];
  await call(bo, 'end');
  await call(bo, 'sendTextMessage', 'still here');
  await ada.until('chat', (state) => state.messages.some((m) => m.text === 'still here'));
  expect(await events(ada, 'CONFERENCE_FAILED')).toEqual([]);
  await call(ada, 'end');
  for (const person of [ada, bo]) await failed(person, errors.destroyed);
  await goHome(ada, bo);
});

test('polls: asked, answered, and known to who comes late', async ({ browser }) => {
  const [ada, bo] = (await gather(browser, server.url, 'rooms-polls', { Ada: silent, Bo: silent })) as [Stock, Stock];
  const [adaId, boId] = [await id(ada), await id(bo)];
  await part(ada, 'getPolls', 'createPoll', 'lunch', 'Lunch?', [{ name: 'Yes' }, { name: 'No' }]);
  for (const person of [ada, bo]) {
    const { args } = await happened(person, 'POLL_RECEIVED', (poll) => poll.pollId === 'lunch');
    expect(args[0]).toMatchObject({ senderId: adaId, question: 'Lunch?', answers: [{ name: 'Yes' }, { name: 'No' }] });
  }
  await part(bo, 'getPolls', 'answerPoll', 'lunch', [true, false]);
  for (const person of [ada, bo]) {
    const { args } = await happened(person, 'POLL_ANSWER_RECEIVED');
    expect(args[0]).toMatchObject({ pollId: 'lunch', senderId: boId, answers: [true, false] });
  }
  const chen = await Stock.join(browser, server.url, 'rooms-polls', 'Chen', silent);
  const { args } = await happened(chen, 'POLL_RECEIVED');
  expect(args[0]).toMatchObject({ history: true, pollId: 'lunch', senderId: adaId, question: 'Lunch?' });
  expect(args[0].answers[0]).toMatchObject({ name: 'Yes', voters: [{ id: boId, name: 'Bo' }] });
  expect(args[0].answers[1]).toMatchObject({ name: 'No', voters: [] });
  await goHome(ada, bo, chen);
});

test('words, hands and settings: private messages, reactions, retractions, raised hands, subject, start muted', async ({ browser }) => {
  const [ada, bo, chen] = (await gather(browser, server.url, 'rooms-words', { Ada: silent, Bo: silent, Chen: silent })) as [Stock, Stock, Stock];
  const [adaId, boId] = [await id(ada), await id(bo)];
  await call(ada, 'sendPrivateTextMessage', boId, 'psst');
  await happened(bo, 'PRIVATE_MESSAGE_RECEIVED', (from, text) => from === adaId && text === 'psst');

  await call(ada, 'sendTextMessage', 'a thought', 'body', undefined, 'thought-1');
  for (const person of [ada, bo, chen]) {
    await happened(person, 'MESSAGE_RECEIVED', (from, text, ...more) => from === adaId && text === 'a thought' && more[3] === 'thought-1');
  }
  await call(bo, 'sendReaction', '👍', 'thought-1');
  await happened(chen, 'REACTION_RECEIVED', (from, list, about) => from === boId && list[0] === '👍' && about === 'thought-1');
  await call(bo, 'sendMessageRetraction', 'thought-1');
  await call(ada, 'sendMessageRetraction', 'thought-1');
  await happened(chen, 'MESSAGE_RETRACTED', (from, about) => from === adaId && about === 'thought-1');
  expect((await events(chen, 'MESSAGE_RETRACTED')).map((event) => event.args[0])).toEqual([adaId]);
  expect(await events(chen, 'PRIVATE_MESSAGE_RECEIVED')).toEqual([]);

  const raised = `${Date.now()}`;
  await call(bo, 'setLocalParticipantProperty', 'raisedHand', raised);
  for (const person of [ada, chen]) {
    await happened(person, 'PARTICIPANT_PROPERTY_CHANGED', (who, name, _, value) => who.id === boId && name === 'raisedHand' && value === raised);
  }
  await call(ada, 'setSubject', 'The plan');
  for (const person of [ada, bo, chen]) await happened(person, 'SUBJECT_CHANGED', (subject) => subject === 'The plan');

  await call(ada, 'setStartMutedPolicy', { audio: true, video: false });
  for (const person of [ada, bo, chen]) await happened(person, 'METADATA_UPDATED', (data) => data.startMuted?.audio === true);
  const dee = await Stock.join(browser, server.url, 'rooms-words', 'Dee', speaking);
  await happened(dee, 'START_MUTED_POLICY_CHANGED', (policy) => policy.audio === true && policy.video === false);
  await happened(dee, 'SUBJECT_CHANGED', (subject) => subject === 'The plan');
  await goHome(ada, bo, chen, dee);
});

for (const way of ['closed', 'silent'] as const) {
  test(`resume: the socket is gone for 20 s (${way}); nobody leaves, no word is lost or doubled`, async ({ browser }) => {
    const cable = await Cable.to(server.url);
    const room = `rooms-resume-${way}`;
    const ada = await Stock.join(browser, server.url, room, 'Ada', speaking);
    const bo = await Stock.join(browser, cable.url, room, 'Bo', speaking);
    const boId = await id(bo);
    await expectProgress(ada.page, 'audio', 1);
    await expectProgress(bo.page, 'audio', 1);
    await call(ada, 'sendTextMessage', 'before');
    await bo.until('chat', (state) => state.messages.length === 1);

    const began = Date.now();
    if (way === 'closed') cable.cut();
    else {
      cable.silence();
      // Said into a dead socket: the client keeps it until it is acknowledged.
      await call(bo, 'sendTextMessage', 'is anybody there?');
    }
    for (const text of ['one', 'two', 'three']) await call(ada, 'sendTextMessage', text);
    await call(ada, 'setLocalParticipantProperty', 'raisedHand', '17');
    const chen = await Stock.join(browser, server.url, room, 'Chen', speaking);
    await expectProgress(ada.page, 'audio', 2);
    await bo.page.waitForTimeout(Math.max(0, began + 20_000 - Date.now()));
    expect((await bo.state()).messages.map((m) => m.text)).toEqual(['before']);
    cable.cut();
    const mended = Date.now();
    cable.mend();

    await bo.until('chat', (state) => state.messages.some((m) => m.text === 'three'), 10_000);
    test.info().annotations.push({ type: 'resumed', description: `${Date.now() - mended} ms after the mend` });
    await bo.until('a newcomer', (state) => Object.values(state.participants).includes('Chen'));
    await happened(bo, 'PARTICIPANT_PROPERTY_CHANGED', (_, name, __, value) => name === 'raisedHand' && value === '17');
    await call(bo, 'sendTextMessage', 'back');
    await ada.until('answer', (state) => state.messages.some((m) => m.text === 'back'));
    const said = way === 'closed' ? [] : ['is anybody there?'];
    expect((await ada.state()).messages.map((m) => m.text).sort()).toEqual(['before', 'one', 'two', 'three', ...said, 'back'].sort());
    expect((await bo.state()).messages.map((m) => m.text).sort()).toEqual(['before', 'one', 'two', 'three', ...said, 'back'].sort());
    expect((await bo.state()).messages.map((m) => m.text).filter((text) => ['one', 'two', 'three'].includes(text))).toEqual(['one', 'two', 'three']);

    for (const person of [ada, chen]) {
      expect((await events(person, 'USER_LEFT')).map((event) => event.args[0])).toEqual([]);
      expect((await events(person, 'USER_JOINED')).filter((event) => event.args[0] === boId)).toHaveLength(1);
    }
    const unwanted = ['CONNECTION_DISCONNECTED', 'CONNECTION_FAILED', 'CONFERENCE_LEFT', 'CONFERENCE_FAILED', 'USER_LEFT', 'KICKED'];
    expect((await bo.state()).events.filter((event) => unwanted.includes(event.name))).toEqual([]);
    expect(await events(bo, 'CONFERENCE_JOINED')).toHaveLength(1);
    expect((await events(bo, 'USER_JOINED')).map((event) => event.args[0]).sort()).toEqual([await id(ada), await id(chen)].sort());
    expect(await id(bo)).toBe(boId);
    for (const person of [ada, bo, chen]) await expectProgress(person.page, 'audio', 2);
    await goHome(ada, bo, chen);
    cable.remove();
  });
}
