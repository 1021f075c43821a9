// Descriptions: golden texts both ways, then any session there and back again.
//
// `golden/offer-*.sdp` is what we make of the offers in `fixtures/jingle`; `golden/answer-*.sdp` is what
// real browsers (Chromium 156, Firefox 153) answered to `offer-slots.sdp` once a track of ours was on each
// m-line they may send on; `golden/accept-*.xml` is what we make of those. `npx vitest run -u` in `web/core`
// writes anew what we make.

import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { type Element, parse } from 'ltx'
import { describe, expect, it } from 'vitest'
import { type LocalSource, type LocalTransport, acceptJingle, readLocal, sourceJingle } from '../src/sdp/local.ts'
import { type MediaOffer, type Offer, readOffer } from '../src/sdp/offer.ts'
import { type Section, firstSections, remoteDescription } from '../src/sdp/remote.ts'
import { furtherEncodings, withEncodings } from '../src/sdp/simulcast.ts'
import { el } from '../src/stanza/build.ts'
import { NS } from '../src/stanza/ns.ts'
import { fixture } from './service.ts'

function offerOf(name: string): Offer {
  const request = parse(fixture(`jingle/${name}.xml`))
  const offer = readOffer(request.getChild('jingle', NS.jingle) ?? request, request.attrs['from'] ?? '')
  if (!offer) throw new Error(`${name} is no offer`)
  return offer
}

const golden = (name: string) => readFileSync(new URL(`golden/${name}`, import.meta.url), 'utf8')

/** A session that has grown: two slots toward us, and a screen of ours. */
function grown(offer: Offer): Section[] {
  return [
    ...firstSections(offer),
    { mid: '2', kind: 'audio', direction: 'sendonly', stream: { ssrc: 551_200_777, rtx: null, msid: 'remote-audio-2 remote-audio-2' } },
    {
      mid: '3',
      kind: 'video',
      direction: 'sendonly',
      stream: { ssrc: 3_001_200_450, rtx: 3_001_200_451, msid: 'remote-video-3 remote-video-3' }
    },
    { mid: '4', kind: 'video', direction: 'recvonly', stream: null }
  ]
}

describe('from Jingle to SDP', () => {
  it.each(['offer-rewriting', 'offer-minimum', 'offer-hall'])('%s', async (name) => {
    const offer = offerOf(name)
    const sdp = remoteDescription(offer, firstSections(offer), 1)
    // RFC 8866 §5: each line ends so, the last one too.
    expect(sdp.replaceAll('\r\n', '')).not.toMatch(/[\r\n]/u)
    expect(sdp.endsWith('\r\n')).toBe(true)
    await expect(sdp.replaceAll('\r\n', '\n')).toMatchFileSnapshot(`golden/${name}.sdp`)
  })

  it('sound that comes twice goes before the plain one, which is what a browser sends then', () => {
    const sdp = remoteDescription(offerOf('offer-hall'), firstSections(offerOf('offer-hall')), 1)
    expect(sdp).toContain('m=audio 9 UDP/TLS/RTP/SAVPF 112 111 126\r\n')
    expect(sdp).toContain('a=rtpmap:112 red/48000/2\r\na=fmtp:112 111/111\r\n')
  })

  it('a session with slots and a screen', async () => {
    const offer = offerOf('offer-rewriting')
    await expect(remoteDescription(offer, grown(offer), 3).replaceAll('\r\n', '\n')).toMatchFileSnapshot('golden/offer-slots.sdp')
  })
})

/** The same XML, one element a line. */
function pretty(element: Element, indent = ''): string {
  const head = [element.name, ...Object.entries(element.attrs).map(([key, value]) => `${key}="${value}"`)].join(' ')
  const inner = element.getChildElements()
  const text = element.getText()
  if (inner.length === 0) return text === '' ? `${indent}<${head}/>\n` : `${indent}<${head}>${text}</${element.name}>\n`
  return `${indent}<${head}>\n${inner.map((child) => pretty(child, `${indent} `)).join('')}${indent}</${element.name}>\n`
}

