import assert from 'node:assert/strict'
import { encode } from 'cborg'
import fc from 'fast-check'
import { concatBytes, fromHex, utf8 } from '../../../attestation/base/index.ts'
import {
  type AgentMessage,
  decodeAgentMessage,
  decodeQuotedBody,
  decodeVerifierMessage,
  encodeMessage,
  MAX_FRAME_BYTES,
  MAX_LOG_BYTES,
  ProtocolError,
  type QuotedBody,
  type VerifierMessage,
} from '../../../attestation/protocol/index.ts'
import { fuzzRuns } from '../../support/fuzz.ts'

const HEX = 'ab'.repeat(32)
const nonce = new Uint8Array(32).fill(1)
const log = { resetCount: 1, restartCount: 0, offset: 0, bytes: new Uint8Array(3), more: false }
const pcrs = [{ bank: 'sha256' as const, pcr: 15, value: new Uint8Array(32) }]

const AGENT: AgentMessage[] = [
  {
    t: 'hello',
    agent: '0.1.0',
    hostname: 'n1',
    ekPublic: Uint8Array.of(1),
    ekChain: [],
    akPublic: Uint8Array.of(2),
    pcr: 15,
    banks: ['sha1', 'sha256'],
    mode: 'enforce',
  },
  { t: 'activation', proof: nonce },
  { t: 'renew' },
  { t: 'quoted', body: Uint8Array.of(1), attest: Uint8Array.of(2), signature: Uint8Array.of(3), machineLogs: [] },
  {
    ...{ t: 'quoted', body: Uint8Array.of(1), attest: Uint8Array.of(2), signature: Uint8Array.of(3) },
    machineLogs: [{ source: 'firmware', offset: 7, bytes: Uint8Array.of(4), more: true }],
  },
]
const BODIES: QuotedBody[] = [
  { t: 'evidence', purpose: 'session', nonce, pcrs, log },
  { t: 'launch', id: 7, request: utf8('{}'), nonce, pcrs, log },
]
const VERIFIER: VerifierMessage[] = [
  { t: 'stop-pods', reason: 'the node has failed' },
  { t: 'activate', idObject: Uint8Array.of(1), encryptedSecret: Uint8Array.of(2) },
  { t: 'status', nodeId: HEX, admission: 'pending', message: 'wait' },
  {
    t: 'challenge',
    purpose: 'periodic',
    nonce,
    selection: [{ bank: 'sha256', pcrs: [15] }],
    log: { resetCount: 1, restartCount: 0, offset: 0 },
    machineLogs: [{ source: 'ima', offset: 9 }],
  },
  {
    t: 'result',
    tier: 'warning',
    result: 'jwt',
    findings: [{ rule: 'r', tier: 'none', message: 'm' }],
    nonce,
    logOffset: 0,
    machineLogs: [],
  },
  { t: 'ticket', id: 7, ticket: 'jwt', nonce, logOffset: 0, machineLogs: [] },
  { t: 'denied', id: 7, code: 'POLICY_DENIED', reasons: ['because'], nonce, logOffset: 0, machineLogs: [] },
  { t: 'renewed', nonce },
  { t: 'error', code: 'NOPE', message: 'no' },
]

