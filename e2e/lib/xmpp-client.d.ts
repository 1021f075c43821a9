// @xmpp/client comes without types: what the tests use of it.
declare module '@xmpp/client' {
  import type { EventEmitter } from 'node:events';

  export interface Element {
    name: string;
    attrs: Record<string, string | undefined>;
    children: (Element | string)[];
    is(name: string, xmlns?: string): boolean;
    getChild(name: string, xmlns?: string): Element | undefined;
    getChildText(name: string, xmlns?: string): string | null;
    toString(): string;
  }

  export interface Client extends EventEmitter {
    jid?: { toString(): string; local: string };
    /** The wrapped WebSocket. */
    socket?: { socket?: { _socket?: { destroy(): void } } };
    streamManagement: EventEmitter & { id: string };
    iqCaller: { request(iq: Element, timeout?: number): Promise<Element> };
    start(): Promise<unknown>;
    stop(): Promise<unknown>;
    send(stanza: Element): Promise<void>;
  }

  export function client(options: { service: string; domain: string }): Client;
  export function xml(
    name: string,
    attrs?: Record<string, string>,
    ...children: (Element | string)[]
  ): Element;
}