function transportOf(sdp: string): LocalTransport {
  const { transport } = readLocal(sdp)
  if (!transport) throw new Error('no transport')
  return transport
}

describe('from SDP to Jingle', () => {
  it('chromium: what is sent, by m-line', () => {
    const { transport, sending, accepted } = readLocal(golden('answer-chromium.sdp'))
    expect(transport).toMatchObject({ ufrag: 'H65k', pwd: 'rGeiSh0A+wOsBLYtG/rV0QpY', fingerprint: { hash: 'sha-256' } })
    expect([...sending]).toEqual([
      ['0', [{ ssrc: 3_140_663_487, rtx: null }]],
      ['1', [{ ssrc: 3_160_763_220, rtx: 3_270_265_606 }]],
      ['4', [{ ssrc: 4_017_509_679, rtx: 2_311_885_217 }]]
    ])
    expect([...(accepted.get('video')?.payloadTypes ?? [])]).toEqual([100, 101, 107, 41, 42, 96, 97, 99])
    expect([...(accepted.get('video')?.extensions ?? [])]).toEqual([3, 5, 11])
  })

  it('firefox: SSRCs of m-lines that only receive are no sources', () => {
    const sdp = golden('answer-firefox.sdp')
    expect(sdp).toContain('a=ssrc:2737693367 ')
    const { transport, sending, accepted } = readLocal(sdp)
    expect(transport).toMatchObject({ ufrag: '1d7709a8', pwd: '032e645a295c10f7b2e88ea42127ea83' })
    expect([...sending]).toEqual([
      ['0', [{ ssrc: 2_621_351_141, rtx: null }]],
      ['1', [{ ssrc: 120_923_813, rtx: 3_830_401_488 }]],
      ['4', [{ ssrc: 1_902_982_098, rtx: 781_519_454 }]]
    ])
    expect([...(accepted.get('video')?.payloadTypes ?? [])]).toEqual([100, 96, 101, 97, 41, 42])
  })

  it('nothing: no transport, no sources', () => {
    expect(readLocal('')).toEqual({ transport: null, sending: new Map(), accepted: new Map() })
  })

  it.each(['chromium', 'firefox'])('%s: the answer to the focus', async (browser) => {
    const local = readLocal(golden(`answer-${browser}.sdp`))
    const sources = ([['0', 'audio', 'a0'], ['1', 'video', 'v0']] as const).flatMap(([mid, kind, suffix]): LocalSource[] => {
      const sending = local.sending.get(mid)
      const name = `a1b2c3d4-${suffix}`
      return sending ? [{ encodings: sending, name, kind, screen: false, msid: `${name}-stream ${name}-track` }] : []
    })
    const offer = offerOf('offer-rewriting')
    const accept = acceptJingle(offer, 'a1b2c3d4@meet.example/x', local, transportOf(golden(`answer-${browser}.sdp`)), sources)
    expect(parse(pretty(accept)).attrs).toEqual(accept.attrs)
    await expect(pretty(accept)).toMatchFileSnapshot(`golden/accept-${browser}.xml`)
  })
})

