// Redundant audio (RED): each piece of sound goes twice, and only where it is wanted.
import { test, expect } from '@playwright/test';
import { execFileSync } from 'node:child_process';
import { join, type Person } from '../lib/meeting.ts';
import { startServer } from '../lib/server.ts';

/** How many RTP packets of a payload type went to a port, and how many came from there: the header is not encrypted. */
interface Counted {
  readonly up: number;
  readonly down: number;
}

const nft = (input: string) => execFileSync('nft', ['-f', '-'], { input });

/** Counts the payload types 111 (Opus) and 112 (RED) at the media port of a server, in the tests' own namespace. */
function countPayloads(port: number): (type: 111 | 112) => Counted {
  if (!process.env['E2E_NAMESPACE']) throw new Error('only inside the namespace that e2e/run makes');
  const names = [111, 112].flatMap((type) => [`up${type}`, `down${type}`]);
  // Version 2 of RTP, then the marker and the payload type.
  const rule = (end: string, name: string, type: number) =>
    `udp ${end} ${port} @th,64,2 2 @th,73,7 ${type} counter name ${name}`;
  nft(`table inet payloads
delete table inet payloads
table inet payloads {
${names.map((name) => `counter ${name} { }`).join('\n')}
chain count {
type filter hook input priority 0;
${[111, 112].flatMap((type) => [rule('dport', `up${type}`, type), rule('sport', `down${type}`, type)]).join('\n')}
}
}
`);
  const counted = (name: string) => {
    const text = execFileSync('nft', ['list', 'counter', 'inet', 'payloads', name]).toString();
    return Number(/packets (\d+)/u.exec(text)?.[1] ?? 0);
  };
  return (type) => ({ up: counted(`up${type}`), down: counted(`down${type}`) });
}

/** Frames heard by now, and bytes in each packet that was sent. */
function sound({ page }: Person): Promise<{ received: number; perPacket: number }> {
  return page.evaluate(async () => {
    const reports = [...((await window.__connections.at(-1)?.getStats())?.values() ?? [])].filter(({ kind }) => kind === 'audio');
    const sum = (type: string, key: string) =>
      reports.filter((one) => one.type === type).reduce((all, one) => all + ((one[key] as number | undefined) ?? 0), 0);
    return {
      received: sum('inbound-rtp', 'packetsReceived'),
      perPacket: Math.round(sum('outbound-rtp', 'bytesSent') / Math.max(1, sum('outbound-rtp', 'packetsSent'))),
    };
  });
}

test('sound goes twice both ways, and once where it is switched off', async ({ browser }) => {
  test.setTimeout(120_000);
  const sizes = new Map<boolean, number>();
  for (const [flags, twice] of [[[], true], [['--media-redundant-audio', 'false'], false]] as const) {
    const server = await startServer([...flags]);
    const count = countPayloads(server.mediaPort);
    const people = [await join(browser, server.url, 'twice', 'Ada'), await join(browser, server.url, 'twice', 'Bo')];
    for (const person of people) {
      await expect.poll(async () => (await sound(person)).received, { timeout: 30_000 }).toBeGreaterThan(200);
    }
    const [red, opus] = [count(112), count(111)];
    const heard = await Promise.all(people.map(sound));
    console.log(`${twice ? 'RED' : 'plain'}: ${JSON.stringify({ red, opus, heard })}`);
    const [wanted, other] = twice ? [red, opus] : [opus, red];
    expect(Math.min(wanted.up, wanted.down)).toBeGreaterThan(300);
    // Nothing is cut on the way; a browser whose first frame has none before it may send that one plain.
    expect(Math.max(other.up, other.down)).toBeLessThan(10);
    sizes.set(twice, heard.reduce((all, { perPacket }) => all + perPacket, 0));
    for (const { context, errors } of people) {
      expect(errors).toEqual([]);
      await context.close();
    }
    await server.stop();
  }
  expect(sizes.get(true)).toBeGreaterThan(1.3 * (sizes.get(false) ?? Infinity));
});
