// Makes figures and a plot of what `script/bench forward` measured.
//
//   node benches/forward/report.mjs ROUNDS.json PACKET-PATH.txt [--json] [--keep]
//
// Medians over the rounds; a ratio is one of medians. With --keep they go to
// benches/results/forward-DATE.json, and the plot beside it.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { median, publish, round } from '../publish.mjs';
import { plot } from './plot.mjs';

const words = process.argv.slice(2);
const flags = new Set(words.filter((word) => word.startsWith('--')));
const [file, packetPath] = words.filter((word) => !word.startsWith('--'));
const { rounds, window_seconds: window, shapes } = JSON.parse(readFileSync(file, 'utf8').trim().split('\n').at(-1));

/** The median of each number of a side's rounds. */
function side({ rounds, ...others }) {
  const found = {};
  for (const key of Object.keys(rounds[0])) {
    found[key] = round(median(rounds.map((one) => one[key])));
  }
  return { ...found, ...others };
}

const figures = { rounds, window_seconds: window };
const measured = {};
for (const [name, sides] of Object.entries(shapes)) {
  const good = Object.entries(sides).filter(([, found]) => found.rounds.length > 0);
  measured[name] = Object.fromEntries(good.map(([who, found]) => [who, side(found)]));
  figures[name] = { ...measured[name] };
}

const cost = (shape, who) => measured[shape]?.[who]?.cpu_seconds_per_packet;
/** Names a ratio, if both sides were measured. */
function ratio(shape, name, ours, theirs) {
  const [a, b] = [cost(shape, ours), cost(shape, theirs)];
  if (a && b) figures[shape][name] = round(a / b);
}
// Only what has a limit is called ratio_janus and ratio_floor.
ratio('video', 'ratio_janus', 'althing', 'janus');
ratio('video', 'ratio_floor', 'althing', 'floor');
ratio('frames', 'ratio_floor', 'althing', 'floor_gso');
ratio('frames', 'times_janus', 'althing', 'janus');
ratio('frames', 'times_floor_without_gso', 'althing', 'floor');
ratio('audio', 'ratio_janus', 'althing', 'janus');
ratio('size', 'times_50_receivers', 'receivers_500', 'receivers_50');
ratio('size', 'times_50_receivers_share', 'receivers_500_share', 'receivers_50_share');
ratio('sources', 'times_2_sources', 'sources_50', 'sources_2');

if (packetPath) {
  // divan's own table would do for reading; the figures are made by the reader that there is.
  const args = ['benches/figures.mjs', 'packet-path', packetPath, '--json'];
  const last = execFileSync('node', args, { encoding: 'utf8' }).trim().split('\n').at(-1);
  const allocations = Object.entries(JSON.parse(last)).filter(([key]) => key.endsWith('_allocations_per_packet'));
  figures.allocations_per_packet = Math.max(...allocations.map(([, count]) => count));
}

const us = (seconds) => (seconds === undefined ? '' : (seconds * 1e6).toFixed(2));
const ms = (seconds) => (seconds === undefined ? '' : (seconds * 1e3).toFixed(2));
const table = [['shape', 'side', 'µs/packet', 'of a core', 'packets/s', 'loss %', 'p50 ms', 'p99 ms', 'max ms', 'peak MB']];
for (const [name, sides] of Object.entries(measured)) {
  for (const [who, found] of Object.entries(sides)) {
    if (found.cpu_seconds_per_packet === undefined) continue;
    table.push([
      name,
      who,
      us(found.cpu_seconds_per_packet),
      `${(found.cpu_share * 100).toFixed(1)} %`,
      found.packets_per_second.toFixed(0),
      (found.loss * 100).toFixed(3),
      ms(found.delay_p50_seconds),
      ms(found.delay_p99_seconds),
      ms(found.delay_max_seconds),
      (found.memory_peak_bytes / 1e6).toFixed(0),
    ]);
  }
}
const widths = table[0].map((_, column) => Math.max(...table.map((row) => row[column].length)));
for (const row of table) {
  console.log(row.map((cell, i) => (i < 2 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  '));
}

/** A number that has a limit, and whether it keeps to it. */
function limited(label, value, limit, unit = '') {
  if (value === undefined) return;
  console.log(`${value <= limit ? 'ok  ' : 'MISS'}  ${label}: ${round(value)}${unit}, at most ${limit}${unit}`);
}
console.log('');
limited('one picture packet after the other, times Janus', figures.video?.ratio_janus, 0.4);
limited('one picture packet after the other, times the floor', figures.video?.ratio_floor, 1.7);
limited('frames of ten packets, times the floor with GSO', figures.frames?.ratio_floor, 1.5);
limited('audio room of 50, times Janus', figures.audio?.ratio_janus, 0.4);
limited('500 receivers, times 50', figures.size?.times_50_receivers, 1.2);
limited('50 signalled sources, times 2', figures.sources?.times_2_sources, 1.1);
const hall = figures.hall?.althing;
limited('audio hall, loss', hall && hall.loss * 100, 0, ' %');
limited('audio hall, p99 delay', hall && hall.delay_p99_seconds * 1e3, 20, ' ms');
limited('audio hall, cores', hall?.cpu_share, 1);
limited('audio hall, memory of an idle endpoint', hall && hall.memory_bytes_per_idle_endpoint / 1e3, 100, ' kB');
const joins = figures.joins?.althing;
limited('joining, media thread', joins && joins.media_cpu_seconds_per_join * 1e3, 1, ' ms');
limited("joining, another's packet (the most of a round)", joins && joins.delay_max_seconds * 1e3, 5, ' ms');
limited('allocations per packet', figures.allocations_per_packet, 0);
limited('the floor itself, one 1,200-byte packet', measured.video?.floor && measured.video.floor.cpu_seconds_per_packet * 1e6, 2.5, ' µs');

if (flags.has('--keep')) {
  const drawn = plot(measured);
  if (drawn) {
    mkdirSync('benches/results', { recursive: true });
    const path = `benches/results/forward-${new Date().toISOString().slice(0, 10)}.svg`;
    writeFileSync(path, drawn);
    console.error(`kept in ${path}`);
  }
}
publish('forward', figures, rounds, flags);
