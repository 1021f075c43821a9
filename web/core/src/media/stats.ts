// One sample a second of what the peer connection carries.

import type { MediaStats } from '../types.ts'

interface Sample {
  readonly at: number
  readonly sent: number
  readonly received: number
  readonly packets: number
  readonly lost: number
}

export class StatsSampler {
  #last: Sample | null = null

  /** Rates since the last call; null the first time. */
  async sample(
    pc: RTCPeerConnection,
    sources: ReadonlyMap<number, string>,
    downlinkEstimateBps: number | null,
    redundantAudio: boolean
  ): Promise<MediaStats | null> {
    const report = await pc.getStats()
    let [sent, received, packets, lost] = [0, 0, 0, 0]
    let roundTripMs: number | null = null
    const framesPerSecond = new Map<string, number>()
    for (const entry of report.values()) {
      if (entry.type === 'outbound-rtp') sent += entry.bytesSent ?? 0
      else if (entry.type === 'inbound-rtp') {
        received += entry.bytesReceived ?? 0
        packets += entry.packetsReceived ?? 0
        lost += entry.packetsLost ?? 0
        const source = sources.get(entry.ssrc)
        if (source !== undefined && entry.kind === 'video') framesPerSecond.set(source, entry.framesPerSecond ?? 0)
      } else if (entry.type === 'candidate-pair' && entry.nominated && entry.currentRoundTripTime !== undefined) {
        roundTripMs = entry.currentRoundTripTime * 1000
      }
    }
    const now: Sample = { at: Date.now(), sent, received, packets, lost }
    const last = this.#last
    this.#last = now
    if (!last || now.at <= last.at) return null
    const seconds = (now.at - last.at) / 1000
    const arrived = Math.max(0, now.packets - last.packets)
    const missing = Math.max(0, now.lost - last.lost)
    return {
      at: now.at,
      sentBps: Math.max(0, ((now.sent - last.sent) * 8) / seconds),
      receivedBps: Math.max(0, ((now.received - last.received) * 8) / seconds),
      receivedLoss: arrived + missing === 0 ? 0 : missing / (arrived + missing),
      redundantAudio,
      roundTripMs,
      downlinkEstimateBps,
      framesPerSecond
    }
  }
}
