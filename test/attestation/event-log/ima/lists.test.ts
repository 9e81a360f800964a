import assert from 'node:assert/strict'
import fc from 'fast-check'
import { concatBytes, fromHex, utf8 } from '../../../../attestation/base/index.ts'
import { digest } from '../../../../attestation/crypto/index.ts'
import {
  EventLogError,
  imaEntries,
  imaEvents,
  imaMeasurement,
  imaReplayStart,
  readImaList,
  replayIma,
  wholeImaEntries,
} from '../../../../attestation/event-log/index.ts'
import { fuzzRuns } from '../../../support/fuzz.ts'
import {
  bootAggregateEntry,
  bufferEntry,
  digestField,
  encodeEntry,
  encodeList,
  fileEntry,
  type ImaEntrySpec,
  u32,
  violationEntry,
} from '../../../support/ima-log.ts'

const SHA256 = digest('sha256', utf8('content'))
const name = (path: string) => utf8(`${path}\0`)
const measured = (spec: ImaEntrySpec) => {
  const [entry] = imaEntries(encodeEntry(spec))
  return imaMeasurement(entry?.fields ?? [])
}
const textOf = (spec: ImaEntrySpec) => [...imaEvents(encodeEntry(spec), { banks: [] })].map((e) => e.text).join()

/** One entry of every template, and custom ones. */
const EVERY: readonly ImaEntrySpec[] = [
  bootAggregateEntry(),
  { template: 'ima', fields: [digest('sha1', utf8('x')), utf8('/sbin/init')] },
  fileEntry('/usr/bin/env', 'env'),
  fileEntry('/usr/bin/signed', 's', Uint8Array.of(3, 2, 4, 0, 0, 0, 1, 0, 2, 7, 7)),
  { template: 'ima-ngv2', fields: [digestField('ima:sha256', SHA256), name('/a')] },
  { template: 'ima-sigv2', fields: [digestField('verity:sha256', SHA256), name('/b'), new Uint8Array(0)] },
  bufferEntry('dm_table_load', utf8('dm_version=4.45.0;name=test,uuid=;')),
  {
    template: 'ima-modsig',
    fields: [
      digestField('sha256', SHA256),
      name('/m.ko'),
      new Uint8Array(0),
      digestField('sha512', new Uint8Array(64)),
      Uint8Array.of(0x30, 0),
    ],
  },
  {
    template: 'evm-sig',
    fields: [
      digestField('sha256', SHA256),
      name('/e'),
      Uint8Array.of(5, 2, 4),
      utf8('security.selinux|security.ima\0'),
      concatBytes(u32(5), u32(34)),
      new Uint8Array(39),
      u32(1000),
      u32(100),
      u32(0o100755).subarray(0, 2),
    ],
  },
  { template: 'd-ng|n-ng|iuid', fields: [digestField('sha256', SHA256), name('/c'), u32(7)] },
  { template: 'n', fields: [name('only a name'.replaceAll(' ', '_'))] },
  violationEntry('/var/log/wtmp'),
]

