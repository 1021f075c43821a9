// What a camera and a microphone give: a picture that is costly to send, and somebody who never stops talking.
// The browser's own fake devices give little of either, and pauses hide what was lost.
import { open, writeFile } from 'node:fs/promises';
import path from 'node:path';

const [WIDTH, HEIGHT, FRAMES] = [1280, 720, 30];
const SAMPLES = 48_000;

/** Writes them into a folder, and gives the arguments with which Chromium takes them for its devices; `rate` is pictures a second. */
export async function busyDevices(folder: string, rate = 15): Promise<string[]> {
  const [camera, microphone] = [path.join(folder, 'camera.y4m'), path.join(folder, 'microphone.wav')];
  await writeCamera(camera, rate);
  await writeFile(microphone, voice(4));
  return [`--use-file-for-fake-video-capture=${camera}`, `--use-file-for-fake-audio-capture=${microphone}`];
}

/** A soft texture that wanders, under a little noise of which each picture has its own, as a room has. */
async function writeCamera(file: string, rate: number): Promise<void> {
  const handle = await open(file, 'w');
  try {
    await handle.write(`YUV4MPEG2 W${WIDTH} H${HEIGHT} F${rate}:1 Ip A1:1 C420\n`);
    const random = numbers(7);
    // Between points this far apart it is blended; the walk through it comes round with the pictures.
    const [grid, step] = [32, 8];
    const points = Uint8Array.from({ length: grid * grid }, () => 40 + (random() & 0x7f));
    const at = (x: number, y: number) => points[(y % grid) * grid + (x % grid)]!;
    const side = grid * step;
    const texture = new Uint8Array(side * side);
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        const [left, top, across, down] = [Math.floor(x / step), Math.floor(y / step), (x % step) / step, (y % step) / step];
        const upper = at(left, top) * (1 - across) + at(left + 1, top) * across;
        const lower = at(left, top + 1) * (1 - across) + at(left + 1, top + 1) * across;
        texture[y * side + x] = upper * (1 - down) + lower * down;
      }
    }
    const colours = Buffer.alloc((WIDTH * HEIGHT) / 2, 128);
    const luma = Buffer.alloc(WIDTH * HEIGHT);
    for (let frame = 0; frame < FRAMES; frame++) {
      const walk = Math.round((frame * side) / FRAMES);
      for (let y = 0; y < HEIGHT; y++) {
        const row = ((y + walk) % side) * side;
        for (let x = 0; x < WIDTH; x++) luma[y * WIDTH + x] = texture[row + ((x + walk) % side)]! + (random() & 3);
      }
      await handle.write('FRAME\n');
      await handle.write(luma);
      await handle.write(colours);
    }
  } finally {
    await handle.close();
  }
}

/** A voiced sound whose pitch and loudness move and that never falls silent, as a WAV file. */
function voice(seconds: number): Buffer {
  const bytes = seconds * SAMPLES * 2;
  const file = Buffer.alloc(44 + bytes);
  file.write('RIFF', 0);
  file.writeUInt32LE(36 + bytes, 4);
  file.write('WAVEfmt ', 8);
  file.writeUInt32LE(16, 16);
  file.writeUInt16LE(1, 20);
  file.writeUInt16LE(1, 22);
  file.writeUInt32LE(SAMPLES, 24);
  file.writeUInt32LE(SAMPLES * 2, 28);
  file.writeUInt16LE(2, 32);
  file.writeUInt16LE(16, 34);
  file.write('data', 36);
  file.writeUInt32LE(bytes, 40);
  let phase = 0;
  for (let index = 0; index < seconds * SAMPLES; index++) {
    const at = index / SAMPLES;
    phase += (2 * Math.PI * (150 + 30 * Math.sin(2 * Math.PI * at))) / SAMPLES;
    const loudness = 0.6 + 0.3 * Math.sin(2 * Math.PI * 4 * at);
    const sound = Math.sin(phase) + Math.sin(2 * phase) / 2 + Math.sin(3 * phase) / 3 + Math.sin(7 * phase) / 4;
    file.writeInt16LE(Math.round(6_000 * loudness * sound), 44 + index * 2);
  }
  return file;
}

/** Numbers that look random and are the same every time (xorshift). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
