import assert from 'node:assert/strict'
import fc from 'fast-check'
import { concatBytes, fromHex, toHex, utf8 } from '../../../../attestation/base/index.ts'
import { digest, hmac } from '../../../../attestation/crypto/index.ts'
import {
  EventLogError,
  measureLogEvents,
  readMeasureLog,
  replayRegister,
} from '../../../../attestation/event-log/index.ts'
import { fuzzRuns } from '../../../support/fuzz.ts'
import { copiedVectors } from '../../../support/vectors.ts'

const BOOT_ID = '5f7a2b0e8a4f4d5e9a1b2c3d4e5f6a7b'

interface Changes {
  readonly record?: object
  readonly content?: object
}

/** A record as systemd writes it. */
function record(string: string, eventType: string, { record: changes, content }: Changes = {}): Uint8Array {
  const bytes = utf8(string)
  const json = {
    pcr: 11,
    digests: [{ hashAlg: 'sha256', digest: toHex(digest('sha256', bytes)) }],
    content_type: 'systemd',
    content: { string, bootId: BOOT_ID, timestamp: 1_000_000, eventType, ...content },
    ...changes,
  }
  return concatBytes(Uint8Array.of(0x1e), utf8(JSON.stringify(json)), Uint8Array.of(0x0a))
}

const secret = record('', 'volume-key', {
  record: {
    pcr: 15,
    digests: [{ hashAlg: 'sha256', digest: toHex(hmac('sha256', utf8('key'), utf8('cryptsetup:root:luks'))) }],
  },
  content: { string: undefined },
})
const LOG = concatBytes(
  record('enter-initrd', 'phase'),
  secret,
  record('nvpcr-init:hardware:0x1d10200:000b00', 'nvpcr-init', { record: { pcr: 9 } }),
  record('verity', 'dm-verity', {
    record: { pcr: undefined, nv_index: 0x01d10202 },
    content: { nvIndexName: 'verity' },
  }),
)