describe('several encodings', () => {
  const further = [
    { ssrc: 11, rtx: 12 },
    { ssrc: 21, rtx: 22 }
  ]
  const encodings = [{ ssrc: 3_160_763_220, rtx: 3_270_265_606 }, ...further]
  const answer = golden('answer-chromium.sdp').replaceAll(/\r?\n/gu, '\r\n')

  it('are those of the first and further ones, with all that is said of it', () => {
    const sdp = withEncodings(answer, '1', further)
    expect(readLocal(sdp).sending.get('1')).toEqual(encodings)
    const said = (one: number) => [...sdp.matchAll(new RegExp(`a=ssrc:${one} (.*)\r\n`, 'gu'))].map(([, what]) => what)
    expect(said(3_160_763_220)).not.toEqual([])
    for (const one of [11, 12, 21, 22]) expect(said(one)).toEqual(said(3_160_763_220))
    // No other m-line has changed, and the next answer has the same ones.
    for (const mid of ['0', '4']) expect(readLocal(sdp).sending.get(mid)).toEqual(readLocal(answer).sending.get(mid))
    expect(withEncodings(sdp, '1', furtherEncodings())).toBe(sdp)
  })

  it.each([
    ['nothing is sent', answer.replaceAll(/a=ssrc.*\r\n/gu, ''), '1'],
    ['there is no such m-line', answer, '9'],
    ['it is audio', answer, '0'],
    ['there is nothing', '', '1']
  ])('are none where %s', (_, sdp, mid) => {
    expect(withEncodings(sdp, mid, further)).toBe(sdp)
  })

  it('are asked for by name in the camera’s section alone, where a browser wants that', () => {
    const offer = offerOf('offer-rewriting')
    const plain = remoteDescription(offer, grown(offer), 3)
    const asked = remoteDescription(offer, grown(offer), 3, ['1', '2', '3'])
    const lines = 'a=rid:1 recv\r\na=rid:2 recv\r\na=rid:3 recv\r\na=simulcast:recv 1;2;3\r\n'
    expect(asked.split(lines)).toHaveLength(2)
    expect(asked.replace(lines, '')).toBe(plain)
    expect(asked.indexOf(lines)).toBeLessThan(asked.indexOf('a=mid:2'))
    expect(asked.indexOf(lines)).toBeGreaterThan(asked.indexOf('a=mid:1'))
  })

  // As Firefox 153 answers them: pairs in the order of the names, and no group over them.
  it('are read from an answer that has names', () => {
    const pairs = ['1296428893 237592201', '3535986100 3357954148', '1021187125 2945586515']
    const named = [
      'v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0',
      'm=video 9 UDP/TLS/RTP/SAVPF 100 96\r\nc=IN IP4 0.0.0.0\r\na=sendrecv\r\na=mid:1',
      'a=rid:1 send\r\na=rid:2 send\r\na=rid:3 send\r\na=simulcast:send 1;2;3\r\na=rtpmap:100 VP8/90000',
      ...pairs.flatMap((pair) => pair.split(' ').map((one) => `a=ssrc:${one} cname:{c2}`)),
      ...pairs.map((pair) => `a=ssrc-group:FID ${pair}`),
      ''
    ].join('\r\n')
    const sending = pairs.map((pair) => pair.split(' ').map(Number)).map(([ssrc, rtx]) => ({ ssrc, rtx }))
    expect(readLocal(named).sending.get('1')).toEqual(sending)
    // One that was not asked has one.
    const one = named.replaceAll(/a=(?:rid|simulcast).*\r\n/gu, '')
    expect(readLocal(one).sending.get('1')).toEqual(sending.slice(0, 1))
  })

  it('are told as groups, ascending', () => {
    const name = 'a1b2c3d4-v0'
    const source = { name, kind: 'video', screen: false, encodings, msid: `${name}-stream ${name}-track` } as const
    const jingle = sourceJingle('source-add', offerOf('offer-rewriting'), [source])
    const description = jingle.getChild('content')?.getChild('description', NS.rtp)
    const ssrcs = (of: Element | undefined) => of?.getChildren('source').map(({ attrs }) => Number(attrs['ssrc']))
    expect(ssrcs(description)).toEqual([3_160_763_220, 3_270_265_606, 11, 12, 21, 22])
    expect(description?.getChildren('ssrc-group').map((group) => [group.attrs['semantics'], ssrcs(group)])).toEqual([
      ['SIM', [3_160_763_220, 11, 21]],
      ['FID', [3_160_763_220, 3_270_265_606]],
      ['FID', [11, 12]],
      ['FID', [21, 22]]
    ])
  })

  it('have SSRCs of their own in every session', () => {
    const all = Array.from({ length: 100 }, furtherEncodings).flat().flatMap(({ ssrc, rtx }) => [ssrc, rtx ?? 0])
    expect(new Set(all).size).toBe(400)
    expect(all.every((one) => one > 0 && one <= 2 ** 31)).toBe(true)
  })
})

