import assert from 'node:assert/strict'
import fc from 'fast-check'
import { concatBytes, fromHex, toHex, utf8 } from '../../../../attestation/base/index.ts'
import { digest } from '../../../../attestation/crypto/index.ts'
import { isMap, parseJson, type Value } from '../../../../attestation/encoding/index.ts'
import {
  CEL_ALG,
  type CelContent,
  type CelRecord,
  celCoverage,
  celEvents,
  celRecordFromJson,
  decodeCelAny,
  decodeCelCbor,
  decodeCelContent,
  decodeCelJson,
  EventLogError,
  encodeCelCbor,
  encodeCelContent,
  encodeCelJson,
  encodeCelRecord,
  imaCelRecord,
  pcClientCelRecord,
  toCelJson,
} from '../../../../attestation/event-log/index.ts'
import { fuzzRuns } from '../../../support/fuzz.ts'
import { LogBuilder } from '../../../support/launch-log.ts'
import { copiedVectors, externalVectors, skipWithoutVectors } from '../../../support/vectors.ts'

const SHA1 = 'aa'.repeat(20)
const json = (text: string, options = {}): readonly CelRecord[] => decodeCelJson(utf8(text), options)
const contentOf = (record: CelRecord | undefined): CelContent => {
  assert.ok(record)
  return decodeCelContent(record)
}
/** A record with its content's own digests, as its type's rule has it. */
function measured(recnum: number, content: CelContent, over: Partial<CelRecord> = {}): CelRecord {
  const encoded = encodeCelContent(content)
  const bytes = digestedOf(content, encoded)
  const digests = (['sha1', 'sha256'] as const).map((bank) => ({
    alg: CEL_ALG[bank],
    bank,
    bytes: digest(bank, bytes),
  }))
  return { recnum, index: { kind: 'pcr', value: 11 }, digests, ...encoded, ...over }
}
function digestedOf(
  content: CelContent,
  { contentType, content: bytes }: ReturnType<typeof encodeCelContent>,
): Uint8Array {
  switch (content.kind) {
    case 'mgmt':
    case 'cos': {
      const head = new Uint8Array(5)
      head[0] = contentType
      new DataView(head.buffer).setUint32(1, bytes.length)
      return concatBytes(head, bytes)
    }
    case 'pcclient_std':
      return content.eventData
    case 'ima_template':
      return content.data
    case 'systemd':
      return utf8(content.event.string ?? '')
    default:
      return bytes
  }
}

const BOOT_ID = fromHex('fa'.repeat(16))
const LAUNCH_LOG = new LogBuilder().agent().bytes
/** Content of every type that is written. */
const CONTENTS: readonly CelContent[] = [
  { kind: 'mgmt', events: [{ type: 'cel_version', major: 1, minor: 0 }] },
  { kind: 'mgmt', events: [{ type: 'firmware_end' }, { type: 'cel_timestamp', value: 1n << 60n }] },
  { kind: 'mgmt', events: [{ type: 'state_trans', value: 2 }] },
  { kind: 'mgmt', events: [{ type: 'unknown', number: 9, value: fromHex('0102') }] },
  { kind: 'pcclient_std', claimedEventType: 0x80000007, eventData: utf8('Calling EFI Application from Boot Option') },
  { kind: 'ima_template', name: 'ima-ng', data: fromHex('0102') },
  {
    kind: 'ima_tlv',
    fields: [
      { type: 0, value: utf8('/usr/bin/df') },
      { type: 1, value: fromHex('0b') },
    ],
  },
  { kind: 'systemd', event: { eventType: 0, timestamp: 4000n, bootId: BOOT_ID, string: 'enter-initrd' } },
  { kind: 'systemd', event: { eventType: 2, timestamp: 0n, bootId: BOOT_ID } },
  { kind: 'systemd_string', bytes: utf8('leave-initrd') },
  { kind: 'cos', type: 5, value: utf8('A=B') },
  { kind: 'unknown', contentType: 200, bytes: fromHex('ff') },
]
const LOG = CONTENTS.map((content, i) => measured(i, content))
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
    assert.equal(text[0]?.text, 'a\\u000a\\u001b[2Jb\\u202e')
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

