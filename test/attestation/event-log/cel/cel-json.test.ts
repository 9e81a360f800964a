import assert from 'node:assert/strict'
import { fromHex, toHex, utf8 } from '../../../../attestation/base/index.ts'
import {
  type CelContent,
  type CelRecord,
  decodeCelCbor,
  decodeCelContent,
  decodeCelJson,
  encodeCelCbor,
  toCelJson,
} from '../../../../attestation/event-log/index.ts'
import { measured } from '../../../support/cel.ts'

const SHA1 = 'aa'.repeat(20)
const json = (text: string, options = {}): readonly CelRecord[] => decodeCelJson(utf8(text), options)
const contentOf = (record: CelRecord | undefined): CelContent => {
  assert.ok(record)
  return decodeCelContent(record)
}
const plain = (record: CelRecord): unknown => toCelJson(record)

describe('CEL-JSON', () => {
  const record = (over: string) => `{"recnum":1,"pcr":2,${over}}`
  const EVENT = '"content_type":"pcclient_std","content":{"event_type":"ev_separator","event_data":"00000000"}'
  const digests = (list: string) => record(`"digests":${list},${EVENT}`)

  it('is read as an array, as one record, on lines and as a sequence, with trailing commas', () => {
    for (const text of [record(EVENT), `[${record(EVENT)},]`, `\u001e${record(EVENT)}\n`, `${record(EVENT)}\n`]) {
      assert.deepEqual(json(text).map(plain), json(record(EVENT)).map(plain))
    }
  })

  it('has names or numbers, in either case', () => {
    const content = contentOf(
      json(record('"content_type":5,"content":{"event_type":"EV_SEPARATOR","event_data":"00"}'))[0],
    )
    assert.deepEqual(content, { kind: 'pcclient_std', claimedEventType: 4, eventData: fromHex('00') })
    assert.deepEqual(json(digests(`[{"hashAlg":4,"digest":"${SHA1.toUpperCase()}"}]`))[0]?.digests, [
      { alg: 4, bank: 'sha1', bytes: fromHex(SHA1) },
    ])
    const sm3 = `[{"hashAlg":"sm3_256","digest":"${'11'.repeat(32)}"}]`
    assert.deepEqual(
      json(digests(sm3))[0]?.digests.map((d) => [d.alg, d.bank]),
      [[0x12, undefined]],
    )
  })

  it('has base64 data only where the reader was told: some text is both', () => {
    const both = record('"content_type":5,"content":{"event_type":4,"event_data":"AAAAAA=="}')
    assert.throws(() => json(both), { code: 'EVENT_LOG_BAD_CONTENT' })
    assert.deepEqual(contentOf(json(both, { bytes: 'base64' })[0]), {
      kind: 'pcclient_std',
      claimedEventType: 4,
      eventData: new Uint8Array(4),
    })
    for (const text of ['AAAAAA', 'AAAA AA==', 'AAAAAB==', '____']) {
      assert.throws(() => json(both.replace('AAAAAA==', text), { bytes: 'base64' }), { code: 'EVENT_LOG_BAD_CONTENT' })
    }
  })

  const refused: [string, string, string][] = [
    ['a member twice', '{"recnum":1,"recnum":2,"pcr":2}', 'EVENT_LOG_NOT_JSON'],
    ['text that is not JSON', '[{]', 'EVENT_LOG_NOT_JSON'],
    ['a record that is no object', '[1]', 'EVENT_LOG_BAD_RECORD'],
    ['a member that records do not have', record(`"x":1,${EVENT}`), 'EVENT_LOG_BAD_RECORD'],
    ['no register', `{"recnum":1,${EVENT}}`, 'EVENT_LOG_BAD_RECORD'],
    ['two registers', record(`"nv_index":1,${EVENT}`), 'EVENT_LOG_BAD_RECORD'],
    ['PCR 256', `{"recnum":1,"pcr":256,${EVENT}}`, 'EVENT_LOG_BAD_NUMBER'],
    ['a number with a fraction', `{"recnum":1.0,"pcr":2,${EVENT}}`, 'EVENT_LOG_BAD_NUMBER'],
    ['a number of 2^64', `{"recnum":18446744073709551616,"pcr":2,${EVENT}}`, 'EVENT_LOG_BAD_NUMBER'],
    ['a number in one record only', `[${record(EVENT)},{"pcr":2,${EVENT}}]`, 'EVENT_LOG_BAD_NUMBER'],
    [
      'two digests of a bank',
      digests(`[${`{"hashAlg":4,"digest":"${SHA1}"},{"hashAlg":"sha1","digest":"${SHA1}"}`}]`),
      'EVENT_LOG_DUPLICATE_DIGEST',
    ],
    ['nine digests', digests(`[${Array(9).fill(`{"hashAlg":4,"digest":"${SHA1}"}`).join()}]`), 'EVENT_LOG_BAD_DIGEST'],
    [
      'a member that the content does not have',
      record('"content_type":5,"content":{"event_type":4,"event_data":"","x":1}'),
      'EVENT_LOG_BAD_CONTENT',
    ],
    ['digests as content', record('"content_type":3,"content":"00"'), 'EVENT_LOG_BAD_CONTENT'],
    [
      'launch-log content of no form',
      record('"content_type":"holdfast","content":{"holdfast":1}'),
      'EVENT_LOG_BAD_CONTENT',
    ],
    [
      'a float in launch-log content',
      record('"content_type":"holdfast","content":{"holdfast":1.5}'),
      'EVENT_LOG_BAD_CONTENT',
    ],
    ['a firmware_end with data', record('"content_type":"cel","content":{"type":2,"data":1}'), 'EVENT_LOG_BAD_CONTENT'],
    [
      '17 events in one record',
      record(`"content_type":"cel","content":[${Array(17).fill('{"type":2}').join()}]`),
      'EVENT_LOG_BAD_CONTENT',
    ],
  ]
  for (const [name, text, code] of refused) {
    it(`is refused with ${name}`, () => assert.throws(() => json(text), { name: 'EventLogError', code }))
  }
})

