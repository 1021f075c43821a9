// Clients that know nothing of Jitsi, against the real program: @xmpp/client over WebSocket with stream
// management, and stanza over BOSH. No browser takes part.
import { expect, test } from '@playwright/test';
import { client, xml, type Client, type Element } from '@xmpp/client';
import { once } from 'node:events';
import { createClient, type Agent } from 'stanza';
import WebSocket from 'ws';
import { startServer, type Server } from '../lib/server.ts';

// Node 20 has none, and that client takes the global one.
Object.assign(globalThis, { WebSocket });

const domain = 'meet.jitsi';
const room = `independent@muc.${domain}`;
const lobby = `independent@lobby.${domain}`;
const MUC = 'http://jabber.org/protocol/muc';

let server: Server;

test.beforeAll(async () => {
  server = await startServer();
});

test.afterAll(async () => {
  await server.stop();
});

/** Somebody by @xmpp/client, with every stanza it ever got. */
class Person {
  readonly heard: Element[] = [];
  private constructor(
    readonly xmpp: Client,
    readonly nick: string,
  ) {}

  static async connect(nick: string): Promise<Person> {
    const service = `${server.url.replace('http', 'ws')}/xmpp-websocket?room=independent`;
    const xmpp = client({ service, domain });
    const person = new Person(xmpp, nick);
    xmpp.on('stanza', (stanza: Element) => person.heard.push(stanza));
    // A cut socket is an error to it, which it then heals.
    xmpp.on('error', () => undefined);
    await xmpp.start();
    return person;
  }

  async join(): Promise<void> {
    await this.askForConference();
    await this.enter(room);
    await this.until((s) => s.is('message') && s.getChild('subject') !== undefined);
  }

  async askForConference(): Promise<void> {
    const conference = xml('conference', { xmlns: 'http://jitsi.org/protocol/focus', room });
    const ready = await this.ask(`focus.${domain}`, conference);
    expect(ready.getChild('conference')?.attrs['ready']).toBe('true');
  }

  /** Goes to a room, whatever it answers. */
  async enter(where: string): Promise<void> {
    const name = xml('nick', { xmlns: 'http://jabber.org/protocol/nick' }, this.nick);
    await this.xmpp.send(xml('presence', { to: `${where}/${this.nick}` }, xml('x', { xmlns: MUC }), name));
  }

  /** A request that changes something. */
  ask(to: string, payload: Element): Promise<Element> {
    return this.xmpp.iqCaller.request(xml('iq', { type: 'set', to }, payload));
  }

  /** Sends somebody out of a room, or out of the lobby. */
  async kick(where: string, nick: string): Promise<void> {
    const item = xml('item', { nick, role: 'none' }, xml('reason', {}, 'enough'));
    const done = await this.ask(where, xml('query', { xmlns: `${MUC}#admin` }, item));
    expect(done.attrs['type']).toBe('result');
  }

  /** Lets somebody in who was seen in the lobby. */
  async admit(nick: string): Promise<void> {
    const seen = await this.until((s) => s.attrs['from'] === `${lobby}/${nick}` && s.attrs['type'] === undefined);
    const to = seen.getChild('x', `${MUC}#user`)?.getChild('item')?.attrs['jid'];
    expect(to).toBeDefined();
    const invite = xml('x', { xmlns: `${MUC}#user` }, xml('invite', { to: to! }));
    await this.xmpp.send(xml('message', { to: room }, invite));
  }

  async say(text: string): Promise<void> {
    await this.xmpp.send(xml('message', { type: 'groupchat', to: room }, xml('body', {}, text)));
  }

  /** What was said in the room, in order. */
  said(): string[] {
    return this.heard.flatMap((s) => (s.is('message') ? (s.getChildText('body') ?? []) : []));
  }

  /** Whether somebody was ever heard to leave. */
  left(nick: string): boolean {
    return this.heard.some(
      (s) => s.attrs['type'] === 'unavailable' && s.attrs['from'] === `${room}/${nick}`,
    );
  }

  async until(fits: (stanza: Element) => boolean): Promise<Element> {
    await expect.poll(() => this.heard.some(fits)).toBe(true);
    return this.heard.find(fits)!;
  }

  /** Pulls the plug: no close frame, no goodbye. */
  cut(): void {
    const socket = this.xmpp.socket?.socket?._socket;
    expect(socket).toBeDefined();
    socket!.destroy();
  }
}

async function byBosh(): Promise<Agent> {
  const agent = createClient({
    jid: domain,
    server: domain,
    transports: { websocket: false, bosh: `${server.url}/http-bind` },
  });
  const started = once(agent, 'session:started');
  agent.connect();
  await started;
  return agent;
}