describe('CEL-JSON of libcel', () => {
  const set = externalVectors('cel/json')
  const good: Record<string, unknown[]> = {
    'cel_multi.json': [
      {
        recnum: 4,
        nv_index: 2,
        digests: [],
        content_type: 'cel',
        content: [
          { type: 'firmware_end' },
          { type: 'cel_timestamp', data: 1234567890 },
          { type: 'state_trans', data: 'kexec' },
        ],
      },
    ],
    'cel_multi_numbers.json': [
      {
        recnum: 20,
        nv_index: 10,
        digests: [{ hashAlg: 'sha1', digest: SHA1 }],
        content_type: 'cel',
        content: [
          { type: 'firmware_end' },
          { type: 'cel_timestamp', data: 1234567890 },
          { type: 'state_trans', data: 'kexec' },
          { type: 'cel_version', data: { major: 123, minor: 456 } },
        ],
      },
    ],
    'cel_version.json': [
      {
        recnum: 6,
        pcr: 3,
        digests: [{ hashAlg: 'sha1', digest: 'bb'.repeat(20) }],
        content_type: 'cel',
        content: { type: 'cel_version', data: { major: 123, minor: 456 } },
      },
    ],
    'ima_template.json': [
      {
        recnum: 9,
        pcr: 12,
        digests: [],
        content_type: 'ima_template',
        content: { template_name: 'name', template_data: 'aabbccdd' },
      },
    ],
    'pcclient.json': [
      {
        recnum: 12,
        pcr: 9,
        digests: [],
        content_type: 'pcclient_std',
        content: { event_type: 3, event_data: 'aabbccdd' },
      },
    ],
    'pcclient_numbers.json': [
      {
        recnum: 12,
        pcr: 9,
        digests: [],
        content_type: 'pcclient_std',
        content: { event_type: 3, event_data: 'aabbccdd' },
      },
    ],
    'systemd.json': [
      {
        recnum: 0,
        pcr: 3,
        digests: [],
        content_type: 'systemd',
        content: { eventType: 'volume-key', bootId: 'fa'.repeat(16), timestamp: 4000, string: 'falafel' },
      },
    ],
    'systemd-seq.json': ['phase', 'filesystem', 'machine-id', 'volume-key'].map((eventType, i) => ({
      recnum: i,
      pcr: 1,
      digests: [],
      content_type: 'systemd',
      content: { eventType, bootId: `${'fa1afe1'.repeat(4)}ffff`, timestamp: i + 1, string: `${eventType}-tahini` },
    })),
  }
  /** What each refusal says, by record. */
  const bad: Record<string, Record<string, [string, RegExp]>> = {
    'bad_cel.json': content({
      missing_type: /type: nothing/,
      large_type: /type: 256 is outside/,
      bad_type_type: /type: an array/,
      bad_type_string: /type: "bad" is not known/,
      missing_data: /content: nothing/,
      bad_type: /data of type 255: a map where text/,
      bad_content: /text where a map/,
      bad_type_multi: /type: "bad" is not known/,
    }),
    'bad_cel_version.json': content({
      missing_major: /major: nothing/,
      missing_minor: /minor: nothing/,
      large_major: /major: 65536 is outside/,
      large_minor: /minor: 65536 is outside/,
    }),
    'bad_digests.json': of('EVENT_LOG_BAD_DIGEST', {
      not_array: /digests: text where an array/,
      not_object: /digest: text where a map/,
      bad_hashalg_type: /hashAlg: nothing is not known/,
      bad_hashalg_value: /hashAlg: 1234 is not known/,
      bad_hashalg_string: /hashAlg: bad is not known/,
      bad_digest_len: /sha256 has 64/,
      digest_not_hex: /sha1 has 40 hexadecimal digits/,
      missing_digest: /digest: nothing/,
      bad_digest_type: /digest: an array/,
      missing_hashalg: /hashAlg: nothing/,
      large_hashalg: /hashAlg: 65536/,
    }),
    'bad_event.json': content({
      missing_type: /content_type: nothing/,
      large_type: /content_type: 256 is outside/,
      bad_type_type: /content_type: an array/,
      missing_content: /content: nothing/,
      bad_type_str: /content_type: "bad"/,
      bad_type: /content of type 255: a map where text/,
    }),
    'bad_ima_template.json': content({
      missing_name: /template_name: nothing/,
      bad_name_type: /template_name: an array/,
      large_name: /template_name: 255 characters, at most 254/,
      missing_data: /template_data: nothing/,
      bad_data_type: /template_data: an array/,
      bad_hex: /template_data: not hexadecimal/,
    }),
    'bad_pcclient.json': content({
      missing_type: /event_type: nothing/,
      large_type: /event_type: 4294967296 is outside/,
      bad_type_str: /event_type: "bad"/,
      bad_type_type: /event_type: an array/,
      missing_data: /event_data: nothing/,
      bad_data_type: /event_data: an array/,
      bad_hex: /event_data: not hexadecimal/,
    }),
    'bad_state_trans.json': content({
      large_state_trans: /data: 4294967296 is outside/,
      bad_state_trans_str: /data: "bad"/,
      bad_state_trans_type: /data: an array/,
    }),
  }
  const single: Record<string, RegExp> = {
    'systemd_bad_bootid.json': /bootId: 32 hexadecimal digits/,
    'systemd_bad_event_type.json': /eventType: 255 is outside/,
    'systemd_bad_timestamp.json': /timestamp: an array/,
    'systemd_missing_event_type.json': /eventType: nothing/,
    'systemd_missing_string.json': /string: nothing/,
  }

  it('has an expectation here for every file', function () {
    if (set === undefined) return skipWithoutVectors(this, 'cel/json')
    assert.deepEqual(set.list(), [...Object.keys(good), ...Object.keys(bad), ...Object.keys(single)].sort())
  })

  for (const [file, expected] of Object.entries(good)) {
    it(`${file} is read, and comes back through every encoding that can hold it`, function () {
      if (set === undefined) return skipWithoutVectors(this, 'cel/json')
      const log = decodeCelAny(set.read(file))
      assert.deepEqual([log.encoding, log.records.map(plain)], ['json', expected])
      for (const bytes of [encodeCelJson(log.records), encodeCelCbor(log.records)]) {
        assert.deepEqual(decodeCelAny(bytes).records, log.records)
      }
    })
  }

  for (const [file, records] of Object.entries(bad)) {
    it(`${file} is refused, record by record`, function () {
      if (set === undefined) return skipWithoutVectors(this, 'cel/json')
      assert.throws(() => decodeCelAny(set.read(file)), EventLogError)
      const all = membersOf(set.text(file))
      assert.deepEqual([...all.keys()], Object.keys(records))
      for (const [name, value] of all) {
        const [code, message] = records[String(name)] as [string, RegExp]
        assert.throws(() => celRecordFromJson(value, 0), { name: 'EventLogError', code, message }, String(name))
      }
    })
  }

  for (const [file, message] of Object.entries(single)) {
    it(`${file} is refused`, function () {
      if (set === undefined) return skipWithoutVectors(this, 'cel/json')
      assert.throws(() => decodeCelAny(set.read(file)), { code: 'EVENT_LOG_BAD_CONTENT', message })
    })
  }

  function of(code: string, messages: Record<string, RegExp>): Record<string, [string, RegExp]> {
    return Object.fromEntries(Object.entries(messages).map(([name, message]) => [name, [code, message]]))
  }
  function content(messages: Record<string, RegExp>): Record<string, [string, RegExp]> {
    return of('EVENT_LOG_BAD_CONTENT', messages)
  }
})

