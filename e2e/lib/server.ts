// Starts the real program on ports of its own and stops it again.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

/** The binary under test: the one `script/test` built, or what E2E_BIN names. */
export const binary = process.env['E2E_BIN'] ?? path.join(root, 'target/debug/althing');

export interface Server {
  /** `http://localhost:PORT` */
  url: string;
  /** The admin listener. */
  admin: string;
  /** The UDP port of the media. */
  mediaPort: number;
  /** Resident memory, in kB. */
  residentKb(): Promise<number>;
  pid: number;
  log(): string;
  stop(): Promise<void>;
}

let nextPort = 18_000 + (process.pid % 500) * 10;

/**
 * Starts `althing serve` in an empty data directory and waits until it is healthy. The port for HTTP is
 * one of its own unless a client can use no other; it listens where only this machine is, unless somebody
 * shall come from elsewhere.
 */
export async function startServer(extra: string[] = [], http = nextPort++, address = '127.0.0.1'): Promise<Server> {
  const data = await mkdtemp(path.join(tmpdir(), 'althing-e2e-'));
  const admin = nextPort++;
  const media = nextPort++;
  const child = spawn(
    binary,
    [
      'serve',
      '--data', data,
      '--http-listen', `${address}:${http}`,
      '--http-tls-listen', '127.0.0.1:0',
      '--http-admin-listen', `127.0.0.1:${admin}`,
      '--media-port', `${media}`,
      // The browsers take the processors that the bridge would spare for people.
      '--media-shed-load', 'false',
      // Nobody waits for rooms that a test has left open.
      '--drain-timeout', '0s',
      ...extra,
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const url = http === 80 ? 'http://localhost' : `http://localhost:${http}`;
  await healthy(`http://127.0.0.1:${http}/health`, child, () => output);
  return {
    url,
    admin: `http://127.0.0.1:${admin}`,
    mediaPort: media,
    pid: child.pid ?? 0,
    log: () => output,
    async residentKb() {
      const { readFile } = await import('node:fs/promises');
      const status = await readFile(`/proc/${child.pid}/status`, 'utf8');
      return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0);
    },
    async stop() {
      if (child.exitCode === null) {
        const ended = once(child, 'exit');
        child.kill('SIGTERM');
        await ended;
      }
      await rm(data, { recursive: true, force: true });
      if (/panicked at/.test(output)) throw new Error(`the server panicked:\n${output}`);
    },
  };
}

async function healthy(url: string, child: ChildProcess, output: () => string): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if (child.exitCode !== null) throw new Error(`althing ended at once:\n${output()}`);
    try {
      const response = await fetch(url);
      if (response.ok) return;
    } catch {
      // Not listening yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`althing did not become healthy:\n${output()}`);
}
