// What is kept of load scenarios: figures in base units, each promise, and the course of long runs.
//
//   node benches/scenarios/report.mjs NAME OUT SCENARIO... [--json] [--keep]
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { publish, round } from '../publish.mjs';

const words = process.argv.slice(2);
const flags = new Set(words.filter((word) => word.startsWith('--')));
const [name, out, ...scenarios] = words.filter((word) => !word.startsWith('--'));

/** A course in this many steps at most, each the worst of what it joins. */
const STEPS = 120;

function course(moments, of) {
  const each = Math.max(1, Math.ceil(moments.length / STEPS));
  const steps = [];
  for (let at = 0; at < moments.length; at += each) {
    steps.push(round(Math.max(...moments.slice(at, at + each).map(of))));
  }
  return steps;
}

function figures(report) {
  const { server, generator, share, back, audio, video, pictures, machine } = report;
  const moments = server?.timeline ?? [];
  const numbers = {
    rooms: report.rooms,
    occupants: report.occupants,
    stay_seconds: report.stay_seconds,
    joins: report.joins,
    failed_joins: report.failed_joins,
    cut_off: report.cut_off,
    join_p50_seconds: report.join_p50_seconds,
    join_p99_seconds: report.join_p99_seconds,
    media_p99_seconds: report.media_p99_seconds,
    audio_received: audio.received,
    audio_lost: audio.lost,
    audio_withheld: audio.withheld,
    audio_p50_seconds: audio.delay.p50_seconds,
    audio_p99_seconds: audio.delay.p99_seconds,
    audio_max_seconds: audio.delay.max_seconds,
    video_received: video.received,
    video_lost: video.lost,
    video_p99_seconds: video.delay.p99_seconds,
    frames: pictures.frames,
    frames_undecodable: pictures.undecodable,
    violations: pictures.violations,
    freezes: pictures.freezes,
    frozen_ratio: pictures.frozen_ratio,
    share_viewers: share?.viewers,
    share_seen: share?.seen,
    share_shown_p50_seconds: share?.shown.p50_seconds,
    share_shown_max_seconds: share?.shown.max_seconds,
    share_audio_p99_before_seconds: share?.audio_before.p99_seconds,
    share_audio_p99_after_seconds: share?.audio_after.p99_seconds,
    back_count: back?.count,
    back_p50_seconds: back?.p50_seconds,
    back_p99_seconds: back?.p99_seconds,
    back_max_seconds: back?.max_seconds,
    server_cores: server?.cores,
    server_cpu_seconds_per_gigabit: server?.cpu_seconds_per_gigabit,
    server_cpu_seconds_per_delivered_packet: server?.cpu_seconds_per_delivered_packet,
    server_memory_bytes: server?.memory_bytes,
    server_memory_growth: server?.memory_growth,
    server_log_lines: report.server_log_lines,
    server_worst_stress: server?.worst_stress,
    generator_cores: generator.cores,
    generator_overflowed: generator.packets_overflowed,
    generator_left_out: generator.packets_left_out,
    machine_busy_cores: machine.busy_cores,
    machine_stolen_cores: machine.stolen_cores,
  };
  const kept = { kept: report.kept };
  for (const [key, value] of Object.entries(numbers)) {
    if (value !== undefined && value !== null) kept[key] = round(value);
  }
  kept.load_average = machine.load_average.map(round);
  kept.packets_dropped = server?.packets_dropped ?? {};
  kept.send_errors = server?.send_errors ?? {};
  kept.promises = report.promises;
  if (report.stay_seconds >= STEPS) {
    kept.step_seconds = round(report.stay_seconds / STEPS);
    kept.server_memory_bytes_over_time = course(moments, (m) => m.memory_bytes);
    kept.server_cores_over_time = course(moments, (m) => m.cores);
    kept.audio_p99_seconds_over_time = course(report.timeline, (m) => m.audio_p99_seconds);
  }
  return kept;
}

const all = Object.fromEntries(
  scenarios.map((scenario) => [scenario, figures(JSON.parse(readFileSync(join(out, `${scenario}.json`), 'utf8')))]),
);
publish(name, scenarios.length === 1 ? all[scenarios[0]] : all, 1, flags);
