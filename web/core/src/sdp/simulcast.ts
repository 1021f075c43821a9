// Several encodings of one camera, switched on by groups of SSRCs in our own answer, as stock clients do
// (protocol 2 §13.4): the one place where a description is edited as text, since no interface offers it.

/** How many encodings a camera is sent in. */
export const ENCODINGS = 3

/** The SSRCs of one encoding. */
export interface Encoding {
  readonly ssrc: number
  readonly rtx: number | null
}

/** SSRCs for the encodings that a browser's answer does not have; the same ones in every answer of a session. */
export function furtherEncodings(): Encoding[] {
  // Neither zero nor so large that anybody would read it as negative.
  const ssrc = () => ((crypto.getRandomValues(new Uint32Array(1)).at(0) ?? 0) >>> 1) + 1
  return Array.from({ length: ENCODINGS - 1 }, () => ({ ssrc: ssrc(), rtx: ssrc() }))
}

/** An answer in which one m-line sends further encodings; as it was when it sends none, or several already. */
export function withEncodings(sdp: string, mid: string, further: readonly Encoding[]): string {
  if (further.length === 0) return sdp
  const sections = sdp.split(/^(?=m=)/mu)
  return sections.map((section) => (section.includes(`\r\na=mid:${mid}\r\n`) ? extended(section, further) : section)).join('')
}

function extended(section: string, further: readonly Encoding[]): string {
  const [, first] = /^a=ssrc-group:FID (\d+) \d+\r$/mu.exec(section) ?? []
  if (first === undefined || section.includes('a=ssrc-group:SIM')) return section
  // What is said of the first one (names, streams) is true of all.
  const said = [...section.matchAll(new RegExp(`^a=ssrc:${first} (.*)\\r$`, 'gmu'))].map(([, what]) => what)
  const lines = [`a=ssrc-group:SIM ${[first, ...further.map(({ ssrc }) => ssrc)].join(' ')}`]
  for (const { ssrc, rtx } of further) {
    if (rtx !== null) lines.push(`a=ssrc-group:FID ${ssrc} ${rtx}`)
    for (const one of rtx === null ? [ssrc] : [ssrc, rtx]) lines.push(...said.map((what) => `a=ssrc:${one} ${what}`))
  }
  return `${section}${lines.join('\r\n')}\r\n`
}