describe('imaEntries', () => {
  it('reads what every template says', () => {
    const said = EVERY.map(measured)
    assert.deepEqual(said[1]?.digest, { of: 'content', algorithm: 'sha1', bytes: digest('sha1', utf8('x')) })
    assert.equal(said[1]?.name, '/sbin/init')
    assert.deepEqual(said[3]?.signature, Uint8Array.of(3, 2, 4, 0, 0, 0, 1, 0, 2, 7, 7))
    assert.deepEqual(said[4]?.digest, { of: 'content', algorithm: 'sha256', bytes: SHA256 })
    assert.deepEqual(said[5]?.digest, { of: 'verity', algorithm: 'sha256', bytes: SHA256 })
    assert.equal(said[5]?.signature, undefined)
    assert.equal(said[6]?.name, 'dm_table_load')
    assert.equal(said[7]?.appended?.digest?.algorithm, 'sha512')
    assert.deepEqual(said[7]?.appended?.signature, Uint8Array.of(0x30, 0))
    assert.deepEqual(said[8]?.owner, { uid: 1000, gid: 100, mode: 0o100755 })
    assert.deepEqual(said[8]?.evmSignature, Uint8Array.of(5, 2, 4))
    assert.deepEqual(said[9]?.owner, { uid: 7 })
    assert.equal(said[10]?.digest, undefined)
  })

  it('takes no digest from a field that has not its form', () => {
    for (const field of ['', 'sha256', 'sha256:', 'a:b:c:sha256:\0x', 'sha256\0:x', '\0']) {
      assert.equal(measured({ fields: [utf8(field), name('/x')] }).digest, undefined, JSON.stringify(field))
    }
  })

  const refused: readonly { name: string; bytes: Uint8Array; code: string }[] = [
    { name: 'a cut head', bytes: encodeEntry(fileEntry('/x', 'x')).subarray(0, 20), code: 'EVENT_LOG_TRUNCATED' },
    { name: 'a cut entry', bytes: encodeEntry(fileEntry('/x', 'x')).subarray(0, -1), code: 'EVENT_LOG_TRUNCATED' },
    { name: 'PCR 24', bytes: encodeEntry({ ...fileEntry('/x', 'x'), pcr: 24 }), code: 'EVENT_LOG_BAD_NUMBER' },
    {
      name: 'an unknown template',
      bytes: encodeEntry({ template: 'ima-xx', fields: [] }),
      code: 'EVENT_LOG_BAD_CONTENT',
    },
    { name: 'an unknown field', bytes: encodeEntry({ template: 'd-ng|x', fields: [] }), code: 'EVENT_LOG_BAD_CONTENT' },
    {
      name: 'too few fields',
      bytes: encodeEntry({ fields: [digestField('sha256', SHA256)] }),
      code: 'EVENT_LOG_BAD_CONTENT',
    },
    {
      name: 'too many fields',
      bytes: encodeEntry({ fields: [digestField('sha256', SHA256), name('/x'), name('/y')] }),
      code: 'EVENT_LOG_BAD_CONTENT',
    },
    {
      name: 'a template name of 4 GiB',
      bytes: concatBytes(u32(10), new Uint8Array(20), u32(0xffffffff), utf8('ima-ng')),
      code: 'EVENT_LOG_TOO_LONG',
    },
    {
      name: 'template data of 4 GiB',
      bytes: concatBytes(u32(10), new Uint8Array(20), u32(6), utf8('ima-ng'), u32(0xffffffff)),
      code: 'EVENT_LOG_TOO_LONG',
    },
    {
      name: 'an old name of 4 GiB',
      bytes: concatBytes(u32(10), new Uint8Array(20), u32(3), utf8('ima'), new Uint8Array(20), u32(0xffffffff)),
      code: 'EVENT_LOG_TOO_LONG',
    },
  ]
  for (const { name: what, bytes, code } of refused) {
    it(`refuses ${what} with ${code}`, () => assert.throws(() => [...imaEntries(bytes)], { code }))
  }
})

