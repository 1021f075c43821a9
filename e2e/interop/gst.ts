// A person using gst-meet: a GStreamer program that is given pipelines to send and to receive with.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { open, readdir, stat } from 'node:fs/promises';
import path from 'node:path';

/** The program given to script/interop. */
export function gstMeet(): string {
  const program = process.env['INTEROP_GST_MEET'];
  if (!program) throw new Error('INTEROP_GST_MEET names a built gst-meet; use script/interop --gst-meet PROGRAM');
  return program;
}

const [width, height] = [160, 90];
/** Bytes of one decoded picture as it is written (I420), and of 20 ms of sound (48 kHz, one channel, 16 bit). */
const PICTURE = (width * height * 3) / 2;
const SOUND = 48_000 * 0.02 * 2;

/** What one occupant decoded of another. */
export interface Decoded {
  /** The endpoint it came from, and whether it is sound or pictures. */
  from: string;
  kind: 'audio' | 'video';
  bytes: number;
  /** Its last picture differs from one a quarter of a second before, or its last half second is not silence. */
  alive: boolean;
}

export class Gst {
  private output = '';

  private constructor(
    readonly name: string,
    private readonly child: ChildProcess,
    private readonly folder: string,
  ) {
    child.stdout?.on('data', (chunk: Buffer) => this.keep(chunk));
    child.stderr?.on('data', (chunk: Buffer) => this.keep(chunk));
  }

  /** Joins with a moving test picture (VP8) and a tone (Opus), and writes what it decodes into the folder. */
  static join(url: string, room: string, name: string, folder: string): Gst {
    const file = (kind: string) => path.join(folder, `${name}.{participant_id}.${kind}`);
    const child = spawn(
      gstMeet(),
      [
        `--web-socket-url=${url.replace('http', 'ws')}/xmpp-websocket`,
        '--xmpp-domain=meet.jitsi',
        '--muc-domain=muc.meet.jitsi',
        `--room-name=${room}`,
        `--nick=${name}`,
        '--video-codec=vp8',
        '--recv-video-scale-width=320',
        '--recv-video-scale-height=180',
        '--send-pipeline=' +
          'videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=180,framerate=15/1 ! queue' +
          ' ! vp8enc deadline=1 keyframe-max-dist=150 name=video' +
          ' audiotestsrc is-live=true wave=ticks ! queue ! audioconvert ! audioresample ! opusenc name=audio',
        '--recv-pipeline-participant-template=' +
          'audioconvert name=audio ! audioresample ! audio/x-raw,format=S16LE,rate=48000,channels=1' +
          ` ! filesink buffer-mode=unbuffered async=false sync=false location=${file('audio')}` +
          ` videoscale name=video ! videoconvert ! video/x-raw,format=I420,width=${width},height=${height}` +
          ` ! filesink buffer-mode=unbuffered async=false sync=false location=${file('video')}`,
      ],
      { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, RUST_LOG: 'info', GST_DEBUG: '1' } },
    );
    return new Gst(name, child, folder);
  }

  private keep(chunk: Buffer): void {
    this.output = (this.output + chunk.toString()).slice(-20_000);
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** The end of what it said. */
  get log(): string {
    return this.output.slice(-4_000);
  }

  /** What it has decoded so far, of everybody. */
  async decoded(): Promise<Decoded[]> {
    const found: Decoded[] = [];
    for (const entry of await readdir(this.folder)) {
      const [name, from, kind] = entry.split('.');
      if (name !== this.name || from === undefined || (kind !== 'audio' && kind !== 'video')) continue;
      const file = path.join(this.folder, entry);
      const { size } = await stat(file);
      found.push({ from, kind, bytes: size, alive: await alive(file, kind, size) });
    }
    return found;
  }

  async stop(): Promise<void> {
    if (!this.running) return;
    const ended = once(this.child, 'exit');
    this.child.kill('SIGINT');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 5_000);
    await ended;
    clearTimeout(timer);
  }
}

async function alive(file: string, kind: 'audio' | 'video', size: number): Promise<boolean> {
  const handle = await open(file);
  try {
    if (kind === 'audio') {
      const span = SOUND * 75;
      if (size < span) return false;
      const { buffer } = await handle.read(Buffer.alloc(span), 0, span, size - span);
      const samples = new Int16Array(buffer.buffer, buffer.byteOffset, span / 2);
      return samples.some((sample) => Math.abs(sample) > 300);
    }
    const pictures = Math.floor(size / PICTURE);
    if (pictures < 5) return false;
    const read = async (index: number) =>
      (await handle.read(Buffer.alloc(PICTURE), 0, PICTURE, index * PICTURE)).buffer;
    return !(await read(pictures - 1)).equals(await read(pictures - 5));
  } finally {
    await handle.close();
  }
}