test('@xmpp/client resumes after its socket was cut, and nothing is lost', async () => {
  const ada = await Person.connect('ada00000');
  await ada.join();
  const bob = await Person.connect('bob00000');
  await bob.join();
  const address = bob.xmpp.jid!.toString();
  const expected: string[] = [];
  for (let round = 0; round < 3; round++) {
    const resumed = once(bob.xmpp.streamManagement, 'resumed');
    bob.cut();
    for (let n = 0; n < 20; n++) {
      await ada.say(`missed ${round} ${n}`);
      expected.push(`missed ${round} ${n}`);
    }
    await resumed;
    expect(bob.xmpp.jid!.toString()).toBe(address);
    await bob.say(`back ${round}`);
    expected.push(`back ${round}`);
    await expect.poll(() => bob.said()).toEqual(expected);
    await expect.poll(() => ada.said()).toEqual(expected);
  }
  expect(ada.left('bob00000')).toBe(false);
  // Who says goodbye is gone at once.
  await bob.xmpp.stop();
  await expect.poll(() => ada.left('bob00000')).toBe(true);
  await ada.xmpp.stop();
});

test('stanza joins by BOSH, talks, and is kicked by the moderator', async () => {
  const ada = await Person.connect('ada00000');
  await ada.join();
  const eve = await byBosh();
  await eve.joinRoom(room, 'eve00000');
  const heard: string[] = [];
  eve.on('groupchat', (message) => {
    if (message.body !== undefined) heard.push(message.body);
  });
  eve.sendMessage({ to: room, type: 'groupchat', body: 'by bosh' });
  await expect.poll(() => ada.said()).toContain('by bosh');
  for (let n = 0; n < 30; n++) await ada.say(`to bosh ${n}`);
  await expect
    .poll(() => heard)
    .toEqual(['by bosh', ...Array.from({ length: 30 }, (_, n) => `to bosh ${n}`)]);

  const kicked = once(eve, 'muc:leave');
  await ada.kick(room, 'eve00000');
  const [presence] = (await kicked) as [{ muc?: { statusCodes?: string[] } }];
  expect(presence.muc?.statusCodes).toContain('307');
  expect(ada.left('eve00000')).toBe(true);

  // The session is still there; it may come back, and its last word is a terminating request.
  await eve.joinRoom(room, 'eve00001');
  const gone = once(eve, 'stream:end');
  eve.disconnect();
  await gone;
  await expect.poll(() => ada.left('eve00001')).toBe(true);
  await ada.xmpp.stop();
});

test('a lobby: both knock, one is let in, the other is refused first', async () => {
  const ada = await Person.connect('ada00000');
  await ada.join();
  const field = xml('field', { var: 'muc#roomconfig_membersonly' }, xml('value', {}, 'true'));
  const form = xml('x', { xmlns: 'jabber:x:data', type: 'submit' }, field);
  expect((await ada.ask(room, xml('query', { xmlns: `${MUC}#owner` }, form))).attrs['type']).toBe('result');
  await ada.enter(lobby);

  await test.step('@xmpp/client is told where the lobby is, knocks, is invited, and comes in', async () => {
    const bob = await Person.connect('bob00000');
    await bob.askForConference();
    await bob.enter(room);
    const refused = await bob.until((s) => s.is('presence') && s.attrs['type'] === 'error');
    const error = refused.getChild('error');
    expect(error?.getChild('registration-required')).toBeDefined();
    expect(error?.getChildText('lobbyroom', 'http://jitsi.org/jitmeet')).toBe(lobby);
    await bob.enter(lobby);
    await ada.admit('bob00000');
    const invited = (s: Element) => s.is('message') && s.getChild('x', `${MUC}#user`)?.getChild('invite') !== undefined;
    expect((await bob.until(invited)).attrs['from']).toBe(room);
    await bob.enter(room);
    await bob.say('inside');
    await expect.poll(() => ada.said()).toContain('inside');
    await bob.xmpp.stop();
  });

  await test.step('stanza is refused, knocks again, and is let in', async () => {
    const eve = await byBosh();
    const named = { nick: 'Eve' };
    await expect(eve.joinRoom(room, 'eve00000', named)).rejects.toMatchObject({ error: { condition: 'registration-required' } });
    await eve.joinRoom(lobby, 'eve00000', named);
    await ada.until((s) => s.attrs['from'] === `${lobby}/eve00000`);
    const sentAway = once(eve, 'muc:leave');
    await ada.kick(lobby, 'eve00000');
    const [presence] = (await sentAway) as [{ muc?: { statusCodes?: string[] } }];
    expect(presence.muc?.statusCodes).toContain('307');

    const invited = once(eve, 'muc:invite');
    await eve.joinRoom(lobby, 'eve00001', named);
    await ada.admit('eve00001');
    const [invitation] = (await invited) as [{ room: string; type: string }];
    expect(invitation).toMatchObject({ room, type: 'mediated' });
    await eve.joinRoom(invitation.room, 'eve00001', named);
    eve.sendMessage({ to: room, type: 'groupchat', body: 'by bosh, at last' });
    await expect.poll(() => ada.said()).toContain('by bosh, at last');
    expect(ada.left('eve00001')).toBe(false);
    const gone = once(eve, 'stream:end');
    eve.disconnect();
    await gone;
  });
  await ada.xmpp.stop();
});