describe('an offer without what a session needs', () => {
  const whole = fixture('jingle/offer-minimum.xml')
  it.each([
    ['id', / sid="[^"]*"/u],
    ['ufrag', / ufrag="[^"]*"/gu],
    ['fingerprint', /<fingerprint[\s\S]*?<\/fingerprint>/gu],
    ['audio', / media="audio"/u],
    ['source of the bridge', / owner="jvb"/u]
  ])('%s is none', (_, what) => {
    const less = whole.replace(what, '')
    expect(less).not.toBe(whole)
    const jingle = parse(less).getChild('jingle', NS.jingle)
    expect(jingle && readOffer(jingle, 'room@muc.meet.example/focus')).toBeNull()
  })

  it('may lack the bridge channel and the bridge’s session, and its JSON may be no JSON', () => {
    const less = whole.replaceAll(/<(web-socket|bridge-session)[^>]*\/>/gu, '').replace('</jingle>', '<json-message xmlns="http://jitsi.org/jitmeet">{</json-message></jingle>')
    const jingle = parse(less).getChild('jingle', NS.jingle)
    expect(jingle && readOffer(jingle, 'x')).toMatchObject({ bridgeSession: null, transport: { webSocket: null } })
  })
})

// -- any session ------------------------------------------------------------------------------

const ssrc = fc.integer({ min: 1, max: 0xff_ff_ff_ff })
const token = (most: number) => fc.stringMatching(new RegExp(`^[A-Za-z0-9-]{1,${most}}$`, 'u'))
/** RFC 8839 §5.4. */
const ice = (least: number) =>
  fc.oneof(
    fc.stringMatching(new RegExp(`^[A-Za-z0-9+/]{${least},32}$`, 'u')),
    // What looks like a number is none.
    fc.stringMatching(new RegExp(`^[0-9]{${least},${Math.max(15, least)}}$`, 'u'))
  )

/** Some sources of ours: every SSRC and every name is there once. */
const localSources = fc
  .uniqueArray(ssrc, { minLength: 2, maxLength: 24 })
  .chain((ssrcs) =>
    fc
      .array(fc.record({ kind: fc.constantFrom('audio', 'video'), screen: fc.boolean(), rtx: fc.boolean() }), {
        maxLength: Math.floor(ssrcs.length / 2)
      })
      .map((shapes) =>
        shapes.map(({ kind, screen, rtx }, index): LocalSource => {
          const name = `a1b2c3d4-${kind === 'audio' ? 'a' : 'v'}${index}`
          return {
            name,
            kind,
            screen: kind === 'video' && screen,
            encodings: [{ ssrc: ssrcs[2 * index] ?? 0, rtx: kind === 'video' && rtx ? (ssrcs[2 * index + 1] ?? 0) : null }],
            msid: `${name}-stream ${name}-track`
          }
        })
      )
  )

/** What a receiver makes of `<source>`s. */
function sourcesIn(jingle: Element): LocalSource[] {
  return jingle.getChildren('content').flatMap((content) => {
    const description = content.getChild('description', NS.rtp)
    const kind = description?.attrs['media'] === 'audio' ? 'audio' : 'video'
    const pairs = new Map(
      description?.getChildren('ssrc-group', NS.ssma).map((group) => {
        expect(group.attrs['semantics']).toBe('FID')
        const [first, second] = group.getChildren('source').map(({ attrs }) => Number(attrs['ssrc']))
        return [first, second] as const
      })
    )
    const repeats = new Set(pairs.values())
    return (description?.getChildren('source', NS.ssma) ?? []).flatMap((source): LocalSource[] => {
      const own = Number(source.attrs['ssrc'])
      if (repeats.has(own)) return []
      const msid = source.getChildren('parameter').find(({ attrs }) => attrs['name'] === 'msid')?.attrs['value'] ?? ''
      const screen = source.attrs['videoType'] === 'desktop'
      return [{ name: source.attrs['name'] ?? '', kind, screen, encodings: [{ ssrc: own, rtx: pairs.get(own) ?? null }], msid }]
    })
  })
}

