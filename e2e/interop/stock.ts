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
}

export class Stock {
  private constructor(
    readonly name: string,
    readonly page: Page,
    readonly log: string[],
  ) {}

  static async join(browser: Browser, url: string, room: string, name: string, options: object = {}): Promise<Stock> {
    const context = await browser.newContext({ bypassCSP: true });
    await watchConnections(context);
    const page = await context.newPage();
    const log: string[] = [];
    page.on('console', (message) => log.push(`${message.type()}: ${message.text()}`));
    page.on('pageerror', (error) => log.push(`uncaught: ${error}`));
    // A page the server really sent: Chromium lets an intercepted one reach no local address.
    await page.goto(`${url}/health`);
    await page.addScriptTag({ url: `${url}/config.js` });
    await page.addScriptTag({ path: libraryFile() });
    await page.addScriptTag({ path: path.join(here, 'driver.js') });
    const stock = new Stock(name, page, log);
    await page.evaluate(([room, name, options]) => (window as any).interop.join(room, name, options), [room, name, options] as const);
    await stock.until('joined', (state) => state.joined);
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
      throw new Error(
        `${this.name}: ${what} did not happen.\n${JSON.stringify(await this.state(), null, 1)}\n${this.log.slice(-25).join('\n')}`,
      );
    }
  }
}