describe('CEL-CBOR', () => {
  const cbor = (hex: string) => decodeCelCbor(fromHex(hex))
  const head = 'a4000101020 3a0'.replace(' ', '')
  const RECORD = `${head}05a200040140`

  it('has the types of TLV as its keys', () => {
    const record = measured(
      1,
      { kind: 'pcclient_std', claimedEventType: 4, eventData: new Uint8Array() },
      { digests: [], index: { kind: 'pcr', value: 2 } },
    )
    assert.equal(toHex(encodeCelCbor([record])), `81${RECORD}`)
  })

  it('is read as an array and as a sequence', () => {
    assert.equal(cbor(`81${RECORD}`).length, 1)
    assert.equal(cbor(RECORD + RECORD.replace('a40001', 'a40002')).length, 2)
  })

  const refused: [string, string, string][] = [
    ['a key twice', 'a5000100010102030040', 'EVENT_LOG_NOT_CBOR'],
    ['keys in another order', 'a40102000103a005a200040140', 'EVENT_LOG_NOT_CANONICAL'],
    ['an indefinite array', `9f${RECORD}ff`, 'EVENT_LOG_NOT_CBOR'],
    ['a byte after the record', `${RECORD}00`, 'EVENT_LOG_BAD_RECORD'],
    ['no register', 'a3000103a005a200040140', 'EVENT_LOG_BAD_RECORD'],
    ['two contents', `a5000101020 3a004a102f605a200040140`.replace(' ', ''), 'EVENT_LOG_BAD_RECORD'],
    ['text as a key', `a4000101020 3a06161a200040140`.replace(' ', ''), 'EVENT_LOG_BAD_RECORD'],
    ['a float as number', `a400f93c00010203a005a200040140`, 'EVENT_LOG_BAD_NUMBER'],
    ['a short digest', 'a4000101020 3a1044100 05a200040140'.replaceAll(' ', ''), 'EVENT_LOG_BAD_DIGEST'],
    ['a firmware_end with data', `${head}04a10201`, 'EVENT_LOG_BAD_CONTENT'],
    ['one event as a list', `${head}0481a102f6`, 'EVENT_LOG_BAD_CONTENT'],
    ['an array of 2^31 records', '9a80000000', 'EVENT_LOG_TOO_LONG'],
  ]
  for (const [name, hex, code] of refused) {
    it(`is refused with ${name}`, () => assert.throws(() => cbor(hex), { name: 'EventLogError', code }))
  }
})