const byName = (a: LocalSource, b: LocalSource) => a.name.localeCompare(b.name)

describe('any set of sources', () => {
  it.each(['source-add', 'source-remove'] as const)('survives Jingle, SDP and Jingle again: %s', (action) => {
    const offer = offerOf('offer-rewriting')
    fc.assert(
      fc.property(localSources, (sources) => {
        const there = sourceJingle(action, offer, sources).toString()
        const read = sourcesIn(parse(there))
        expect(read.toSorted(byName)).toEqual(sources.toSorted(byName))
        const sections = read.map(
          ({ kind, encodings, msid }, index): Section => ({
            mid: String(index),
            kind,
            direction: 'sendonly',
            stream: { ...(encodings[0] ?? { ssrc: 0, rtx: null }), msid }
          })
        )
        const sdp = remoteDescription(offer, sections, 1)
        const { sending } = readLocal(sdp)
        const back = read.map(({ name, kind, screen, msid }, index): LocalSource => {
          expect(sdp).toContain(`a=msid:${msid}\r\n`)
          return { name, kind, screen, msid, encodings: sending.get(String(index)) ?? [] }
        })
        expect(sending.size).toBe(sources.length)
        expect(sourceJingle(action, offer, back).toString()).toBe(there)
      })
    )
  })
})

const parameters = fc.uniqueArray(fc.tuple(token(12), token(12)), { selector: ([name]) => name, maxLength: 4 })
const feedback = fc.array(fc.tuple(token(12), fc.option(token(8))), { maxLength: 4 })
const media = <K extends 'audio' | 'video'>(kind: K): fc.Arbitrary<MediaOffer> =>
  fc.record({
    kind: fc.constant(kind),
    payloadTypes: fc.uniqueArray(
      fc.record({
        id: fc.integer({ min: 0, max: 127 }),
        name: fc.oneof(token(16), fc.constantFrom('opus', 'VP8', 'vp9', 'H264', 'AV1', 'rtx')),
        clockRate: fc.integer({ min: 8_000, max: 192_000 }),
        channels: fc.integer({ min: 1, max: 8 }),
        parameters,
        feedback
      }),
      { selector: ({ id }) => id, minLength: 1, maxLength: 12 }
    ),
    extensions: fc.uniqueArray(fc.record({ id: fc.integer({ min: 1, max: 255 }), uri: fc.webUrl() }), {
      selector: ({ id }) => id,
      maxLength: 6
    }),
    feedback: fc.record({ ssrc, rtx: fc.constant(null), msid: fc.tuple(token(16), token(16)).map((ids) => ids.join(' ')) })
  })

interface AnyOffer {
  readonly audio: MediaOffer
  readonly video: MediaOffer
  readonly transport: LocalTransport
  readonly port: number
  readonly json: boolean
}

const anyOffer: fc.Arbitrary<AnyOffer> = fc.record({
  audio: media('audio'),
  video: media('video'),
  transport: fc.record({
    ufrag: ice(4),
    pwd: ice(22),
    fingerprint: fc.record({
      hash: fc.constantFrom('sha-256', 'sha-384', 'sha-512'),
      value: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Array.from(bytes, (b) => b.toString(16).toUpperCase().padStart(2, '0')).join(':'))
    })
  }),
  port: fc.integer({ min: 1, max: 65_535 }),
  json: fc.boolean()
})

