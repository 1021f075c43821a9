import { Element } from 'ltx'
import { NS } from './ns.ts'

type Attributes = Record<string, string | undefined>

/** An element with its own `xmlns`, attributes that are defined, and children or text. */
export function el(name: string, xmlns: string | null, attrs: Attributes = {}, ...children: (Element | string)[]): Element {
  const given: Record<string, string> = xmlns === null ? {} : { xmlns }
  for (const [key, value] of Object.entries(attrs)) if (value !== undefined) given[key] = value
  const element = new Element(name, given)
  for (const child of children) {
    if (typeof child === 'string') element.t(child)
    else element.cnode(child)
  }
  return element
}

export function iq(type: 'get' | 'set' | 'result', attrs: Attributes, ...children: Element[]): Element {
  return el('iq', NS.client, { type, ...attrs }, ...children)
}

/** The empty answer to a request. */
export function resultOf(request: Element): Element {
  return iq('result', { id: request.attrs['id'], to: request.attrs['from'] })
}

/** The refusal of a request. */
export function errorOf(request: Element, condition: string, ...more: Element[]): Element {
  const error = el('error', null, { type: 'cancel' }, el(condition, NS.stanzas), ...more)
  return el('iq', NS.client, { type: 'error', id: request.attrs['id'], to: request.attrs['from'] }, error)
}

/** Condition, type, text and application child of an error stanza. */
export interface StanzaErrorInfo {
  readonly type: string
  readonly condition: string
  readonly text: string | null
  readonly application: string | null
}

export function errorInfo(stanza: Element): StanzaErrorInfo {
  const error = stanza.getChild('error')
  const children = error?.getChildElements() ?? []
  const condition = children.find((child) => child.getNS() === NS.stanzas && child.name !== 'text')
  return {
    type: error?.attrs['type'] ?? '',
    condition: condition?.name ?? 'undefined-condition',
    text: error?.getChildText('text', NS.stanzas) ?? null,
    application: children.find((child) => child.getNS() !== NS.stanzas)?.name ?? null
  }
}

/** A request that was answered by an error. */
export class StanzaError extends Error {
  readonly info: StanzaErrorInfo
  constructor(stanza: Element) {
    const info = errorInfo(stanza)
    super(`${info.type}/${info.condition}`)
    this.info = info
  }
}