describe('readMeasureLog', () => {
  it('reads phases, secrets and registers in NV', () => {
    const { records, unfinishedBytes } = readMeasureLog(LOG)
    assert.equal(unfinishedBytes, 0)
    assert.deepEqual(
      records.map(({ register, eventType, measured }) => ({ register, eventType, measured })),
      [
        { register: { kind: 'pcr', index: 11 }, eventType: 'phase', measured: 'string' },
        { register: { kind: 'pcr', index: 15 }, eventType: 'volume-key', measured: 'secret' },
        { register: { kind: 'pcr', index: 9 }, eventType: 'nvpcr-init', measured: 'string' },
        { register: { kind: 'nv', index: 0x01d10202, name: 'verity' }, eventType: 'dm-verity', measured: 'string' },
      ],
    )
    assert.equal(records[0]?.timestampUs, 1_000_000n)
    assert.equal(records[1]?.string, undefined)
  })

  it('makes events that say what is covered', () => {
    const forged = record('enter-initrd', 'phase', { content: { string: 'leave-initrd' } })
    const events = [...measureLogEvents(readMeasureLog(concatBytes(LOG, forged)).records)]
    assert.deepEqual(
      events.map(({ coverage, text }) => [coverage, text]),
      [
        ['data', 'boot phase "enter-initrd"'],
        ['digest', 'volume key (secret)'],
        ['data', 'register in NV set up "nvpcr-init:hardware:0x1d10200:000b00"'],
        ['data', 'dm-verity image "verity" in verity'],
        ['mismatch', 'boot phase "leave-initrd"'],
      ],
    )
  })

  it('lets no string move the cursor', () => {
    const [event] = measureLogEvents(readMeasureLog(record('a\u0000\u001b[2J', 'x\ny')).records)
    assert.equal(event?.text, 'x\\x0ay "a\\x00\\x1b[2J"')
  })

  it('replays to the register of the TPM that it was written for', () => {
    const node = copiedVectors('swtpm/node')
    const { records } = readMeasureLog(node.read('pods.tpm2-measure.log'))
    const events = [...measureLogEvents(records)]
    assert.equal(events.length, 5)
    assert.ok(events.every(({ coverage, register }) => coverage === 'data' && register.index === 15))
    const pcr15 = node.read('quote-pods.pcrs').subarray(-32) // raw, in the order of the selection: 15 is the last
    const replay = replayRegister(
      { sha256: new Uint8Array(32) },
      events.map(({ digests }) => digests),
      { sha256: pcr15 },
    )
    assert.equal(replay.proven, 5)
  })

  it('leaves out a record that was being written when the machine stopped, and counts its bytes', () => {
    const whole = record('sysinit', 'phase')
    for (let n = 1; n < whole.length; n++) {
      const { records, unfinishedBytes } = readMeasureLog(concatBytes(LOG, whole.subarray(0, n)))
      assert.equal(records.length, 4)
      assert.equal(unfinishedBytes, n)
    }
  })

  it('keeps banks that it does not know out of the digests', () => {
    const digests = [
      { hashAlg: 'sm3_256', digest: '00'.repeat(32) },
      { hashAlg: 'sha256', digest: toHex(digest('sha256', utf8('x'))) },
    ]
    const [only] = readMeasureLog(record('x', 'phase', { record: { digests } })).records
    assert.deepEqual(Object.keys(only?.digests ?? {}), ['sha256'])
  })

  const sha256 = { hashAlg: 'sha256', digest: '00'.repeat(32) }
  const refused: readonly { name: string; bytes: Uint8Array; code: string }[] = [
    { name: 'JSON lines without U+001E', bytes: utf8('{}\n'), code: 'EVENT_LOG_UNKNOWN_FORMAT' },
    { name: 'a record cut in the middle', bytes: concatBytes(LOG.subarray(0, 40), LOG), code: 'EVENT_LOG_BAD_CONTENT' },
    { name: 'an empty record', bytes: Uint8Array.of(0x1e, 0x0a), code: 'EVENT_LOG_BAD_CONTENT' },
    { name: 'no digest', bytes: record('x', 'phase', { record: { digests: [] } }), code: 'EVENT_LOG_BAD_DIGEST' },
    {
      name: 'two digests of one bank',
      bytes: record('x', 'p', { record: { digests: [sha256, sha256] } }),
      code: 'EVENT_LOG_DUPLICATE_DIGEST',
    },
    {
      name: 'a digest too short',
      bytes: record('x', 'p', { record: { digests: [{ ...sha256, digest: '00' }] } }),
      code: 'EVENT_LOG_BAD_DIGEST',
    },
    {
      name: 'a digest that is not hex',
      bytes: record('x', 'p', { record: { digests: [{ ...sha256, digest: 'zz' }] } }),
      code: 'EVENT_LOG_BAD_DIGEST',
    },
    {
      name: 'nine digests',
      bytes: record('x', 'p', { record: { digests: Array(9).fill(sha256) } }),
      code: 'EVENT_LOG_BAD_DIGEST',
    },
    { name: 'PCR 24', bytes: record('x', 'p', { record: { pcr: 24 } }), code: 'EVENT_LOG_BAD_CONTENT' },
    {
      name: 'a PCR and an NV index',
      bytes: record('x', 'p', { record: { nv_index: 1 } }),
      code: 'EVENT_LOG_BAD_CONTENT',
    },
    { name: 'no register', bytes: record('x', 'p', { record: { pcr: undefined } }), code: 'EVENT_LOG_BAD_CONTENT' },
    {
      name: 'content of another writer',
      bytes: record('x', 'p', { record: { content_type: 'pcclient_std' } }),
      code: 'EVENT_LOG_BAD_CONTENT',
    },
    {
      name: 'a string that is none',
      bytes: record('x', 'p', { content: { string: 7 } }),
      code: 'EVENT_LOG_BAD_CONTENT',
    },
    { name: 'a negative time', bytes: record('x', 'p', { content: { timestamp: -1 } }), code: 'EVENT_LOG_BAD_CONTENT' },
  ]
  for (const { name, bytes, code } of refused) {
    it(`refuses ${name} with ${code}`, () => assert.throws(() => readMeasureLog(bytes), { code }))
  }

  it('reads or refuses every prefix and every mutation', () => {
    const read = (bytes: Uint8Array) => {
      try {
        for (const event of measureLogEvents(readMeasureLog(bytes).records)) assert.ok(event.text.length < 1000)
      } catch (err) {
        if (!(err instanceof EventLogError)) throw err
      }
    }
    for (let n = 0; n <= LOG.length; n++) read(LOG.subarray(0, n))
    const change = fc.array(fc.tuple(fc.nat(LOG.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(change, (changes) => {
        const bytes = Uint8Array.from(LOG)
        for (const [at, value] of changes) bytes[at] = value
        read(bytes)
      }),
      { numRuns: fuzzRuns(1500) },
    )
  })

  it('is not one of the hex of anything else', () =>
    assert.throws(() => readMeasureLog(fromHex('00')), { code: 'EVENT_LOG_UNKNOWN_FORMAT' }))
})
