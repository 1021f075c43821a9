// What people do with a room, told through the library's own calls and events.
import { expect, type Browser } from '@playwright/test';
import { createServer, connect, type Server as TcpServer, type Socket } from 'node:net';
import { once } from 'node:events';
import { type LibraryEvent, Stock } from './stock.ts';

/** Somebody who listens, looks on and sends nothing. */
export const silent = { devices: [] };
export const speaking = { devices: ['audio'] };

/** Calls a method of the conference, and waits for what it promises. */
export async function call(stock: Stock, method: string, ...args: unknown[]): Promise<void> {
  await stock.page.evaluate(
    async ([method, args]) => void (await (window as any).interop.conference[method](...args)),
    [method, args] as const,
  );
}

/** The same for a part of it: `part(ada, 'getPolls', 'createPoll', …)`. */
export async function part(stock: Stock, getter: string, method: string, ...args: unknown[]): Promise<void> {
  await stock.page.evaluate(
    async ([getter, method, args]) => void (await (window as any).interop.conference[getter]()[method](...args)),
    [getter, method, args] as const,
  );
}

/** What the library answers to a question about the conference. */
export function ask<T>(stock: Stock, method: string, ...args: unknown[]): Promise<T> {
  return stock.page.evaluate(([method, args]) => (window as any).interop.conference[method](...args), [method, args] as const);
}

export async function id(stock: Stock): Promise<string> {
  const found = (await stock.state()).id;
  if (!found) throw new Error(`${stock.name} is in no room`);
  return found;
}

/** All events of a name so far, oldest first. */
export async function events(stock: Stock, name: string): Promise<LibraryEvent[]> {
  return (await stock.state()).events.filter((event) => event.name === name);
}

/** Waits for an event whose arguments fit; those that came before count too. */
export async function happened(
  stock: Stock,
  name: string,
  fits: (...args: any[]) => boolean = () => true,
  timeout?: number,
): Promise<LibraryEvent> {
  const find = (list: LibraryEvent[]) => list.find((event) => event.name === name && fits(...event.args));
  await stock.until(name, (state) => find(state.events) !== undefined, timeout);
  return find((await stock.state()).events)!;
}

/** Waits until something has been refused: an error of the library's own making names it. */
export const failed = (stock: Stock, error: string) => happened(stock, 'CONFERENCE_FAILED', (what) => what === error);

export const errors = {
  membersOnly: 'conference.connectionError.membersOnly',
  denied: 'conference.connectionError.accessDenied',
  password: 'conference.passwordRequired',
  destroyed: 'conference.destroyed',
};

/** Packets of sound since the connection began: those that leave a page, and those that reach it. */
export function soundPackets(stock: Stock): Promise<{ sent: number; received: number }> {
  return stock.page.evaluate(async () => {
    let [sent, received] = [0, 0];
    for (const connection of window.__connections) {
      if (connection.connectionState === 'closed') continue;
      for (const report of (await connection.getStats()).values()) {
        if (report.kind !== 'audio') continue;
        if (report.type === 'outbound-rtp') sent += report.packetsSent;
        if (report.type === 'inbound-rtp') received += report.packetsReceived;
      }
    }
    return { sent, received };
  });
}

/** Three seconds in which somebody sends sound and none of it arrives anywhere. */
export async function expectUnheard(speaker: Stock, listeners: Stock[]): Promise<void> {
  const heard = () => Promise.all(listeners.map(async (listener) => (await soundPackets(listener)).received));
  const [before, arrived] = [(await soundPackets(speaker)).sent, await heard()];
  await expect.poll(async () => (await soundPackets(speaker)).sent - before).toBeGreaterThan(150);
  expect(await heard()).toEqual(arrived);
}

/** Milliseconds until sound arrives again. */
export async function untilHeard(listener: Stock): Promise<number> {
  const began = Date.now();
  const before = (await soundPackets(listener)).received;
  await expect.poll(async () => (await soundPackets(listener)).received, { intervals: [50] }).toBeGreaterThan(before);
  return Date.now() - began;
}

/** Several people in a room, one after the other; the first is its moderator. */
export async function gather(browser: Browser, url: string, room: string, people: Record<string, object>): Promise<Stock[]> {
  const all: Stock[] = [];
  for (const [name, options] of Object.entries(people)) all.push(await Stock.join(browser, url, room, name, options));
  for (const person of all) {
    await person.until('everybody there', (state) => Object.keys(state.participants).length === all.length - 1);
  }
  return all;
}

export async function goHome(...people: Stock[]): Promise<void> {
  for (const person of people) await person.page.context().close();
}

/** Leaves for another room over the same connection, as the app around the library does when it is told to. */
export async function moveTo(stock: Stock, room: string): Promise<void> {
  const [node, domain] = room.split('@') as [string, string];
  await stock.page.evaluate(
    async ([node, domain, name]) => {
      const interop = (window as any).interop;
      interop.state.joined = false;
      interop.state.participants = {};
      interop.state.remoteTracks = [];
      await interop.conference.leave('switch_room');
      await interop.enter(node, name, domain);
    },
    [node, domain, stock.name] as const,
  );
  await stock.until(`in ${room}`, (state) => state.joined);
}

export interface BreakoutRoom {
  jid: string;
  name: string;
  isMainRoom?: boolean;
  participants: Record<string, { jid: string; displayName: string }>;
}

/** The main room and its breakout rooms, as a person was told last. */
export async function breakoutRooms(stock: Stock): Promise<BreakoutRoom[]> {
  return Object.values((await events(stock, 'BREAKOUT_ROOMS_UPDATED')).at(-1)?.args[0].rooms ?? {});
}

/** The way between one person and the server, which a test may break. Media goes past it, over UDP. */
export class Cable {
  private ends = new Set<Socket>();
  private held: (() => void)[] = [];
  private mode: 'whole' | 'silent' | 'cut' = 'whole';

  private constructor(
    private readonly listener: TcpServer,
    readonly url: string,
  ) {}

  static async to(url: string): Promise<Cable> {
    const far = Number(new URL(url).port);
    const listener = createServer({ pauseOnConnect: true });
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const near = (listener.address() as { port: number }).port;
    const cable = new Cable(listener, `http://localhost:${near}`);
    listener.on('connection', (socket) => cable.take(socket, far));
    return cable;
  }

  private take(near: Socket, far: number): void {
    near.on('error', () => near.destroy());
    const join = () => {
      if (near.destroyed) return;
      const away = connect(far, '127.0.0.1');
      for (const [from, to] of [[near, away], [away, near]] as const) {
        this.ends.add(from);
        from.on('error', () => from.destroy());
        from.on('close', () => {
          this.ends.delete(from);
          to.destroy();
        });
        from.pipe(to);
      }
    };
    // A broken cable refuses nobody: whoever calls gets no answer.
    if (this.mode === 'whole') join();
    else this.held.push(join);
  }

  /** Nothing passes any more, and neither side is told. */
  silence(): void {
    this.mode = 'silent';
    for (const end of this.ends) end.unpipe().pause();
  }

  /** Every connection is gone, and no new one comes through. */
  cut(): void {
    this.mode = 'cut';
    for (const end of this.ends) end.destroy();
  }

  /** What was cut stays cut; who called since is put through. */
  mend(): void {
    this.mode = 'whole';
    for (const join of this.held.splice(0)) join();
  }

  remove(): void {
    this.listener.close();
    this.cut();
  }
}
