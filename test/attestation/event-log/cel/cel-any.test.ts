import assert from 'node:assert/strict'
import fc from 'fast-check'
import { concatBytes, fromHex, toHex, utf8 } from '../../../../attestation/base/index.ts'
import { digest } from '../../../../attestation/crypto/index.ts'
import {
  type CelContent,
  type CelRecord,
  celCoverage,
  celEvents,
  decodeCelAny,
  EventLogError,
  encodeCelCbor,
  encodeCelJson,
  encodeCelRecord,
  toCelJson,
} from '../../../../attestation/event-log/index.ts'
import { BOOT_ID, CONTENTS, LOG, measured } from '../../../support/cel.ts'
import { fuzzRuns } from '../../../support/fuzz.ts'
import { LogBuilder } from '../../../support/launch-log.ts'
import { copiedVectors, externalVectors, skipWithoutVectors } from '../../../support/vectors.ts'

const LAUNCH_LOG = new LogBuilder().agent().bytes
const plain = (record: CelRecord): unknown => toCelJson(record)

describe('one canonical event log', () => {
  it('comes back from each encoding as it was', () => {
    for (const [encoding, bytes] of [
      ['tlv', concatBytes(...LOG.map(encodeCelRecord))],
      ['json', encodeCelJson(LOG)],
      ['cbor', encodeCelCbor(LOG)],
    ] as const) {
      const log = decodeCelAny(bytes)
      assert.equal(log.encoding, encoding)
      assert.deepEqual(log.records.map(plain), LOG.map(plain), encoding)
      assert.deepEqual(
        log.records.map((r) => toHex(encodeCelRecord(r))),
        LOG.map((r) => toHex(encodeCelRecord(r))),
      )
    }
  })

  it('has launch-log content as JSON in JSON, and gives the measured bytes again', () => {
    const { records } = decodeCelAny(LAUNCH_LOG)
    const again = decodeCelAny(encodeCelJson(records)).records
    assert.deepEqual(
      again.map((r) => toHex(encodeCelRecord(r))),
      records.map((r) => toHex(encodeCelRecord(r))),
    )
    assert.deepEqual(
      [...celEvents(again)].map((e) => [e.source, e.type, e.coverage]),
      [['launch-log', 'agent', 'data']],
    )
  })

  it('is empty when nothing is there, and is refused when it begins as no encoding', () => {
    assert.deepEqual(decodeCelAny(new Uint8Array()), { encoding: 'tlv', records: [] })
    assert.throws(() => decodeCelAny(fromHex('ff')), { code: 'EVENT_LOG_BAD_ORDER' })
    assert.throws(() => decodeCelAny(utf8('abc')), { code: 'EVENT_LOG_BAD_ORDER' })
  })

  it('says of each record what its digests prove, and why', () => {
    const got = [...celEvents(LOG)].map((e) => [e.type, e.coverage, e.text])
    assert.deepEqual(got, [
      ['cel_version', 'data', 'the log is of CEL version 1.0'],
      ['firmware_end, cel_timestamp', 'data', 'the events of the firmware end here; time 1152921504606846976'],
      ['state_trans', 'data', 'the machine went through kexec'],
      ['cel 9', 'data', 'event 9 of the log itself: 0102'],
      ['EV_EFI_ACTION', 'data', 'Calling EFI Application from Boot Option'],
      ['ima-ng', 'data', '2 bytes of template data: 0102'],
      ['ima_tlv', 'digest', 'path /usr/bin/df, datahash 0b'],
      ['phase', 'data', 'enter-initrd'],
      ['volume-key', 'digest', 'a secret'],
      ['systemd', 'data', 'leave-initrd'],
      ['EnvVar', 'data', 'A=B'],
      ['content 200', 'digest', 'ff'],
    ])
  })

  it('does not call an event forged whose digest can be of something else', () => {
    const other = fromHex('11'.repeat(20))
    const with_ = (content: CelContent, over = {}) =>
      celCoverage(measured(0, content, { digests: [{ alg: 4, bank: 'sha1', bytes: other }], ...over })).coverage
    assert.equal(with_({ kind: 'pcclient_std', claimedEventType: 0x80000003, eventData: fromHex('01') }), 'digest')
    assert.equal(with_({ kind: 'pcclient_std', claimedEventType: 3, eventData: fromHex('01') }), 'not-extended')
    assert.equal(with_({ kind: 'pcclient_std', claimedEventType: 5, eventData: fromHex('01') }), 'mismatch')
    assert.equal(with_(CONTENTS[0] as CelContent), 'mismatch')
    assert.equal(with_(CONTENTS[0] as CelContent, { rebuilt: true }), 'digest')
    assert.equal(
      with_(CONTENTS[5] as CelContent, { digests: [{ alg: 4, bank: 'sha1', bytes: new Uint8Array(20) }] }),
      'digest',
    )
    assert.equal(with_(CONTENTS[7] as CelContent), 'mismatch')
    assert.equal(with_(CONTENTS[7] as CelContent, { digests: [] }), 'not-extended')
    assert.equal(
      with_(CONTENTS[7] as CelContent, { digests: [{ alg: 0x12, bytes: fromHex('11'.repeat(32)) }] }),
      'digest',
    )
  })

  it('takes the padded SHA-1 digest of older kernels for what it is', () => {
    const data = fromHex('0102')
    const padded = new Uint8Array(32)
    padded.set(digest('sha1', data))
    const digests = [{ alg: 11, bank: 'sha256' as const, bytes: padded }]
    assert.match(celCoverage(measured(0, { kind: 'ima_template', name: 'ima-ng', data }, { digests })).why, /padded/)
  })

  it('names CCMRs as the runtime registers they are, and refuses MRTD', () => {
    const at = (value: number) => [
      ...celEvents([measured(0, CONTENTS[10] as CelContent, { index: { kind: 'ccmr', value } })]),
    ]
    assert.deepEqual(
      at(4).map((e) => e.register),
      [{ kind: 'rtmr', index: 3 }],
    )
    assert.throws(() => at(0), { code: 'EVENT_LOG_BAD_NUMBER' })
  })

  it('shows no control characters', () => {
    const text = [
      ...celEvents([
        measured(0, {
          kind: 'systemd',
          event: { eventType: 0, timestamp: 0n, bootId: BOOT_ID, string: 'a\n\u001b[2Jb\u202e' },
        }),
      ]),
    ]
    assert.equal(text[0]?.text, 'a\\x0a\\x1b[2Jb\\u{202e}')
  })

  it('is numbered for each register apart only where the reader was told', () => {
    const at = (recnum: number, value: number) =>
      measured(recnum, CONTENTS[7] as CelContent, { index: { kind: 'pcr', value } })
    const apart = [at(0, 11), at(0, 12), at(1, 11), at(1, 12)]
    for (const bytes of [concatBytes(...apart.map(encodeCelRecord)), encodeCelJson(apart), encodeCelCbor(apart)]) {
      assert.throws(() => decodeCelAny(bytes), { code: 'EVENT_LOG_BAD_RECNUM' })
      assert.equal(decodeCelAny(bytes, { numbering: 'register' }).records.length, 4)
    }
    const gap = encodeCelJson([...apart, at(3, 11)])
    assert.throws(() => decodeCelAny(gap, { numbering: 'register' }), { code: 'EVENT_LOG_BAD_RECNUM' })
  })
})

