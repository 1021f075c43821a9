// What the bridge counts, from the admin listener.
import type { Server } from './server.ts';

export interface EndpointCounters {
  id: string;
  /** Datagrams on the wire. */
  in: number;
  out: number;
  /** Of those, RTP that was taken in and passed on to it. */
  rtpIn: number;
  rtpOut: number;
}

/** Packets in and out of every endpoint. */
export async function endpointCounters(server: Server): Promise<EndpointCounters[]> {
  const list = (await (await fetch(`${server.admin}/debug`)).json()) as { conference: string }[];
  const found: EndpointCounters[] = [];
  for (const { conference } of list) {
    const dump = (await (await fetch(`${server.admin}/debug/${conference}`)).json()) as {
      endpoints: Record<
        string,
        {
          packets_received: number;
          packets_sent: number;
          forwarding: { rtp_received: number; rtp_sent: number } | null;
        }
      >;
    };
    for (const [id, endpoint] of Object.entries(dump.endpoints)) {
      found.push({
        id,
        in: endpoint.packets_received,
        out: endpoint.packets_sent,
        rtpIn: endpoint.forwarding?.rtp_received ?? 0,
        rtpOut: endpoint.forwarding?.rtp_sent ?? 0,
      });
    }
  }
  return found;
}
