// Runs load scenarios against a server of its own, and tells what they found.
//
//   node benches/scenarios/run.mjs PROGRAM OUT SCENARIO... [-- FLAGS OF `althing load`]
//
// For each scenario a new server starts on loopback, in an empty data folder. The report of each
// goes to OUT/SCENARIO.json, what the server said to OUT/SCENARIO.log; the load's progress and its
// table go to the terminal. Fails when a promise was broken.
import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const words = process.argv.slice(2);
const end = words.indexOf('--');
const flags = end < 0 ? [] : words.slice(end + 1);
const [program, out, ...scenarios] = end < 0 ? words : words.slice(0, end);

const ended = (child) =>
  new Promise((resolve) => {
    child.once('exit', (code, signal) => resolve(code ?? signal));
    child.once('error', (error) => resolve(error.message));
  });

/** Processor time of the whole machine since it started, in seconds: all, and what nobody used. */
function processors() {
  const ticks = readFileSync('/proc/stat', 'utf8').split('\n')[0].trim().split(/\s+/).slice(1, 9).map(Number);
  // user, nice, system, idle, iowait, irq, softirq, steal; a tick is 10 ms.
  return { all: ticks.reduce((a, b) => a + b) / 100, idle: (ticks[3] + ticks[4]) / 100, steal: ticks[7] / 100 };
}

/** Starts a server; resolves when it says that it is ready. */
async function serve(data, log) {
  const server = spawn(
    program,
    [
      'serve', '--data', data, '--log-level', 'warn',
      '--http-listen', '127.0.0.1:8000', '--http-tls-listen', '127.0.0.1:8443', '--http-admin-listen', '127.0.0.1:8080',
      '--media-bind', '127.0.0.1', '--media-port', '10000',
      // The generator takes as much of the machine as the server: that is no reason to leave things off.
      '--media-shed-load', 'false', '--drain-timeout', '0s',
    ],
    // Out of reach of the terminal's Ctrl-C, which ends the load early, with its report.
    { stdio: ['ignore', 'pipe', 'pipe'], detached: true },
  );
  server.stderr.pipe(createWriteStream(log));
  const gone = ended(server);
  const ready = new Promise((resolve) => {
    createInterface({ input: server.stdout }).on('line', (line) => line.startsWith('Ctrl-C') && resolve('ready'));
  });
  const first = await Promise.race([ready, gone]);
  if (first !== 'ready') throw new Error(`the server ended (${first}): ${log}`);
  return {
    stop: async () => {
      server.kill('SIGTERM');
      await gone;
    },
  };
}

/** Runs one scenario; its report, and what else the machine did meanwhile. */
async function run(scenario) {
  const data = mkdtempSync(join(tmpdir(), 'althing-load-'));
  const log = join(out, `${scenario}.log`);
  const server = await serve(data, log);
  try {
    const before = { time: Date.now(), ...processors() };
    const load = spawn(
      program,
      ['load', '--scenario', scenario, '--url', 'http://127.0.0.1:8000', '--metrics', 'http://127.0.0.1:8080/metrics', '--json', ...flags],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    let last = '';
    createInterface({ input: load.stdout }).on('line', (line) => {
      if (line.startsWith('{')) last = line;
      else console.error(line);
    });
    await ended(load);
    if (!last) throw new Error('the load has no report');
    const report = JSON.parse(last);
    const after = { time: Date.now(), ...processors() };
    const seconds = (after.time - before.time) / 1000;
    report.machine = {
      cpus: availableParallelism(),
      busy_cores: (after.all - before.all - (after.idle - before.idle)) / seconds,
      stolen_cores: (after.steal - before.steal) / seconds,
      load_average: loadavg(),
    };
    await server.stop();
    report.server_log_lines = readFileSync(log, 'utf8').split('\n').filter(Boolean).length;
    writeFileSync(join(out, `${scenario}.json`), `${JSON.stringify(report)}\n`);
    return report;
  } finally {
    await server.stop();
    rmSync(data, { recursive: true, force: true });
  }
}

mkdirSync(out, { recursive: true });
const broken = [];
let interrupted = false;
process.on('SIGINT', () => (interrupted = true));
for (const scenario of scenarios) {
  if (interrupted) break;
  console.error(`\n${scenario}`);
  const report = await run(scenario);
  const { busy_cores: busy, cpus } = report.machine;
  const ours = (report.server?.cores ?? 0) + report.generator.cores;
  console.error(
    `  processors: server ${(report.server?.cores ?? 0).toFixed(2)}, load ${report.generator.cores.toFixed(2)}, ` +
      `other work ${Math.max(0, busy - ours).toFixed(2)} of ${cpus}; the server logged ${report.server_log_lines} lines`,
  );
  if (!report.kept) broken.push(scenario);
}
if (broken.length > 0) {
  console.error(`broken promises: ${broken.join(', ')}`);
  process.exitCode = 1;
}
