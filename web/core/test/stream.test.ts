import { Element } from 'ltx'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { StanzaError, el } from '../src/stanza/build.ts'
import { StreamError } from '../src/stream/error.ts'
import { XmppStream } from '../src/stream/stream.ts'
import { FakeSocket, JID, LOGIN, installSockets, logIn, pass, settle } from './socket.ts'

const OPTIONS = { url: 'wss://meet.example/xmpp-websocket', domain: 'meet.example', room: 'my room' }

beforeEach(() => {
  vi.useFakeTimers()
  installSockets()
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

async function opened(): Promise<[XmppStream, FakeSocket]> {
  const opening = XmppStream.open(OPTIONS)
  const socket = FakeSocket.last
  socket.accept()
  await logIn(socket)
  return [await opening, socket]
}

const question = () => el('query', 'urn:example:question')
const answer = (id: string, from: string, type = 'result', inner = '') =>
  `<iq xmlns="jabber:client" type="${type}" id="${id}" from="${from}">${inner}</iq>`

describe('login', () => {
  it('opens, authenticates, opens again and binds', async () => {
    const [stream, socket] = await opened()
    expect(stream.jid).toBe(JID)
    expect(socket.url).toBe('wss://meet.example/xmpp-websocket?room=my+room')
    expect(socket.protocols).toBe('xmpp')
    expect(socket.sent).toEqual([
      '<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" to="meet.example" version="1.0"/>',
      '<auth xmlns="urn:ietf:params:xml:ns:xmpp-sasl" mechanism="ANONYMOUS"/>',
      '<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" to="meet.example" version="1.0"/>',
      '<iq xmlns="jabber:client" type="set" id="bind"><bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/></iq>'
    ])
    stream.close()
  })

  it.each([
    ['a failure is a refusal', '<failure xmlns="urn:ietf:params:xml:ns:xmpp-sasl"><not-allowed/></failure>', true],
    ['anything else is nonsense', '<challenge xmlns="urn:ietf:params:xml:ns:xmpp-sasl"/>', false],
    ['so is what is not XML', '<<<', false],
    ['and a stream error', '<stream:error xmlns:stream="http://etherx.jabber.org/streams"/>', false]
  ])('%s', async (_, frame, refused) => {
    const opening = XmppStream.open(OPTIONS)
    const failed = expect(opening).rejects.toMatchObject({ refused })
    const socket = FakeSocket.last
    socket.accept()
    await settle()
    for (const said of LOGIN[0]?.[1] ?? []) socket.say(said)
    await settle()
    socket.say(frame)
    await failed
    expect(socket.readyState).toBe(3)
  })

  it('fails when the socket does not open, closes, or stays silent', async () => {
    const refused = expect(XmppStream.open(OPTIONS)).rejects.toBeInstanceOf(StreamError)
    FakeSocket.last.refuse()
    await refused

    const dropped = expect(XmppStream.open(OPTIONS)).rejects.toThrow('closed during login')
    FakeSocket.last.accept()
    FakeSocket.last.drop()
    await dropped

    const silent = expect(XmppStream.open(OPTIONS)).rejects.toThrow('too long')
    FakeSocket.last.accept()
    await pass(15_000)
    await silent
    expect(FakeSocket.last.readyState).toBe(3)
  })

  it('can be aborted before and while it happens', async () => {
    const abort = new AbortController()
    const during = expect(XmppStream.open({ ...OPTIONS, signal: abort.signal })).rejects.toThrow('aborted')
    FakeSocket.last.accept()
    await settle()
    abort.abort()
    await during
    expect(FakeSocket.last.readyState).toBe(3)
    await expect(XmppStream.open({ ...OPTIONS, signal: abort.signal })).rejects.toThrow('aborted')
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('requests', () => {
  it('are answered by the one they were sent to', async () => {
    const [stream, socket] = await opened()
    const asked = stream.request('get', 'focus.meet.example', question())
    expect(socket.heard.toString()).toBe(
      '<iq xmlns="jabber:client" type="get" id="a1" to="focus.meet.example"><query xmlns="urn:example:question"/></iq>'
    )
    const others: Element[] = []
    stream.onStanza = (stanza) => others.push(stanza)
    socket.say(answer('a1', 'room@muc.meet.example/evil'))
    socket.say(answer('a7', 'focus.meet.example'))
    socket.say(answer('a1', 'focus.meet.example', 'result', '<ok xmlns="urn:example:answer"/>'))
    expect((await asked).getChild('ok')).toBeDefined()
    expect(others).toEqual([])
    stream.close()
  })

  it('are refused with type, condition, text and the application’s own word', async () => {
    const [stream, socket] = await opened()
    const asked = stream.request('set', 'focus.meet.example', question())
    const stanzas = 'urn:ietf:params:xml:ns:xmpp-stanzas'
    socket.say(
      answer(
        'a1',
        'focus.meet.example',
        'error',
        `<error type="modify"><not-acceptable xmlns="${stanzas}"/><text xmlns="${stanzas}">no</text><session-invalid xmlns="http://jitsi.org/protocol/focus"/></error>`
      )
    )
    const error: unknown = await asked.catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(StanzaError)
    expect((error as StanzaError).info).toEqual({
      type: 'modify',
      condition: 'not-acceptable',
      text: 'no',
      application: 'session-invalid'
    })
    stream.close()
  })

  it('fail after ten seconds of silence, at once when the socket goes, and when it is gone', async () => {
    const [stream, socket] = await opened()
    const silent = expect(stream.request('get', 'focus.meet.example', question())).rejects.toThrow('no answer')
    await pass(10_000)
    await silent
    const cut = expect(stream.request('get', 'focus.meet.example', question())).rejects.toThrow('gone')
    socket.drop()
    await cut
    await expect(stream.request('get', 'focus.meet.example', question())).rejects.toThrow('gone')
    expect(vi.getTimerCount()).toBe(0)
  })

  it('leave everything else to the room, and ignore what is not XML', async () => {
    const [stream, socket] = await opened()
    const others: string[] = []
    stream.onStanza = (stanza) => others.push(stanza.name)
    socket.say('<presence xmlns="jabber:client"/>')
    socket.say('not xml')
    socket.say('<iq xmlns="jabber:client" type="get" id="x"/>')
    expect(others).toEqual(['presence', 'iq'])
    stream.close()
  })
})

describe('staying', () => {
  it('is lost after two pings without an answer', async () => {
    const [stream, socket] = await opened()
    const lost = vi.fn<(condition: string | null, resumable: boolean) => void>()
    stream.onLost = lost
    socket.say('<message xmlns="jabber:client"/>')
    await pass(10_000)
    expect(socket.sent).toHaveLength(4)
    await pass(10_000)
    expect(socket.heard.getChild('ping', 'urn:xmpp:ping')).toBeDefined()
    await pass(5_000)
    expect(lost).not.toHaveBeenCalled()
    await pass(10_000)
    expect(lost).toHaveBeenCalledExactlyOnceWith(null, false)
    expect(socket.readyState).toBe(3)
  })

  it('takes any answer, even a refusal, and any stanza as a sign of life', async () => {
    const [stream, socket] = await opened()
    stream.onLost = () => expect.unreachable()
    FakeSocket.service = (frame, from) => {
      const id = /id="(a\d+)"/u.exec(frame)?.[1] ?? ''
      from.say(answer(id, 'meet.example', 'error', '<error/>'))
    }
    await pass(60_000)
    FakeSocket.service = null
    // One ping is missed, then somebody speaks, then one is missed again.
    for (let round = 0; round < 4; round++) {
      await pass(18_000)
      socket.say('<message xmlns="jabber:client"/>')
    }
    stream.onLost = () => {}
    stream.close()
  })

  it('tells a stream error by its condition, and other losses without one', async () => {
    const [first, firstSocket] = await opened()
    const lost = vi.fn<(condition: string | null, resumable: boolean) => void>()
    first.onLost = lost
    firstSocket.say(
      '<stream:error xmlns:stream="http://etherx.jabber.org/streams"><conflict xmlns="urn:ietf:params:xml:ns:xmpp-streams"/></stream:error>'
    )
    expect(lost).toHaveBeenCalledExactlyOnceWith('conflict', false)
    const [second, secondSocket] = await opened()
    second.onLost = lost
    secondSocket.drop()
    expect(lost).toHaveBeenLastCalledWith(null, false)
    await settle()
    expect(lost).toHaveBeenCalledTimes(2)
  })

  it('closing leaves everything, is no loss, and ends all talk', async () => {
    const [stream, socket] = await opened()
    const lost = vi.fn<() => void>()
    const heard = vi.fn<() => void>()
    stream.onLost = lost
    stream.onStanza = heard
    stream.close()
    stream.close()
    expect(socket.sent.slice(4)).toEqual([
      '<presence xmlns="jabber:client" type="unavailable"/>',
      '<close xmlns="urn:ietf:params:xml:ns:xmpp-framing" />'
    ])
    socket.say('<message xmlns="jabber:client"/>')
    await settle()
    expect(lost).not.toHaveBeenCalled()
    expect(heard).not.toHaveBeenCalled()
    expect(vi.getTimerCount()).toBe(0)
  })
})
