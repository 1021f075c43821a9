// A person using the stock library, in a page of our own.
import { expect, type Browser, type Page } from '@playwright/test';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { watchConnections } from '../lib/media.ts';

const here = path.dirname(fileURLToPath(import.meta.url));

/** The library file inside the folder given to script/interop. */
export function libraryFile(): string {
  const folder = process.env['INTEROP_LIBRARY'];
  if (!folder) throw new Error('INTEROP_LIBRARY names the folder of a built lib-jitsi-meet; use script/interop');
  for (const candidate of ['lib-jitsi-meet.min.js', 'dist/umd/lib-jitsi-meet.min.js']) {
    const file = path.join(folder, candidate);
    if (existsSync(file)) return file;
  }
  throw new Error(`no lib-jitsi-meet.min.js in ${folder} or its dist/umd`);
}

/**
 * Brings library and driver into a page of the server's origin. Chromium lets an intercepted page
 * reach no local address, Firefox lets no script past the page's policy: each gets its own way.
 */
async function load(browser: string, page: Page, url: string): Promise<void> {
  const driver = path.join(here, 'driver.js');
  if (browser === 'chromium') {
    await page.goto(`${url}/health`);
    await page.addScriptTag({ url: `${url}/config.js` });
    await page.addScriptTag({ path: libraryFile() });
    await page.addScriptTag({ path: driver });
    return;
  }
  const scripts = ['/config.js', '/-interop/library.js', '/-interop/driver.js'];
  const body = `<!doctype html><html lang="en"><title>interop</title><body>${scripts.map((src) => `<script src="${src}"></script>`).join('')}`;
  await page.route('**/-interop/page', (route) => route.fulfill({ body, contentType: 'text/html' }));
  await page.route('**/-interop/library.js', (route) => route.fulfill({ path: libraryFile(), contentType: 'text/javascript' }));
  await page.route('**/-interop/driver.js', (route) => route.fulfill({ path: driver, contentType: 'text/javascript' }));
  await page.goto(`${url}/-interop/page`);
}

export interface StockState {
  joined: boolean;
  failure: string | null;
  connectionFailure: string | null;
  id: string | null;
  participants: Record<string, string | undefined>;
  remoteTracks: { owner: string; type: string; name: string }[];
  messages: { id: string; text: string }[];
  muted: Record<string, boolean>;
  left: string[];
  dominant: string | null;
  channelOpen: boolean;
  role: string | null;
  errors: string[];
  events: LibraryEvent[];
}

export interface LibraryEvent {
  /** Empty for an event of the connection. */
  room: string;
  /** As JitsiMeetJS.events.conference and .connection call it. */
  name: string;
  args: any[];
}

export class Stock {
  private constructor(
    readonly name: string,
    readonly page: Page,
    readonly log: string[],
  ) {}

  static async join(browser: Browser, url: string, room: string, name: string, options: object = {}): Promise<Stock> {
    const stock = await Stock.arrive(browser, url, room, name, options);
    await stock.until('joined', (state) => state.joined);
    return stock;
  }

  /** Asks to be let in, and does not wait for the answer. */
  static async arrive(browser: Browser, url: string, room: string, name: string, options: object = {}): Promise<Stock> {
    const context = await browser.newContext({ bypassCSP: browser.browserType().name() === 'chromium' });
    await watchConnections(context);
    const page = await context.newPage();
    const log: string[] = [];
    page.on('console', (message) => log.push(`${message.type()}: ${message.text()}`));
    page.on('pageerror', (error) => log.push(`uncaught: ${error}`));
    await load(browser.browserType().name(), page, url);
    const stock = new Stock(name, page, log);
    await page.evaluate(([room, name, options]) => (window as any).interop.join(room, name, options), [room, name, options] as const);
    return stock;
  }

  state(): Promise<StockState> {
    return this.page.evaluate(() => structuredClone((window as any).interop.state));
  }

  /** Waits for a condition on the state; on failure shows the state and the end of the page's log. */
  async until(what: string, condition: (state: StockState) => boolean, timeout = 20_000): Promise<void> {
    try {
      await expect.poll(async () => condition(await this.state()), { timeout }).toBe(true);
    } catch {
      const { events, ...state } = await this.state();
      const story = events.map(({ room, name, args }) => `${room} ${name} ${JSON.stringify(args)}`.slice(0, 300));
      throw new Error(
        [`${this.name}: ${what} did not happen.`, JSON.stringify(state), ...story, ...this.log.slice(-25)].join('\n'),
      );
    }
  }
}
