// Reads what divan prints, run by run, and gives the figures of all runs together.
//
//   node benches/figures.mjs NAME FILE... [--json] [--keep]
//
// Prints a table. With --json the last line is one JSON object of named figures: seconds and plain
// counts. With --keep it is written to benches/results/NAME-DATE.json, with what the machine is.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { median, publish, round } from './publish.mjs';

const UNITS = { ps: 1e-12, ns: 1e-9, 'µs': 1e-6, ms: 1e-3, s: 1 };

/** "7.81 µs" in seconds. */
function seconds(text) {
  const [number, unit] = text.trim().split(' ');
  if (!(unit in UNITS) || Number.isNaN(Number(number))) throw new Error(`no time: '${text}'`);
  return Number(number) * UNITS[unit];
}

/** Leaves of divan's tree: their path, fastest and median time, allocations of an average turn. */
function parse(text) {
  const leaves = [];
  const path = [];
  let leaf;
  let section;
  for (const line of text.split('\n')) {
    const row = /^([│ ]*)[├╰]─ (.*)$/.exec(line);
    if (row) {
      const depth = row[1].length / 3;
      const [head, ...columns] = row[2].split('│').map((cell) => cell.trim());
      const named = /^(\S+)(?:\s+(.+))?$/.exec(head);
      path.splice(depth, Infinity, named[1]);
      section = undefined;
      leaf = undefined;
      if (named[2]) {
        leaf = { path: [...path], fastest: seconds(named[2]), median: seconds(columns[1]), allocations: 0 };
        leaves.push(leaf);
      }
    } else if (leaf) {
      const cells = line.replace(/^[│ ]*/, '').split('│').map((cell) => cell.trim());
      const label = /^(max alloc|alloc|dealloc|grow|shrink):$/.exec(cells[0]);
      if (label) {
        section = label[1];
      } else if (section && cells.length > 3) {
        // Of the two rows, counts come first; bytes have a unit. The fourth column is the mean.
        if (section === 'alloc' || section === 'grow') leaf.allocations += Number(cells[3]);
        section = undefined;
      }
    }
  }
  return leaves;
}

const words = process.argv.slice(2);
const flags = new Set(words.filter((word) => word.startsWith('--')));
const [name, ...files] = words.filter((word) => !word.startsWith('--'));
/** The figures of the packet path are of one forwarded packet, the others of one turn. */
const perPacket = name === 'packet-path';

/** By name: one value a run. */
const runs = new Map();
for (const file of files) {
  for (const leaf of parse(readFileSync(file, 'utf8'))) {
    const bench = perPacket ? [] : [basename(file).replace(/-\d+\.txt$/, '')];
    const key = [...bench, ...leaf.path].join('_').replace(/[^A-Za-z0-9]+/g, '_').toLowerCase();
    if (!runs.has(key)) runs.set(key, []);
    runs.get(key).push(leaf);
  }
}
if (runs.size === 0) throw new Error('no figures in what the benchmarks printed');

const figures = {};
const table = [];
for (const [key, leaves] of runs) {
  const share = perPacket ? Number(leaves[0].path.at(-1)) : 1;
  const suffix = perPacket ? '_per_packet' : '';
  const time = round(median(leaves.map((leaf) => leaf.median)) / share);
  const fastest = round(Math.min(...leaves.map((leaf) => leaf.fastest)) / share);
  // The most of any run: none of them may allocate.
  const allocations = round(Math.max(...leaves.map((leaf) => leaf.allocations)) / share);
  figures[`${key}_seconds${suffix}`] = time;
  figures[`${key}_fastest_seconds${suffix}`] = fastest;
  figures[`${key}_allocations${suffix}`] = allocations;
  table.push([key, (time * 1e9).toFixed(0), (fastest * 1e9).toFixed(0), String(allocations)]);
}

const titles = [perPacket ? 'per forwarded packet' : 'per turn', 'median ns', 'fastest ns', 'allocations'];
const widths = titles.map((title, i) => Math.max(title.length, ...table.map((row) => row[i].length)));
for (const row of [titles, ...table]) {
  console.log(row.map((cell, i) => (i ? cell.padStart(widths[i]) : cell.padEnd(widths[i]))).join('  '));
}

publish(name, figures, runs.get(runs.keys().next().value).length, flags);
