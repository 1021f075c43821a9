// Breaks and mends the way of the media. The tests run in a network namespace of their own (e2e/run),
// so the machine's other traffic knows nothing of it.
import { execFileSync } from 'node:child_process';

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
  if (!process.env['E2E_NAMESPACE']) throw new Error('only inside the namespace that e2e/run makes');
  localAddressesComeSecond();
  ip('neighbour', 'replace', '10.77.0.1', 'lladdr', NOBODY, 'dev', 'althing0');
  ip('route', 'replace', 'default', 'dev', 'althing0', 'table', NOWHERE);
  const rule = (from: number | undefined, to: number | undefined) => [
    'pref', '10', 'ipproto', 'udp',
    ...(from === undefined ? [] : ['sport', `${from}`]),
    ...(to === undefined ? [] : ['dport', `${to}`]),
    'lookup', NOWHERE,
  ];
  const rules = [rule(only, port), rule(port, only)];
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
