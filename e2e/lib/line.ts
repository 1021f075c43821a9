// Somebody behind a bad line: a browser in a network namespace of its own. One veth pair leads from there to
// everybody else, and what comes down it can be made slow, lossy, or late and out of order.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, BrowserType, LaunchOptions } from '@playwright/test';
import { binary, type Server } from './server.ts';

const here = path.dirname(fileURLToPath(import.meta.url));
/** Our end of the line, theirs, and their addresses. */
const [OUR_END, THEIR_END, OURS, THEIRS] = ['line0', 'line1', '10.78.0.1', '10.78.0.2'];
/** Where the server is for them. */
const SERVER = '10.77.0.1';
/** The relay of `testkit`, built beside the program. */
const RELAY = process.env['E2E_RELAY'] ?? path.join(path.dirname(binary), 'relay');

/** What went through a relay. */
export interface Relayed {
  up: { delivered: number; overtaken: number };
  down: { delivered: number; overtaken: number };
}

export class Line {
  private relay: { child: ChildProcess; traffic: Promise<Relayed> } | undefined;

  private constructor(
    private readonly server: Server,
    private readonly holder: ChildProcess,
    /** The browser at the far end; everybody else's is at ours. */
    readonly browser: Browser,
    /** The address of the server for it. */
    readonly url: string,
  ) {}

  /** `server` listens on all addresses. */
  static async open(server: Server, type: BrowserType, options: LaunchOptions): Promise<Line> {
    if (!process.env['E2E_NAMESPACE']) throw new Error('only inside the namespace that e2e/run makes');
    // The namespace lives as long as this does.
    const holder = spawn('unshare', ['--net', 'sh', '-c', 'echo there; exec sleep infinity'], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      await once(holder.stdout, 'data');
      return await Line.lay(server, holder, type, options);
    } catch (error) {
      await takeAway(holder);
      throw error;
    }
  }

  private static async lay(server: Server, holder: ChildProcess, type: BrowserType, options: LaunchOptions): Promise<Line> {
    const far = `${holder.pid}`;
    run('ip', 'link', 'add', OUR_END, 'type', 'veth', 'peer', 'name', THEIR_END, 'netns', far);
    run('ip', 'address', 'add', `${OURS}/24`, 'dev', OUR_END);
    inside(far, 'ip', 'address', 'add', `${THEIRS}/24`, 'dev', THEIR_END);
    // Datagrams that are sent together go over the line one by one, as over any real one.
    run('ip', 'link', 'set', OUR_END, 'gso_max_segs', '1', 'up');
    inside(far, 'ip', 'link', 'set', THEIR_END, 'gso_max_segs', '1', 'up');
    inside(far, 'ip', 'link', 'set', 'lo', 'up');
    inside(far, 'ip', 'route', 'add', 'default', 'via', OURS);
    const url = `http://${SERVER}:${new URL(server.url).port}`;
    const browser = await type.launch({
      ...options,
      // Devices are for secure pages only, and to them localhost is another machine.
      args: [...(options.args ?? []), `--unsafely-treat-insecure-origin-as-secure=${url}`],
      executablePath: path.join(here, 'far-browser'),
      env: { ...process.env, E2E_FAR: far, E2E_FAR_PROGRAM: options.executablePath },
    });
    return new Line(server, holder, browser, url);
  }

  /** No more than so many kbit/s come down it; what waits longer than 400 ms is lost. */
  slow(kbps: number): void {
    run('tc', 'qdisc', 'replace', 'dev', OUR_END, 'root', 'tbf', 'rate', `${kbps}kbit`, 'burst', '1600', 'latency', '400ms');
  }

  /** Of a hundred datagrams of media that come down it, so many are lost, each by chance. */
  lose(percent: number): void {
    const { mediaPort } = this.server;
    this.nft('add table inet line');
    this.nft('add chain inet line in { type filter hook input priority 0; }');
    this.nft(`add rule inet line in udp sport ${mediaPort} numgen random mod 1000 < ${percent * 10} counter drop`);
  }

  /** How many datagrams `lose` has lost. */
  lost(): number {
    return Number(/counter packets (\d+)/.exec(this.nft('list chain inet line in'))?.[1]);
  }

  /** From now on media take so long, up and down, and up to `jitter` more, each for itself. */
  async late(milliseconds: number, jitter: number): Promise<void> {
    const { mediaPort } = this.server;
    const child = spawn(RELAY, [`${OURS}:0`, `${SERVER}:${mediaPort}`, `${milliseconds}`, `${jitter}`], { stdio: ['pipe', 'pipe', 'inherit'] });
    const traffic = once(child, 'close').then(() => JSON.parse(output.trim().split('\n').at(-1) ?? '') as Relayed);
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    this.relay = { child, traffic };
    await Promise.race([once(child.stdout, 'data'), once(child, 'error').then(([error]) => Promise.reject(error as Error))]);
    this.nft('add table ip line');
    this.nft('add chain ip line out { type nat hook output priority -100; }');
    this.nft(`add rule ip line out udp dport ${mediaPort} dnat to ${output.trim()}`);
  }

  /** Takes the line away, and everybody behind it. */
  async close(): Promise<Relayed | undefined> {
    await this.browser.close();
    this.relay?.child.stdin?.end();
    const traffic = await this.relay?.traffic;
    await takeAway(this.holder);
    return traffic;
  }

  private nft(command: string): string {
    return inside(`${this.holder.pid}`, 'nft', command);
  }
}

async function takeAway(holder: ChildProcess): Promise<void> {
  const ended = once(holder, 'exit');
  if (holder.exitCode === null && holder.kill()) await ended;
  // It goes with the namespace, in a while; another line may follow at once.
  execFileSync('sh', ['-c', `ip link delete ${OUR_END} 2>/dev/null; true`]);
}

function run(program: string, ...words: string[]): string {
  return execFileSync(program, words, { stdio: ['ignore', 'pipe', 'pipe'] }).toString();
}

function inside(far: string, ...words: string[]): string {
  return run('nsenter', `--net=/proc/${far}/ns/net`, ...words);
}
