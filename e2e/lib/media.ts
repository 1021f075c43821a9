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