describe('messages', () => {
  const directions: [string, readonly { readonly t: string }[], (frame: Uint8Array) => unknown][] = [
    ['an agent', AGENT, decodeAgentMessage],
    ['a quote', BODIES, decodeQuotedBody],
    ['a verifier', VERIFIER, decodeVerifierMessage],
  ]
  for (const [who, messages, decode] of directions) {
    for (const message of messages) {
      it(`${message.t} of ${who} is decoded as it was encoded`, () => {
        assert.deepEqual(decode(encodeMessage(message as AgentMessage)), message)
      })
      it(`${message.t} is refused where another direction is read`, () => {
        for (const [, , other] of directions) {
          if (other === decode) continue
          assert.throws(() => other(encodeMessage(message as AgentMessage)), { code: 'PROTOCOL_UNKNOWN_MESSAGE' })
        }
      })
      it(`${message.t} is refused with any field missing, unknown or of another type, and the message names it`, () => {
        for (const field of Object.keys(message).filter((f) => f !== 't')) {
          const { [field]: _, ...without } = message as Record<string, unknown>
          for (const bad of [without, { ...message, [field]: null }, { ...message, [field]: [-1] }]) {
            assert.throws(
              () => decode(deterministic(bad)),
              (err) => {
                assert.ok(err instanceof ProtocolError)
                assert.equal(err.code, 'PROTOCOL_INVALID_MESSAGE')
                return err.message.includes(`/${field}`)
              },
              field,
            )
          }
        }
        assert.throws(() => decode(deterministic({ ...message, zzz: 1 })), { code: 'PROTOCOL_INVALID_MESSAGE' })
      })
      it(`${message.t} is refused when cut anywhere, or followed by a byte`, () => {
        const frame = encodeMessage(message as AgentMessage)
        for (let n = 0; n < frame.length; n++)
          assert.throws(() => decode(frame.subarray(0, n)), { code: 'PROTOCOL_NOT_CBOR' })
        assert.throws(() => decode(concatBytes(frame, Uint8Array.of(0))), { code: 'PROTOCOL_NOT_CBOR' })
      })
    }
  }

  it('error may say when to come again', () => {
    const later: VerifierMessage = { t: 'error', code: 'LATER', message: 'not now', retryAfterMs: 5000 }
    assert.deepEqual(decodeVerifierMessage(encodeMessage(later)), later)
    assert.throws(() => encodeMessage({ ...later, retryAfterMs: -1 }), { code: 'PROTOCOL_INVALID_MESSAGE' })
  })

  const refused = [
    { name: 'an indefinite map', hex: 'bf6174656572726f72ff', code: 'PROTOCOL_NOT_CBOR' },
    { name: 'an indefinite text', hex: 'a161747f656572726f72ff', code: 'PROTOCOL_NOT_CBOR' },
    { name: 'a tag', hex: 'c0a0', code: 'PROTOCOL_NOT_CBOR' },
    { name: 'undefined', hex: 'a16174f7', code: 'PROTOCOL_NOT_CBOR' },
    { name: 'a number as key', hex: 'a10101', code: 'PROTOCOL_NOT_CBOR' },
    { name: 'a key twice', hex: 'a2617401617402', code: 'PROTOCOL_NOT_CBOR' },
    { name: 'an integer above 2^53', hex: 'a161741bffffffffffffffff', code: 'PROTOCOL_NOT_CBOR' },
    { name: 'an integer longer than it must be', hex: 'a161741801', code: 'PROTOCOL_NOT_CBOR' },
    { name: 'NaN', hex: 'a16174f97e00', code: 'PROTOCOL_NOT_CBOR' },
    { name: 'an integer as float', hex: 'a16174f93c00', code: 'PROTOCOL_NOT_DETERMINISTIC' },
    { name: 'keys in another order', hex: 'a2617500617401', code: 'PROTOCOL_NOT_DETERMINISTIC' },
    { name: 'text that is not UTF-8', hex: 'a1617463ff6f6f', code: 'PROTOCOL_NOT_DETERMINISTIC' },
    { name: 'a list in place of a map', hex: '80', code: 'PROTOCOL_UNKNOWN_MESSAGE' },
    { name: 'null', hex: 'f6', code: 'PROTOCOL_UNKNOWN_MESSAGE' },
    { name: 'a map without t', hex: 'a0', code: 'PROTOCOL_UNKNOWN_MESSAGE' },
    { name: 'a t that is no text', hex: 'a1617401', code: 'PROTOCOL_UNKNOWN_MESSAGE' },
    {
      name: 't of a member that every object has',
      hex: 'a161746b636f6e7374727563746f72',
      code: 'PROTOCOL_UNKNOWN_MESSAGE',
    },
    { name: 'an array of 2^32 - 1 items that are not there', hex: 'a161749affffffff', code: 'PROTOCOL_TOO_COMPLEX' },
    { name: 'a byte string of 4 GiB that is not there', hex: 'a161745affffffff', code: 'PROTOCOL_NOT_CBOR' },
  ]
  for (const { name, hex, code } of refused) {
    it(`refuse ${name} with ${code}`, () => {
      for (const [, , decode] of directions) assert.throws(() => decode(fromHex(hex)), { code, name: 'ProtocolError' })
    })
  }

  it('refuse 100,000 open arrays before recursing into them', () => {
    assert.throws(() => decodeAgentMessage(new Uint8Array(100_000).fill(0x81)), { code: 'PROTOCOL_TOO_COMPLEX' })
  })

  it('refuse a list of a million numbers before holding them', () => {
    const frame = concatBytes(fromHex('9a000f4240'), new Uint8Array(1_000_000))
    assert.throws(() => decodeAgentMessage(frame), { code: 'PROTOCOL_TOO_COMPLEX' })
  })

  it('refuse a frame above the limit without decoding it', () => {
    assert.throws(() => decodeAgentMessage(new Uint8Array(MAX_FRAME_BYTES + 1)), { code: 'PROTOCOL_FRAME_TOO_LARGE' })
  })

  it('carry the longest piece of log inside the largest frame', () => {
    const body = encodeMessage({
      t: 'evidence',
      purpose: 'session',
      nonce,
      pcrs,
      log: { ...log, bytes: new Uint8Array(MAX_LOG_BYTES) },
    })
    assert.ok(
      encodeMessage({ t: 'quoted', body, attest: Uint8Array.of(1), signature: Uint8Array.of(1), machineLogs: [] })
        .length < MAX_FRAME_BYTES,
    )
  })

  it('that nobody would accept are not encoded', () => {
    const long = { ...log, bytes: new Uint8Array(MAX_LOG_BYTES + 1) }
    assert.throws(() => encodeMessage({ t: 'evidence', purpose: 'session', nonce, pcrs, log: long }), {
      code: 'PROTOCOL_INVALID_MESSAGE',
    })
    const body = new Uint8Array(MAX_FRAME_BYTES)
    assert.throws(
      () =>
        encodeMessage({ t: 'quoted', body, attest: Uint8Array.of(1), signature: Uint8Array.of(1), machineLogs: [] }),
      {
        code: 'PROTOCOL_FRAME_TOO_LARGE',
      },
    )
  })

  it('read from a Buffer do not share its memory', () => {
    const frame = Buffer.from(encodeMessage({ t: 'activation', proof: nonce }))
    const message = decodeAgentMessage(frame)
    frame.fill(0xff)
    assert.deepEqual(message, { t: 'activation', proof: nonce })
  })

  it('give a value or a ProtocolError for any bytes, also for damaged messages', () => {
    const total = (bytes: Uint8Array) => {
      for (const [, , decode] of directions) {
        try {
          decode(bytes)
        } catch (err) {
          assert.ok(err instanceof ProtocolError)
        }
      }
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), total))
    const frames = [...AGENT, ...BODIES, ...VERIFIER].map((m) => encodeMessage(m))
    fc.assert(
      fc.property(fc.constantFrom(...frames), fc.nat(), fc.nat(255), (frame, at, value) => {
        const damaged = frame.slice()
        damaged[at % damaged.length] = value
        total(damaged)
      }),
      { numRuns: fuzzRuns(500) },
    )
  })
})

/** As our encoder writes it, without its check of the schema. */
function deterministic(value: object): Uint8Array {
  const keys = Object.keys(value).sort((a, b) => a.length - b.length || (a < b ? -1 : 1))
  return encode(Object.fromEntries(keys.map((k) => [k, (value as Record<string, unknown>)[k]])))
}
