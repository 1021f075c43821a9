// A server where only people with a token open rooms, and tokens for them.
import { execFileSync } from 'node:child_process';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { binary, startServer, type Server } from './server.ts';

const SECRET = 'a secret of tests, which opens nothing anywhere else';

export async function startWithHosts(extra: string[] = []): Promise<Server> {
  const file = path.join(await mkdtemp(path.join(tmpdir(), 'althing-secret-')), 'secret');
  await writeFile(file, SECRET, { mode: 0o600 });
  return startServer(['--auth-hosts', 'authenticated', '--auth-secret-file', file, ...extra]);
}

/** A moderator's token for one room, as an operator makes them. */
export function hostToken(room: string, name: string): string {
  const env = { ...process.env, ALTHING_AUTH_SECRET: SECRET };
  return execFileSync(binary, ['token', '--room', room, '--name', name, '--moderator'], { env, encoding: 'utf8' }).trim();
}
