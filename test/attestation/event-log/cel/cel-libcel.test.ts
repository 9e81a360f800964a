import assert from 'node:assert/strict'
import { utf8 } from '../../../../attestation/base/index.ts'
import { isMap, parseJson, type Value } from '../../../../attestation/encoding/index.ts'
import {
  type CelContent,
  type CelRecord,
  celEvents,
  celRecordFromJson,
  decodeCelAny,
  decodeCelContent,
  EventLogError,
  encodeCelCbor,
  encodeCelJson,
  toCelJson,
} from '../../../../attestation/event-log/index.ts'
import { externalVectors, skipWithoutVectors } from '../../../support/vectors.ts'

const SHA1 = 'aa'.repeat(20)
const contentOf = (record: CelRecord | undefined): CelContent => {
  assert.ok(record)
  return decodeCelContent(record)
}
const plain = (record: CelRecord): unknown => toCelJson(record)

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

/** Members of a file that names its records; one has a comment in place of a name that is too long. */
function membersOf(text: string): ReadonlyMap<string | number, Value> {
  const filled = text.replace('"" // set in unit test', JSON.stringify('n'.repeat(255)))
  const members = parseJson(utf8(filled), { maxBytes: 1 << 16, maxDepth: 8, maxItems: 1 << 12, trailingCommas: true })
  assert.ok(isMap(members))
  return members
}
