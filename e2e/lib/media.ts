// What a page really receives, read from WebRTC statistics and from the video elements.
import { expect, type BrowserContext, type Page } from '@playwright/test';

declare global {
  interface Window {
    /** Every peer connection the page has made, see `watchConnections`. */
    readonly __connections: RTCPeerConnection[];
  }
}

/** Remembers every RTCPeerConnection a page makes, so that a test can read its statistics. */
export async function watchConnections(context: BrowserContext): Promise<void> {
  await context.addInitScript(() => {
    const list: RTCPeerConnection[] = [];
    const Original = window.RTCPeerConnection;
    Object.defineProperty(window, '__connections', { value: list });
    window.RTCPeerConnection = new Proxy(Original, {
      construct(target, args: [RTCConfiguration?]) {
        const connection = new target(...args);
        list.push(connection);
        return connection;
      },
    });
  });
}

export interface Inbound {
  kind: string;
  ssrc: number;
  packets: number;
  lost: number;
  frames: number;
  energy: number;
}

/** The inbound streams of all live connections of a page. */
export async function inbound(page: Page): Promise<Inbound[]> {
  return page.evaluate(async () => {
    const list = window.__connections;
    const found: Inbound[] = [];
    for (const connection of list) {
      if (connection.connectionState === 'closed') continue;
      for (const report of (await connection.getStats()).values()) {
        if (report.type !== 'inbound-rtp') continue;
        found.push({
          kind: report.kind,
          ssrc: report.ssrc,
          packets: report.packetsReceived ?? 0,
          lost: report.packetsLost ?? 0,
          frames: report.framesDecoded ?? 0,
          energy: report.totalAudioEnergy ?? 0,
        });
      }
    }
    return found;
  });
}

/** How many inbound streams of a kind make progress: frames decoded for video, energy for audio. */
export async function progressing(page: Page, kind: 'audio' | 'video'): Promise<number> {
  const before = await inbound(page);
  await page.waitForTimeout(1_500);
  const after = await inbound(page);
  return after.filter((stream) => {
    if (stream.kind !== kind) return false;
    const earlier = before.find((s) => s.ssrc === stream.ssrc);
    return kind === 'video'
      ? stream.frames > (earlier?.frames ?? 0)
      : stream.energy > (earlier?.energy ?? 0);
  }).length;
}

/** Waits until exactly `count` inbound streams of a kind make progress. */
export async function expectProgress(page: Page, kind: 'audio' | 'video', count: number): Promise<void> {
  await expect
    .poll(() => progressing(page, kind), { timeout: 30_000, message: `${kind} streams that make progress` })
    .toBe(count);
}

/** The local UDP port that a page's media go through. */
export async function mediaPort(page: Page): Promise<number> {
  const port = await page.evaluate(async () => {
    const stats = await window.__connections.at(-1)?.getStats();
    const reports = [...(stats?.values() ?? [])];
    const transport = reports.find((report) => report.type === 'transport');
    const pair = reports.find((report) => report.id === transport?.selectedCandidatePairId);
    return reports.find((report) => report.id === pair?.localCandidateId)?.port as unknown;
  });
  if (typeof port !== 'number') throw new Error(`no local port among the statistics: ${String(port)}`);
  return port;
}

/** What a page has received so far, over all live connections. */
export interface Received {
  audio: {
    packets: number;
    lost: number;
    /** Samples played, and of those how many were made up because nothing was there, silence aside. */
    samples: number;
    concealed: number;
  };
  video: {
    packets: number;
    lost: number;
    frames: number;
    freezes: number;
    frozenSeconds: number;
    keyframes: number;
    /** Asked for: packets again, and keyframes. */
    nacks: number;
    plis: number;
  };
}

export async function received(page: Page): Promise<Received> {
  return page.evaluate(async () => {
    const audio = { packets: 0, lost: 0, samples: 0, concealed: 0 };
    const video = { packets: 0, lost: 0, frames: 0, freezes: 0, frozenSeconds: 0, keyframes: 0, nacks: 0, plis: 0 };
    for (const connection of window.__connections) {
      if (connection.connectionState === 'closed') continue;
      for (const report of (await connection.getStats()).values()) {
        if (report.type !== 'inbound-rtp') continue;
        const into = report.kind === 'audio' ? audio : video;
        into.packets += report.packetsReceived ?? 0;
        into.lost += report.packetsLost ?? 0;
        if (report.kind === 'audio') {
          audio.samples += report.totalSamplesReceived ?? 0;
          audio.concealed += (report.concealedSamples ?? 0) - (report.silentConcealedSamples ?? 0);
        } else {
          video.frames += report.framesDecoded ?? 0;
          video.freezes += report.freezeCount ?? 0;
          video.frozenSeconds += report.totalFreezesDuration ?? 0;
          video.keyframes += report.keyFramesDecoded ?? 0;
          video.nacks += report.nackCount ?? 0;
          video.plis += report.pliCount ?? 0;
        }
      }
    }
    return { audio, video };
  });
}

/** What a page received from one moment to a later one. */
export function since(before: Received, after: Received): Received {
  const difference = <T extends object>(earlier: T, later: T) =>
    Object.fromEntries(Object.entries(later).map(([key, value]) => [key, (value as number) - (earlier[key as keyof T] as number)])) as T;
  return { audio: difference(before.audio, after.audio), video: difference(before.video, after.video) };
}
