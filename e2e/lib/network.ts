// Breaks and mends the way of the media. The tests run in a network namespace of their own (e2e/run),
// so the machine's other traffic knows nothing of it.
import { execFileSync } from 'node:child_process';
import type { Server } from './server.ts';

const ip = (...words: string[]) => void execFileSync('ip', words, { stdio: ['ignore', 'ignore', 'pipe'] });
/** A routing table that leads nowhere, and a neighbour in it that nobody is. */
const NOWHERE = '99';
const NOBODY = '02:00:00:00:00:99';

export interface Cut {
  restore(): void;
}

/**
 * Loses every datagram to and from a UDP port of this machine, as a dead cable would: without a word to
 * either side. With `only`, just those between the two ports.
 */
export function cutUdp(port: number, only?: number): Cut {
  return lose([rule('udp', only, port), rule('udp', port, only)]);
}

/** Loses everything between a server and its clients: signalling, pages and media. */
export function cutNetwork({ url, mediaPort }: Pick<Server, 'url' | 'mediaPort'>): Cut {
  const http = Number(new URL(url).port);
  const ports = [['tcp', http], ['udp', mediaPort]] as const;
  return lose(ports.flatMap(([protocol, port]) => [rule(protocol, undefined, port), rule(protocol, port, undefined)]));
}

const rule = (protocol: 'tcp' | 'udp', from: number | undefined, to: number | undefined) => [
  'pref', '10', 'ipproto', protocol,
  ...(from === undefined ? [] : ['sport', `${from}`]),
  ...(to === undefined ? [] : ['dport', `${to}`]),
  'lookup', NOWHERE,
];

function lose(rules: string[][]): Cut {
  if (!process.env['E2E_NAMESPACE']) throw new Error('only inside the namespace that e2e/run makes');
  localAddressesComeSecond();
  ip('neighbour', 'replace', '10.77.0.1', 'lladdr', NOBODY, 'dev', 'althing0');
  ip('route', 'replace', 'default', 'dev', 'althing0', 'table', NOWHERE);
  for (const words of rules) ip('rule', 'add', ...words);
  return {
    restore() {
      for (const words of rules.splice(0)) ip('rule', 'del', ...words);
    },
  };
}

/** The table of local addresses is asked before every rule; here rules shall be able to come first. */
function localAddressesComeSecond(): void {
  const rules = execFileSync('ip', ['rule', 'show']).toString();
  if (/^100:/m.test(rules)) return;
  ip('rule', 'add', 'pref', '100', 'lookup', 'local');
  ip('rule', 'del', 'pref', '0');
}