/** How a focus writes an offer. */
function offerJingle({ audio, video, transport, port, json }: AnyOffer): Element {
  const content = ({ kind, payloadTypes, extensions, feedback: bridge }: MediaOffer) =>
    el(
      'content',
      null,
      { creator: 'initiator', name: kind, senders: 'both' },
      el(
        'description',
        NS.rtp,
        { media: kind },
        ...payloadTypes.map((pt) =>
          el(
            'payload-type',
            null,
            { id: String(pt.id), name: pt.name, clockrate: String(pt.clockRate), channels: String(pt.channels) },
            ...pt.parameters.map(([name, value]) => el('parameter', null, { name, value })),
            ...pt.feedback.map(([type, subtype]) => el('rtcp-fb', NS.rtcpFb, { type, subtype: subtype ?? undefined }))
          )
        ),
        ...extensions.map(({ id, uri }) => el('rtp-hdrext', NS.hdrext, { id: String(id), uri })),
        ...(json
          ? []
          : [
              el(
                'source',
                NS.ssma,
                { ssrc: String(bridge.ssrc), name: `jvb-${kind}` },
                el('parameter', null, { name: 'msid', value: bridge.msid }),
                el('ssrc-info', NS.jitmeet, { owner: 'jvb' })
              )
            ])
      ),
      el(
        'transport',
        NS.iceUdp,
        { ufrag: transport.ufrag, pwd: transport.pwd },
        el('fingerprint', NS.dtls, { hash: transport.fingerprint.hash, setup: 'actpass' }, transport.fingerprint.value),
        el('candidate', null, {
          component: '1',
          foundation: '1',
          protocol: 'udp',
          priority: '2130706431',
          type: 'host',
          ip: '2001:db8::1',
          port: String(port)
        })
      )
    )
  const one = ({ feedback: bridge }: MediaOffer) => [{ s: bridge.ssrc, m: bridge.msid }]
  const message = JSON.stringify({ sources: { jvb: [one(video), [], one(audio)] } })
  const more = json ? [el('json-message', NS.jitmeet, {}, message)] : []
  return el('jingle', NS.jingle, { action: 'session-initiate', sid: 's1' }, content(audio), content(video), ...more)
}

describe('any offer', () => {
  it('survives Jingle, SDP and Jingle again', () => {
    fc.assert(
      fc.property(anyOffer, (any) => {
        const offer = readOffer(parse(offerJingle(any).toString()), 'room@muc.meet.example/focus')
        if (!offer) throw new Error('no offer')
        expect(offer.audio).toEqual(any.audio)
        // What cameras try first is our own choice, the rest is not.
        const byId = ({ payloadTypes }: MediaOffer) => payloadTypes.toSorted((a, b) => a.id - b.id)
        if (!offer.video) throw new Error('no video')
        expect(byId(offer.video)).toEqual(byId(any.video))
        expect({ ...offer.video, payloadTypes: [] }).toEqual({ ...any.video, payloadTypes: [] })

        const sdp = remoteDescription(offer, firstSections(offer), 1)
        expect(sdp).toContain(`a=candidate:1 1 udp 2130706431 2001:db8::1 ${any.port} typ host generation 0\r\n`)
        const local = readLocal(sdp)
        expect(local.transport).toEqual(any.transport)
        expect([...local.sending]).toEqual([
          ['0', [{ ssrc: any.audio.feedback.ssrc, rtx: null }]],
          ['1', [{ ssrc: any.video.feedback.ssrc, rtx: null }]]
        ])

        const accept = parse(acceptJingle(offer, 'me@meet.example/x', local, any.transport, []).toString())
        for (const { kind, payloadTypes, extensions } of [offer.audio, offer.video]) {
          const content = accept.getChildren('content').find(({ attrs }) => attrs['name'] === kind)
          const description = content?.getChild('description', NS.rtp)
          expect(description?.getChildren('payload-type').map(({ attrs }) => Number(attrs['id']))).toEqual(payloadTypes.map(({ id }) => id))
          expect(
            description?.getChildren('payload-type').map((pt) => pt.getChildren('parameter').map(({ attrs }) => [attrs['name'], attrs['value']]))
          ).toEqual(payloadTypes.map((pt) => pt.parameters))
          expect(description?.getChildren('rtp-hdrext').map(({ attrs }) => ({ id: Number(attrs['id']), uri: attrs['uri'] }))).toEqual(extensions)
          expect(content?.getChild('transport', NS.iceUdp)?.attrs).toMatchObject({ ufrag: any.transport.ufrag, pwd: any.transport.pwd })
        }
      })
    )
  })
})
