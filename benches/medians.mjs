// The median of each named figure over some runs, each file ending in one JSON object of them.
//
//   node benches/medians.mjs NAME FILE... [--json] [--keep]
import { readFileSync } from 'node:fs';
import { median, publish, round } from './publish.mjs';

const words = process.argv.slice(2);
const flags = new Set(words.filter((word) => word.startsWith('--')));
const [name, ...files] = words.filter((word) => !word.startsWith('--'));
const runs = files.map((file) => JSON.parse(readFileSync(file, 'utf8').trim().split('\n').at(-1)));
if (runs.length === 0) throw new Error('no figures in what the benchmark printed');
const figures = {};
for (const key of Object.keys(runs[0])) figures[key] = round(median(runs.map((run) => run[key])));
publish(name, figures, runs.length, flags);
