import assert from 'node:assert/strict'
import fc from 'fast-check'
import { fromHex, toHex } from '../../../../attestation/base/index.ts'
import {
  CEL_ALG,
  CEL_CONTENT,
  type CelRecord,
  checkContentDigests,
  checkContentForm,
  decodeCelRecord,
  EventLogError,
  encodeCelRecord,
  replayRecords,
  replayStart,
  toCelJson,
  zeroRegisters,
} from '../../../../attestation/event-log/index.ts'
import { decodeCel } from '../../../support/cel.ts'
import { copiedVectors, externalVectors, skipWithoutVectors } from '../../../support/vectors.ts'

const SHA256 = 'aa'.repeat(32)
/** recnum 0, PCR 15, one SHA-256 digest, content of type 72 with one byte. */
const tlv = (type: string, value: string) => `${type}${(value.length / 2).toString(16).padStart(8, '0')}${value}`
const RECNUM = tlv('00', '00')
const INDEX = tlv('01', '0f')
const DIGESTS = tlv('03', tlv('0b', SHA256))
const CONTENT = tlv('48', '7b')
const RECORD = RECNUM + INDEX + DIGESTS + CONTENT

describe('CEL records', () => {
  it('are read with integers of any width from 1 to 8 bytes', () => {
    for (let width = 1; width <= 8; width++) {
      const recnum = tlv('00', '07'.padStart(2 * width, '0'))
      const index = tlv('01', '0f'.padStart(2 * width, '0'))
      const { record } = decodeCelRecord(fromHex(recnum + index + DIGESTS + CONTENT))
      assert.deepEqual([record.recnum, record.index], [7, { kind: 'pcr', value: 15 }])
    }
  })

  it('are written with recnum in 8 bytes and PCR in 1', () => {
    const { record } = decodeCelRecord(fromHex(RECORD))
    assert.equal(toHex(encodeCelRecord(record)), tlv('00', '00'.repeat(8)) + INDEX + DIGESTS + CONTENT)
  })

  it('keep digests of unknown algorithms readable, and opaque', () => {
    const { record } = decodeCelRecord(fromHex(RECNUM + INDEX + tlv('03', tlv('12', SHA256)) + CONTENT))
    assert.deepEqual(record.digests, [{ alg: 0x12, bytes: fromHex(SHA256) }])
  })

  it('keep content types that are not known here opaque', () => {
    const { record } = decodeCelRecord(fromHex(RECNUM + INDEX + DIGESTS + tlv('c8', '010203')))
    checkContentForm(record)
    assert.equal(checkContentDigests(record), 'unchecked')
    assert.deepEqual(toCelJson(record), {
      recnum: 0,
      pcr: 15,
      digests: [{ hashAlg: 'sha256', digest: SHA256 }],
      content_type: 0xc8,
      content: '010203',
    })
  })

  const refused = [
    { name: 'a length beyond the end', hex: RECORD.slice(0, -4), code: 'EVENT_LOG_TRUNCATED' },
    { name: 'a length of 4 GiB', hex: `${RECNUM + INDEX + DIGESTS}48ffffffff00`, code: 'EVENT_LOG_TOO_LONG' },
    {
      name: 'a digest list of 1 MiB',
      hex: `${RECNUM + INDEX}0300100000${'00'.repeat(1 << 20)}`,
      code: 'EVENT_LOG_TOO_LONG',
    },
    { name: 'index before recnum', hex: INDEX + RECNUM + DIGESTS + CONTENT, code: 'EVENT_LOG_BAD_ORDER' },
    { name: 'no index', hex: RECNUM + DIGESTS + CONTENT, code: 'EVENT_LOG_BAD_ORDER' },
    { name: 'digests twice', hex: RECNUM + INDEX + DIGESTS + DIGESTS, code: 'EVENT_LOG_BAD_ORDER' },
    { name: 'a recnum without bytes', hex: tlv('00', '') + INDEX + DIGESTS + CONTENT, code: 'EVENT_LOG_BAD_NUMBER' },
    {
      name: 'a recnum of 9 bytes',
      hex: tlv('00', '00'.repeat(9)) + INDEX + DIGESTS + CONTENT,
      code: 'EVENT_LOG_BAD_NUMBER',
    },
    {
      name: 'a recnum above 2^53',
      hex: tlv('00', 'ff'.repeat(8)) + INDEX + DIGESTS + CONTENT,
      code: 'EVENT_LOG_BAD_NUMBER',
    },
    { name: 'a PCR above 255', hex: RECNUM + tlv('01', '0100') + DIGESTS + CONTENT, code: 'EVENT_LOG_BAD_NUMBER' },
    { name: 'no digest', hex: RECNUM + INDEX + tlv('03', '') + CONTENT, code: 'EVENT_LOG_BAD_DIGEST' },
    { name: 'an empty digest', hex: RECNUM + INDEX + tlv('03', tlv('12', '')) + CONTENT, code: 'EVENT_LOG_BAD_DIGEST' },
    {
      name: 'a SHA-256 digest of 20 bytes',
      hex: RECNUM + INDEX + tlv('03', tlv('0b', 'aa'.repeat(20))) + CONTENT,
      code: 'EVENT_LOG_BAD_DIGEST',
    },
    {
      name: 'nine digests',
      hex: RECNUM + INDEX + tlv('03', [...'123456789'].map((d) => tlv(`2${d}`, 'aa')).join('')) + CONTENT,
      code: 'EVENT_LOG_BAD_DIGEST',
    },
    {
      name: 'two digests of a bank',
      hex: RECNUM + INDEX + tlv('03', tlv('0b', SHA256).repeat(2)) + CONTENT,
      code: 'EVENT_LOG_DUPLICATE_DIGEST',
    },
    {
      name: 'two digests of an unknown bank',
      hex: RECNUM + INDEX + tlv('03', tlv('12', SHA256).repeat(2)) + CONTENT,
      code: 'EVENT_LOG_DUPLICATE_DIGEST',
    },
    { name: 'a byte after the last record', hex: `${RECORD}00`, code: 'EVENT_LOG_TRUNCATED' },
    {
      name: 'a number left out',
      hex: RECORD + tlv('00', '02') + INDEX + DIGESTS + CONTENT,
      code: 'EVENT_LOG_BAD_RECNUM',
    },
    { name: 'a number twice', hex: RECORD + RECORD, code: 'EVENT_LOG_BAD_RECNUM' },
  ]
  for (const { name, hex, code } of refused) {
    it(`refuse ${name} with ${code}`, () =>
      assert.throws(() => decodeCel(fromHex(hex)), { code, name: 'EventLogError' }))
  }

  it('refuse every prefix of a record', () => {
    const bytes = fromHex(RECORD)
    for (let n = 1; n < bytes.length; n++) assert.throws(() => decodeCel(bytes.subarray(0, n)), EventLogError)
  })

  const unwritable: [string, Partial<CelRecord>][] = [
    ['a fraction as number', { recnum: 0.5 }],
    ['PCR 256', { index: { kind: 'pcr', value: 256 } }],
    ['no digest', { digests: [] }],
    ['a digest of another length', { digests: [{ alg: 0x0b, bytes: new Uint8Array(20) }] }],
    ['two digests of a bank', { digests: [0, 1].map(() => ({ alg: 0x0b, bytes: new Uint8Array(32) })) }],
    ['the digests as content type', { contentType: 3 }],
    ['content of more than 1 MiB', { content: new Uint8Array((1 << 20) + 1) }],
  ]
  for (const [name, over] of unwritable) {
    it(`are not written with ${name}`, () => {
      const { record } = decodeCelRecord(fromHex(RECORD))
      assert.throws(() => encodeCelRecord({ ...record, ...over }), RangeError)
    })
  }

  const PLAIN = { noNullPrototype: true } as const
  const anyRecord: fc.Arbitrary<CelRecord> = fc.record(
    {
      recnum: fc.maxSafeNat(),
      index: fc.oneof(
        fc.record({ kind: fc.constantFrom('pcr' as const, 'ccmr' as const), value: fc.nat(255) }, PLAIN),
        fc.record({ kind: fc.constant('nv' as const), value: fc.nat(0xffffffff) }, PLAIN),
      ),
      digests: fc
        .uniqueArray(fc.constantFrom('sha1' as const, 'sha256' as const, 'sha384' as const, 'sha512' as const), {
          minLength: 1,
        })
        .map((banks) =>
          banks.map((bank) => ({
            alg: CEL_ALG[bank],
            bank,
            bytes: new Uint8Array({ sha1: 20, sha256: 32, sha384: 48, sha512: 64 }[bank]).fill(7),
          })),
        ),
      contentType: fc.constantFrom(4, 5, 7, 72, 80, 255),
      content: fc.uint8Array({ maxLength: 200 }),
    },
    PLAIN,
  )

  it('decode to what was encoded', () => {
    fc.assert(
      fc.property(anyRecord, (record) => {
        const bytes = encodeCelRecord(record)
        assert.deepEqual(decodeCelRecord(bytes), { record, end: bytes.length })
      }),
    )
  })

  it('give a value or an EventLogError for any bytes, also for damaged records', () => {
    const total = (bytes: Uint8Array) => {
      try {
        for (const record of decodeCel(bytes)) checkContentDigests(record)
      } catch (err) {
        assert.ok(err instanceof EventLogError)
      }
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), total))
    fc.assert(
      fc.property(anyRecord, fc.nat(), fc.nat(255), (record, at, value) => {
        const bytes = encodeCelRecord(record)
        bytes[at % bytes.length] = value
        total(bytes)
      }),
    )
  })
})

