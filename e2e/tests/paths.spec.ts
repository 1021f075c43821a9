// Somebody sits behind a bad line: their picture keeps moving, and sound comes first. Each figure is printed.
import { test, expect, type Browser, type LaunchOptions } from '@playwright/test';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { busyDevices } from '../lib/devices.ts';
import { received, since, type Received } from '../lib/media.ts';
import { expectMoving, join, type Person } from '../lib/meeting.ts';
import { Line } from '../lib/line.ts';
import { height, pin, watchGaps } from '../lib/picture.ts';
import { startServer, type Server } from '../lib/server.ts';

let server: Server;
let folder: string;
/** Where the server is; its camera and microphone have much to say. */
let near: Browser;
let line: Line | undefined;
test.beforeAll(async ({ playwright, launchOptions }) => {
  server = await startServer([], undefined, '0.0.0.0');
  folder = await mkdtemp(path.join(tmpdir(), 'althing-devices-'));
  const { args = [], ...options } = launchOptions as LaunchOptions;
  near = await playwright.chromium.launch({ ...options, args: [...args, ...(await busyDevices(folder))] });
});
test.afterEach(async () => {
  await line?.close();
  line = undefined;
});
test.afterAll(async () => {
  await near.close();
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Seconds of grace for the estimate to find out, and seconds that count. */
const SETTLE = 5;
const COUNT = 20;

interface Figures {
  settling: Received;
  counted: Received;
  /** The longest time between two frames, in milliseconds. */
  longestGap: number;
  /** Of the samples played, in percent. */
  concealed: number;
}

test('1 Mbit/s: the picture keeps moving, and not one packet of sound is lost', async ({ playwright, launchOptions }) => {
  test.setTimeout(180_000);
  line = await Line.open(server, playwright.chromium, launchOptions as LaunchOptions);
  const [ada, bo] = await meet(line, 'slow');
  const figures = await watch('1 Mbit/s', bo, () => line!.slow(1_000));
  expect(figures.settling.audio.lost + figures.counted.audio.lost, 'packets of sound lost').toBe(0);
  keepsMoving(figures);
  await part(ada, bo);
});

test('5 % loss: the picture keeps moving, and less than 2 % of the sound is made up', async ({ playwright, launchOptions }) => {
  test.setTimeout(180_000);
  line = await Line.open(server, playwright.chromium, launchOptions as LaunchOptions);
  const { concealed } = await lossy('5 % loss', server, line);
  expect(concealed, 'sound that was made up, in percent').toBeLessThan(2);
});

// `script/test --all` prints this figure, too.
if (process.env.SLOW_TESTS) {
  test('5 % loss without redundant audio, for comparison', async ({ playwright, launchOptions }) => {
    test.setTimeout(180_000);
    const plain = await startServer(['--media-redundant-audio', 'false'], undefined, '0.0.0.0');
    try {
      line = await Line.open(plain, playwright.chromium, launchOptions as LaunchOptions);
      await lossy('5 % loss, no redundant audio', plain, line);
    } finally {
      await plain.stop();
    }
  });
}

test('100 ms late and out of order: the picture keeps moving', async ({ playwright, launchOptions }) => {
  test.setTimeout(180_000);
  line = await Line.open(server, playwright.chromium, launchOptions as LaunchOptions);
  await line.late(100, 30);
  const [ada, bo] = await meet(line, 'late');
  const figures = await watch('100 ms late, up to 30 ms more', bo, () => {});
  keepsMoving(figures);
  expect(figures.concealed, 'sound that was made up, in percent').toBeLessThan(2);
  await part(ada, bo);
  const relayed = await line.close();
  line = undefined;
  console.log(`figure: 100 ms late: ${JSON.stringify(relayed)}`);
  expect(relayed?.down.overtaken, 'datagrams came out of order').toBeGreaterThan(100);
});

async function lossy(what: string, at: Server, far: Line): Promise<Figures> {
  const [ada, bo] = await meet(far, 'lossy', at);
  const figures = await watch(what, bo, () => far.lose(5));
  console.log(`figure: ${what}: ${far.lost()} datagrams were lost on the way`);
  expect(far.lost(), 'datagrams were lost').toBeGreaterThan(50);
  keepsMoving(figures);
  await part(ada, bo);
  return figures;
}

/** Ada is where the server is, and sends; Bo is behind the line, sends nothing, and has Ada large. */
async function meet(far: Line, room: string, at = server): Promise<[Person, Person]> {
  const ada = await join(near, at.url, room, 'Ada');
  const bo = await join(far.browser, far.url, room, 'Bo', '#config.startWithVideoMuted=true&config.startWithAudioMuted=true');
  await expectMoving(bo.page, 'Ada');
  await pin(bo, 'Ada');
  await expect.poll(() => height(bo, 'Ada'), { timeout: 30_000 }).toBe(720);
  return [ada, bo];
}

/** What Bo receives once the line has changed. */
async function watch(what: string, bo: Person, change: () => void): Promise<Figures> {
  const before = await received(bo.page);
  const gap = watchGaps(bo.page, 'Ada');
  change();
  // How it goes on over time is what this is about.
  await bo.page.waitForTimeout(SETTLE * 1000);
  const settled = await received(bo.page);
  await bo.page.waitForTimeout(COUNT * 1000);
  const after = await received(bo.page);
  const [settling, counted] = [since(before, settled), since(settled, after)];
  const longestGap = await gap();
  const concealed = (100 * counted.audio.concealed) / counted.audio.samples;
  console.log(`figure: ${what}, first ${SETTLE} s: ${JSON.stringify(settling)}`);
  console.log(`figure: ${what}, next ${COUNT} s: ${JSON.stringify(counted)}`);
  console.log(`figure: ${what}: longest gap ${longestGap} ms, ${concealed.toFixed(2)} % of the sound made up, ${await height(bo, 'Ada')} lines at the end`);
  return { settling, counted, longestGap, concealed };
}

/** By the browser's own account. */
function keepsMoving({ counted, longestGap }: Figures): void {
  expect(counted.video.frames, 'frames a second').toBeGreaterThan(5 * COUNT);
  expect(counted.video.frozenSeconds, 'seconds of standing still').toBeLessThan(0.1 * COUNT);
  expect(longestGap, 'the longest time between two frames').toBeLessThan(2_000);
}

async function part(...people: Person[]): Promise<void> {
  for (const { name, context, errors } of people) {
    expect(errors, `${name}'s console`).toEqual([]);
    await context.close();
  }
}