describe('the log of the swtpm node', () => {
  const node = copiedVectors('swtpm/node')

  it('is the same in TLV and JSON, and all of it is proved by its digests', () => {
    const tlv = decodeCelAny(copiedVectors('cel/attacks').read('good.cel')).records
    const fromJson = decodeCelAny(node.read('pods.cel.json')).records
    assert.deepEqual(
      tlv.map((r) => ({ ...(plain(r) as object), recnum: 0 })),
      fromJson.map((r) => ({ ...(plain(r) as object), recnum: 0 })),
    )
    assert.deepEqual(
      [...celEvents(tlv)].map((e) => [e.type, e.coverage, e.register.index]),
      [
        ['EV_EVENT_TAG', 'data', 15],
        ['EV_EVENT_TAG', 'data', 15],
        ['EV_EVENT_TAG', 'data', 15],
        ['EV_SEPARATOR', 'data', 15],
        ['EV_EVENT_TAG', 'data', 15],
      ],
    )
  })
})

describe('any bytes', () => {
  const total = (bytes: Uint8Array) => {
    try {
      const log = decodeCelAny(bytes)
      for (const event of celEvents(log.records)) assert.ok(event.text.length < 1000)
    } catch (err) {
      assert.ok(err instanceof EventLogError, String(err))
    }
  }
  const seeds = [concatBytes(...LOG.map(encodeCelRecord)), encodeCelJson(LOG), encodeCelCbor(LOG), LAUNCH_LOG]

  it('give a log or an EventLogError: every prefix of a log in every encoding', () => {
    for (const seed of seeds) for (let n = 0; n <= seed.length; n++) total(seed.subarray(0, n))
  })

  it('give a log or an EventLogError: damaged logs', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...seeds),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 }),
        (seed, edits) => {
          const bytes = Uint8Array.from(seed)
          for (const [at, value] of edits) bytes[at % bytes.length] = value
          total(bytes)
        },
      ),
      { numRuns: fuzzRuns(500) },
    )
  })

  it('give a log or an EventLogError: prefixes of the logs of others', function () {
    const [jsons, tlvs] = [externalVectors('cel/json'), externalVectors('cel/tlv')]
    if (jsons === undefined || tlvs === undefined) return skipWithoutVectors(this, 'cel')
    const files = [
      ...jsons.list().map((name) => jsons.read(name)),
      ...tlvs.list().map((name) => new Uint8Array(Buffer.from(tlvs.text(name), 'base64'))),
    ]
    for (const bytes of files) for (let n = 0; n <= bytes.length; n++) total(bytes.subarray(0, n))
  })
})