describe('the attacks on a CEL log', () => {
  const set = copiedVectors('cel/attacks')
  const codes: Record<string, string> = {
    'recnum-gap.cel': 'EVENT_LOG_BAD_RECNUM',
    'cut-mid-record.cel': 'EVENT_LOG_TRUNCATED',
    'length-overflow.cel': 'EVENT_LOG_TOO_LONG',
    'content-changed-digest-kept.cel': 'EVENT_LOG_DIGEST_MISMATCH',
    'duplicate-sha256-digest.cel': 'EVENT_LOG_DUPLICATE_DIGEST',
    'wrong-pcr.cel': 'EVENT_LOG_WRONG_REGISTER',
  }
  const banks = ['sha1', 'sha256', 'sha384'] as const
  const replay = (file: string) => replayRecords(replayStart(zeroRegisters(banks)), set.read(file), { pcr: 15, banks })
  const quoted = () => toHex(copiedVectors('swtpm/node').read('quote-pods.pcrs').subarray(-32))
  const end = (file: string) => toHex(replay(file).at(-1)?.after.banks.sha256 ?? new Uint8Array())

  for (const { file, expected } of JSON.parse(set.text('expected.json')) as { file: string; expected: string }[]) {
    if (expected.startsWith('accept')) {
      it(`${file}: ${expected}`, () => assert.equal(end(file), quoted()))
    } else if (expected.startsWith('replay gives an older')) {
      it(`${file}: replays to an older register, which is one of the states of the whole log`, () => {
        assert.notEqual(end(file), quoted())
        assert.ok(replay('good.cel').some((r) => toHex(r.after.banks.sha256 ?? new Uint8Array()) === end(file)))
      })
    } else {
      it(`${file}: ${expected}`, () => {
        const code = codes[file]
        assert.throws(() => replay(file), code === undefined ? EventLogError : { code, name: 'EventLogError' })
      })
    }
  }

  it('refuses a log whose records leave out an allocated bank', () => {
    const all = ['sha1', 'sha256', 'sha384', 'sha512'] as const
    const state = replayStart(zeroRegisters(all))
    assert.throws(() => replayRecords(state, set.read('good.cel'), { pcr: 15, banks: all }), {
      code: 'EVENT_LOG_WRONG_BANKS',
    })
  })

  it('refuses a log whose records have a digest of a bank that is not allocated', () => {
    const some = ['sha1', 'sha256'] as const
    const state = replayStart(zeroRegisters(some))
    assert.throws(() => replayRecords(state, set.read('good.cel'), { pcr: 15, banks: some }), {
      code: 'EVENT_LOG_WRONG_BANKS',
    })
  })

  it('prints the good log as CEL-JSON', () => {
    const json = decodeCel(set.read('good.cel')).map(toCelJson)
    assert.equal(json.length, 5)
    assert.match(
      JSON.stringify(json[0]),
      /"recnum":0,"pcr":15,"digests":\[\{"hashAlg":"sha1","digest":"f51f.*"content_type":"pcclient_std","content":\{"event_type":6,/,
    )
  })
})

describe('CEL-TLV of other writers', () => {
  const set = externalVectors('cel/tlv')
  const read = (name: string) => new Uint8Array(Buffer.from(set?.text(name) ?? '', 'base64'))

  it('reads the single records of eventlogs, and refuses the one with a byte too many', function () {
    if (set === undefined) return skipWithoutVectors(this, 'cel/tlv')
    const names = set.list().filter((name) => name.startsWith('tlv_'))
    assert.ok(names.length > 0)
    for (const name of names) {
      const records = () => decodeCel(read(name)).map((r) => checkContentForm(r))
      if (name.includes('extra_byte')) assert.throws(records, EventLogError, name)
      else assert.equal(records().length, 1, name)
    }
  })

  it('reads the log of a Confidential Space launcher and finds its digests right', function () {
    if (set === undefined) return skipWithoutVectors(this, 'cel/tlv')
    const records = decodeCel(read('gca-confidential-space-cel.b64'))
    assert.ok(records.length > 10)
    for (const record of records) {
      assert.deepEqual([record.index, record.contentType], [{ kind: 'ccmr', value: 4 }, CEL_CONTENT.cos])
      assert.equal(checkContentDigests(record), 'checked')
    }
  })
})

describe('nested content', () => {
  const record = (contentType: number, content: string): CelRecord => ({
    recnum: 0,
    index: { kind: 'pcr', value: 15 },
    digests: [{ alg: 0x0b, bank: 'sha256', bytes: fromHex(SHA256) }],
    contentType,
    content: fromHex(content),
  })
  const EVENT = tlv('00', '00000006') + tlv('01', '70')
  const refused: [string, CelRecord, string][] = [
    ['an event without data', record(CEL_CONTENT.pcclientStd, tlv('00', '06')), 'EVENT_LOG_TRUNCATED'],
    [
      'event fields in another order',
      record(CEL_CONTENT.pcclientStd, tlv('01', '70') + tlv('00', '06')),
      'EVENT_LOG_BAD_CONTENT',
    ],
    ['bytes after an event', record(CEL_CONTENT.pcclientStd, `${EVENT}00`), 'EVENT_LOG_BAD_CONTENT'],
    [
      'an event type of 5 bytes that does not fit',
      record(CEL_CONTENT.pcclientStd, tlv('00', '0100000006') + tlv('01', '70')),
      'EVENT_LOG_BAD_NUMBER',
    ],
    [
      'bytes after an IMA template',
      record(CEL_CONTENT.imaTemplate, `${tlv('00', '61') + tlv('01', '70')}ff`),
      'EVENT_LOG_BAD_CONTENT',
    ],
    [
      'a version with its major number twice',
      record(CEL_CONTENT.mgmt, tlv('01', tlv('00', '01').repeat(2))),
      'EVENT_LOG_BAD_CONTENT',
    ],
    ['two COS events in one record', record(CEL_CONTENT.cos, tlv('00', '61').repeat(2)), 'EVENT_LOG_BAD_CONTENT'],
    ['a length beyond the content', record(CEL_CONTENT.cos, '000000000261'), 'EVENT_LOG_TRUNCATED'],
  ]
  for (const [name, r, code] of refused) {
    it(`with ${name} is refused with ${code}`, () => assert.throws(() => checkContentForm(r), { code }))
  }

  it('whose digest is another is refused', () => {
    assert.throws(() => checkContentDigests(record(CEL_CONTENT.pcclientStd, EVENT)), {
      code: 'EVENT_LOG_DIGEST_MISMATCH',
    })
    assert.throws(() => checkContentDigests(record(CEL_CONTENT.holdfast, '7b7d')), {
      code: 'EVENT_LOG_DIGEST_MISMATCH',
    })
  })

  it('of an event type whose digest is of something else is left unchecked', () => {
    const loaded = tlv('00', '80000003') + tlv('01', '70')
    assert.equal(checkContentDigests(record(CEL_CONTENT.pcclientStd, loaded)), 'unchecked')
  })

  it('is shown with its record number and offset in an error', () => {
    const good = record(CEL_CONTENT.holdfast, '7b7d')
    assert.throws(
      () =>
        replayRecords(replayStart(zeroRegisters(['sha256'])), encodeCelRecord(good), { pcr: 15, banks: ['sha256'] }),
      /record 0 at offset 0: the sha256 digest is aaaa/,
    )
  })
})