describe('CEL-TLV, content by type', () => {
  const set = externalVectors('cel/tlv')
  const read = (name: string) => decodeCelAny(new Uint8Array(Buffer.from(set?.text(name) ?? '', 'base64')))

  it('is read from the single records of eventlogs', function () {
    if (set === undefined) return skipWithoutVectors(this, 'cel/tlv')
    const one = (name: string) => contentOf(read(name).records[0])
    assert.deepEqual(one('tlv_cel_timestamp.b64'), {
      kind: 'mgmt',
      events: [{ type: 'cel_timestamp', value: 0xffffffffffn }],
    })
    assert.deepEqual(one('tlv_cel_version.b64'), {
      kind: 'mgmt',
      events: [{ type: 'cel_version', major: 2, minor: 0 }],
    })
    assert.deepEqual(one('tlv_ima_template.b64'), { kind: 'ima_template', name: 'eat', data: utf8('falafel') })
    assert.deepEqual(one('tlv_pcclient_std.b64'), {
      kind: 'pcclient_std',
      claimedEventType: 0x800000e2,
      eventData: utf8('falafel'),
    })
    assert.throws(() => one('tlv_cel_version_extra_byte.b64'), { code: 'EVENT_LOG_TRUNCATED' })
  })

  it('is read from a Confidential Space log: every event is proved by its digest', function () {
    if (set === undefined) return skipWithoutVectors(this, 'cel/tlv')
    const events = [...celEvents(read('gca-confidential-space-cel.b64').records)]
    assert.ok(events.length > 10)
    for (const event of events) assert.deepEqual([event.coverage, event.register], ['data', { kind: 'rtmr', index: 3 }])
    assert.deepEqual(
      events.slice(0, 3).map((e) => [e.type, e.text.slice(0, 12)]),
      [
        ['ImageRef', 'us-west1-doc'],
        ['ImageDigest', 'sha256:77704'],
        ['RestartPolicy', 'Never'],
      ],
    )
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

describe('conversion', () => {
  it('keeps a firmware event as it was measured', () => {
    const eventData = fromHex('00000000')
    const record = pcClientCelRecord(3, {
      pcr: 7,
      eventType: 4,
      eventData,
      digests: { sha256: digest('sha256', eventData) },
    })
    assert.deepEqual(decodeCelAny(encodeCelRecord(record)).records, [record])
    assert.equal(celCoverage(record).coverage, 'data')
  })

  it('makes of a list of IMA what the kernel extended', function () {
    const set = externalVectors('ima')
    if (set === undefined) return skipWithoutVectors(this, 'ima')
    const list = new Uint8Array(Buffer.from(set.text('libcel-binary_runtime_measurements.b64'), 'base64'))
    const records = imaEntries(list).map((entry, i) => imaCelRecord(i, entry, ['sha1', 'sha256']))
    assert.ok(records.length > 50)
    for (const bytes of [
      concatBytes(...records.map(encodeCelRecord)),
      encodeCelJson(records),
      encodeCelCbor(records),
    ]) {
      const events = [...celEvents(decodeCelAny(bytes).records)]
      assert.equal(events.length, records.length)
      for (const event of events)
        assert.deepEqual([event.type, event.coverage, event.register.index], ['ima-ng', 'data', 10])
    }
  })

  it('extends all ones for a violation, and hashes the oldest template as the kernel does', () => {
    const violation = {
      pcr: 10,
      templateDigest: new Uint8Array(20),
      templateName: 'ima-ng',
      templateData: fromHex('01'),
    }
    const record = imaCelRecord(0, violation, ['sha1', 'sha256'])
    assert.ok(record.digests.every((d) => d.bytes.every((b) => b === 0xff)))
    assert.match(celCoverage(record).why, /violation/)
    const name = utf8('/bin/sh')
    const templateData = concatBytes(new Uint8Array(20).fill(1), fromHex('07000000'), name)
    const hashed = concatBytes(new Uint8Array(20).fill(1), name, new Uint8Array(249))
    const entry = { pcr: 10, templateDigest: digest('sha1', hashed), templateName: 'ima', templateData }
    assert.equal(celCoverage(imaCelRecord(0, entry, ['sha1', 'sha256'])).coverage, 'data')
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

/** Members of a file that names its records; one has a comment in place of a name that is too long. */
function membersOf(text: string): ReadonlyMap<string | number, Value> {
  const filled = text.replace('"" // set in unit test', JSON.stringify('n'.repeat(255)))
  const members = parseJson(utf8(filled), { maxBytes: 1 << 16, maxDepth: 8, maxItems: 1 << 12, trailingCommas: true })
  assert.ok(isMap(members))
  return members
}

/** Entries of a binary list of IMA with a template of variable size, little-endian. */
function imaEntries(list: Uint8Array) {
  const view = new DataView(list.buffer, list.byteOffset, list.byteLength)
  const entries = []
  for (let at = 0; at < list.length; ) {
    const pcr = view.getUint32(at, true)
    const templateDigest = list.subarray(at + 4, at + 24)
    const nameEnd = at + 28 + view.getUint32(at + 24, true)
    const templateName = Buffer.from(list.subarray(at + 28, nameEnd)).toString()
    const end = nameEnd + 4 + view.getUint32(nameEnd, true)
    entries.push({ pcr, templateDigest, templateName, templateData: list.subarray(nameEnd + 4, end) })
    at = end
  }
  return entries
}
