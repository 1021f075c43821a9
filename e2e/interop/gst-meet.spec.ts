// gst-meet against our server, in one room with our web client.
import { test, expect } from '@playwright/test';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { endpointCounters } from '../lib/counters.ts';
import { expectProgress } from '../lib/media.ts';
import { expectMoving, join, tiles } from '../lib/meeting.ts';
import { startServer, type Server } from '../lib/server.ts';
import { Gst } from './gst.ts';

let server: Server;
let folder: string;
test.beforeAll(async () => {
  // It leaves the port out of the Host header: only the scheme's own port leads it back here.
  server = await startServer([], 80);
  folder = await mkdtemp(path.join(tmpdir(), 'althing-gst-'));
});
test.afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

test('two gst-meet and our web client hear and see each other', async ({ browser }) => {
  test.setTimeout(150_000);
  const web = await join(browser, server.url, 'gst', 'Web');
  const people: Gst[] = [];
  try {
    for (const [index, name] of ['Gina', 'Gus'].entries()) {
      people.push(Gst.join(server.url, 'gst', name, folder));
      await expect(tiles(web.page)).toHaveCount(index + 1);
    }

    await test.step('the web client sees and hears both', async () => {
      for (const person of people) await expectMoving(web.page, person.name);
      await expectProgress(web.page, 'video', 2);
      await expectProgress(web.page, 'audio', 2);
    });

    await test.step('each gst-meet decodes the other two', async () => {
      for (const person of people) {
        await expect
          .poll(() => growing(person), { timeout: 30_000, message: `${person.name} decodes` })
          .toEqual({ running: true, audio: 2, video: 2 });
      }
    });

    await test.step('the counters of all three grow, in and out', async () => {
      const before = await endpointCounters(server);
      await web.page.waitForTimeout(1_000);
      const after = await endpointCounters(server);
      expect(after).toHaveLength(3);
      for (const endpoint of after) {
        const earlier = before.find((e) => e.id === endpoint.id);
        expect(endpoint.rtpIn, `RTP from ${endpoint.id}`).toBeGreaterThan(earlier?.rtpIn ?? 0);
        expect(endpoint.rtpOut, `RTP to ${endpoint.id}`).toBeGreaterThan(earlier?.rtpOut ?? 0);
      }
    });

    await test.step('a leaver is gone', async () => {
      await people[1]!.stop();
      await expect(tiles(web.page)).toHaveCount(1);
      await expectProgress(web.page, 'video', 1);
    });
    expect(web.errors, 'the console of the web client').toEqual([]);
  } catch (error) {
    const logs = people.map((person) => `-- ${person.name} said last:\n${person.log}`);
    throw new Error([error instanceof Error ? error.message : String(error), ...logs].join('\n'));
  } finally {
    for (const person of people) await person.stop();
    await web.context.close();
  }
});

/** Of how many others one occupant's decoded sound and pictures grow and are not still. */
async function growing(person: Gst): Promise<{ running: boolean; audio: number; video: number }> {
  const before = await person.decoded();
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  const after = await person.decoded();
  const count = (kind: 'audio' | 'video') =>
    after.filter((now) => {
      const earlier = before.find((d) => d.from === now.from && d.kind === kind);
      return now.kind === kind && now.alive && now.bytes > (earlier?.bytes ?? 0);
    }).length;
  return { running: person.running, audio: count('audio'), video: count('video') };
}
