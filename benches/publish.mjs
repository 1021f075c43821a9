// What every benchmark's figures go through last: rounding, keeping, the line of JSON.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';

export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Four digits are more than can be trusted. */
export const round = (value) => Number(value.toPrecision(4));

/** With --keep, writes benches/results/NAME-DATE.json with what the machine is; with --json, prints. */
export function publish(name, figures, runs, flags) {
  if (flags.has('--keep')) {
    const git = (...args) => execFileSync('git', args, { encoding: 'utf8' }).trim();
    const date = new Date().toISOString().slice(0, 10);
    const kept = {
      name,
      date,
      commit: git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain', '--', 'crates', 'Cargo.lock') ? ' and changes' : ''),
      machine: {
        cpu: cpus()[0].model,
        cpus: cpus().length,
        kernel: release(),
        rustc: execFileSync('rustc', ['--version'], { encoding: 'utf8' }).trim(),
        load_average: loadavg().map((load) => round(load)),
      },
      runs,
      figures,
    };
    mkdirSync('benches/results', { recursive: true });
    const file = `benches/results/${name}-${date}.json`;
    // A course of numbers on one line: one number a line is nothing to read.
    const text = JSON.stringify(kept, null, 2).replace(/\[[-\d.e+,\s]+\]/g, (list) => list.replace(/\s+/g, ' '));
    writeFileSync(file, `${text}\n`);
    console.error(`kept in ${file}`);
  }
  if (flags.has('--json')) console.log(JSON.stringify(figures));
}
