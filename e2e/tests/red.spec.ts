// Redundant audio (RED): each piece of sound goes twice, and only to those who take it.
import { test, expect, type Browser } from '@playwright/test';
import { join, type Person } from '../lib/meeting.ts';
import { startServer, type Server } from '../lib/server.ts';

interface Sound {
  /** Packets that came, and frames that came in other packets too: RED's, as there is no loss that Opus would repair. */
  received: number;
  redundant: number;
  /** What a packet that was sent carries, in bytes. */
  perPacket: number;
  /** `red/48000` and others, as negotiated both ways. */
  codecs: string[];
}

/** What is heard and sent by now. */
function sound({ page }: Person): Promise<Sound> {
  return page.evaluate(async () => {
    const connection = window.__connections.at(-1);
    const reports = [...((await connection?.getStats())?.values() ?? [])].filter(({ kind }) => kind === 'audio');
    const sum = (type: string, key: string) =>
      reports.filter((one) => one.type === type).reduce((all, one) => all + ((one[key] as number | undefined) ?? 0), 0);
    return {
      received: sum('inbound-rtp', 'packetsReceived'),
      redundant: sum('inbound-rtp', 'fecPacketsReceived'),
      perPacket: sum('outbound-rtp', 'bytesSent') / Math.max(1, sum('outbound-rtp', 'packetsSent')),
      codecs: [...(connection?.localDescription?.sdp.matchAll(/^a=rtpmap:112 (\S+)/gmu) ?? [])].map(([, name]) => name ?? ''),
    };
  });
}

async function pair(browser: Browser, server: Server, room: string): Promise<[Person, Person]> {
  const people: [Person, Person] = [await join(browser, server.url, room, 'Ada'), await join(browser, server.url, room, 'Bo')];
  for (const person of people) {
    await expect.poll(async () => (await sound(person)).received, { timeout: 30_000 }).toBeGreaterThan(200);
  }
  return people;
}

test('sound goes twice both ways, and once where it is switched off', async ({ browser }) => {
  test.setTimeout(120_000);
  const sizes: number[] = [];
  for (const [flags, twice] of [[[], true], [['--media-redundant-audio', 'false'], false]] as const) {
    const server = await startServer([...flags]);
    const people = await pair(browser, server, 'twice');
    for (const person of people) {
      const heard = await sound(person);
      console.log(`${person.name}, ${twice ? 'RED' : 'plain'}: ${JSON.stringify(heard)}`);
      sizes.push(heard.perPacket);
      expect(heard.codecs.length > 0).toBe(twice);
      if (twice) expect(heard.redundant).toBeGreaterThan(heard.received / 2);
      else expect(heard.redundant).toBe(0);
      expect(person.errors).toEqual([]);
      await person.context.close();
    }
    await server.stop();
  }
  const [ada = 0, bo = 0, plainAda = 0, plainBo = 0] = sizes;
  expect(ada + bo).toBeGreaterThan(1.4 * (plainAda + plainBo));
});