describe('imaEvents', () => {
  it('says what is covered by the digest, and why', () => {
    const [data] = imaEvents(encodeEntry(fileEntry('/x', 'x')), { banks: ['sha256'] })
    assert.equal(data?.coverage, 'data')
    const [violation] = imaEvents(encodeEntry(violationEntry('/x')), { banks: ['sha1', 'sha256'] })
    assert.equal(violation?.coverage, 'digest')
    assert.deepEqual(violation?.digests.sha256, new Uint8Array(32).fill(0xff))
    const [forged] = imaEvents(encodeEntry({ ...fileEntry('/x', 'x'), templateDigest: new Uint8Array(20).fill(1) }), {
      banks: [],
    })
    assert.equal(forged?.coverage, 'mismatch')
  })

  it('gives the digests that the kernel extends, by its rule', () => {
    const [event] = imaEvents(encodeEntry(fileEntry('/x', 'x')), {
      banks: ['sha256', 'sha384'],
      rules: { sha384: 'sha1-padded' },
    })
    assert.equal(event?.digests.sha256?.length, 32)
    assert.deepEqual(event?.digests.sha384?.subarray(20), new Uint8Array(28))
  })

  it('shows critical data as text, keys and other bytes as their size', () => {
    assert.match(
      textOf(bufferEntry('dm_table_load', utf8('name=a;hash=\0\0;'))),
      /^dm_table_load sha256:[0-9a-f]{64} "name=a;hash=;"$/,
    )
    assert.match(textOf(bufferEntry('.ima', Uint8Array.of(0x30, 0x80, 0xff))), /key of 3 bytes$/)
    assert.match(textOf(bufferEntry('selinux-policy-hash', Uint8Array.of(0xff, 0xfe))), / 2 bytes$/)
  })

  it('lets no path move the cursor, forge a line or fill the screen', () => {
    assert.match(
      textOf(fileEntry('/a\n10 forged\x1b[2J\u202e\\', 'x')),
      /^\/a\\x0a10 forged\\x1b\[2J\\u\{202e\}\\ sha256:/,
    )
    assert.ok(textOf(fileEntry(`/${'x'.repeat(100_000)}`, 'x')).length < 500)
    const [event] = imaEvents(encodeEntry({ fields: [digestField('sha256', SHA256), Uint8Array.of(0x2f, 0xff, 0)] }), {
      banks: [],
    })
    assert.match(event?.text ?? '', /^\/ÿ sha256:/)
  })
})

/** What the kernel prints for an entry. */
function asciiLine(spec: ImaEntrySpec): string {
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
  const digestText = (bytes: Uint8Array) => {
    const end = bytes.indexOf(0)
    return Buffer.from(bytes.subarray(0, end)).toString() + hex(bytes.subarray(end + 1))
  }
  const number = (bytes: Uint8Array) => String(bytes.reduceRight((value, byte) => value * 256 + byte, 0))
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1').replace(/\0$/, '')
  const [entry] = imaEntries(encodeEntry(spec))
  assert.ok(entry)
  const shown = entry.fields.map(({ field, bytes }) => {
    if (bytes.length === 0) return ''
    if (['d-ng', 'd-ngv2', 'd-modsig'].includes(field)) return digestText(bytes)
    if (['n', 'n-ng', 'xattrnames'].includes(field)) return text(bytes)
    return ['iuid', 'igid', 'imode'].includes(field) ? number(bytes) : hex(bytes)
  })
  return `${String(entry.pcr).padStart(2)} ${hex(entry.templateDigest)} ${entry.template} ${shown.join(' ')}\n`
}

describe('readImaList', () => {
  it('makes of the ASCII list the binary one, byte for byte', () => {
    const list = readImaList(utf8(EVERY.map(asciiLine).join('')))
    assert.equal(list.form, 'ascii')
    assert.deepEqual(list.bytes, encodeList(EVERY))
  })

  it('leaves a binary list as it is, and finds the hash of its template digests', () => {
    for (const hash of ['sha1', 'sha256', 'sha384', 'sha512'] as const) {
      const bytes = encodeList([violationEntry('/x'), ...EVERY], hash)
      assert.deepEqual(readImaList(bytes), { bytes, templateHash: hash, form: 'binary' })
    }
  })

  const refused = [
    { name: 'a line broken by a path', text: `${asciiLine(fileEntry('/x', 'x')).trimEnd()}\n/rest of it\n` },
    { name: 'a digest that is not hex', text: `10 ${'0'.repeat(40)} ima-ng sha1:Ic026ae6 /x\n` },
    { name: 'a digest of odd length', text: `10 ${'0'.repeat(40)} ima-ng sha1:abc /x\n` },
    { name: 'an unknown template', text: `10 ${'0'.repeat(40)} nothing sha1:ab /x\n` },
    { name: 'too many fields', text: `10 ${'0'.repeat(40)} ima-sig sha1:ab /x 00 00\n` },
    { name: 'a number that is none', text: `10 ${'0'.repeat(40)} iuid abc\n` },
    { name: 'a number too large', text: `10 ${'0'.repeat(40)} imode 65536\n` },
    { name: 'an old digest of 16 bytes', text: `10 ${'0'.repeat(40)} ima ${'0'.repeat(32)} /x\n` },
  ]
  for (const { name: what, text } of refused) {
    it(`refuses ${what}`, () => assert.throws(() => readImaList(utf8(text)), { code: 'EVENT_LOG_BAD_CONTENT' }))
  }

  it('refuses template digests of another size in the middle', () => {
    const text = `${asciiLine(fileEntry('/x', 'x'))}10 ${'0'.repeat(64)} ima-ng sha1:ab /x\n`
    assert.throws(() => readImaList(utf8(text)), { code: 'EVENT_LOG_BAD_DIGEST' })
  })
})

describe('IMA lists under fire', () => {
  const list = encodeList(EVERY)
  const ascii = utf8(EVERY.map(asciiLine).join(''))
  const quoted = { sha256: fromHex('11'.repeat(32)) }

  /** A value or an EventLogError: everything that reads lists. */
  function readAll(bytes: Uint8Array): void {
    try {
      const { bytes: binary } = readImaList(bytes)
      wholeImaEntries(binary)
      replayIma(imaReplayStart(['sha256']), binary, quoted)
      for (const event of imaEvents(binary, { banks: ['sha1'] })) assert.ok(event.text.length < 2000)
    } catch (err) {
      if (!(err instanceof EventLogError)) throw err
    }
  }

  it('reads or refuses every prefix', () => {
    for (const form of [list, ascii]) for (let n = 0; n <= form.length; n++) readAll(form.subarray(0, n))
  })

  it('reads or refuses every mutation', () => {
    const change = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 6 })
    fc.assert(
      fc.property(fc.boolean(), change, fc.nat(), (isAscii, changes, cut) => {
        const bytes = Uint8Array.from(isAscii ? ascii : list)
        for (const [at, value] of changes) bytes[at % bytes.length] = value
        readAll(cut % 4 === 0 ? bytes.subarray(cut % bytes.length) : bytes)
      }),
      { numRuns: fuzzRuns(1500) },
    )
  })

  it('reads or refuses any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => readAll(bytes)),
      { numRuns: fuzzRuns(1500) },
    )
  })
})
