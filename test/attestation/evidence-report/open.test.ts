import assert from 'node:assert/strict'
import fc from 'fast-check'
import { CodedError, concatBytes, utf8 } from '../../../attestation/base/index.ts'
import { decodeCelAny, encodeCelCbor, encodeCelJson, encodeCelRecord } from '../../../attestation/event-log/index.ts'
import { encodeEvidenceFile } from '../../../attestation/evidence-file/index.ts'
import {
  describeKind,
  openEvidence,
  PLAIN,
  shownEvidence,
  showText,
} from '../../../attestation/evidence-report/index.ts'
import { honestBoot } from '../../support/boot.ts'
import { LOG } from '../../support/cel.ts'
import { FILES, madeEvidence, systemdRecord } from '../../support/evidence.ts'
import { cryptoAgileLog, sha1Log } from '../../support/firmware-log.ts'
import { fuzzRuns } from '../../support/fuzz.ts'
import { encodeList } from '../../support/ima-log.ts'
import { copiedVectors, externalVectors, skipWithoutVectors } from '../../support/vectors.ts'

const SDBOOT = copiedVectors('vm/ovmf-sdboot')
const AAEL = utf8(`INIT/sha256 ${'00'.repeat(32)}\nexample.org pull {"image":"a"}\n`)
const PHASES = concatBytes(systemdRecord(11, 'phase', 'enter-initrd'), systemdRecord(11, 'phase', 'leave-initrd'))
const NOW = new Date('2026-03-01T12:00:00Z')

/** One of each format, and what it is called. */
const KINDS: Readonly<Record<string, { readonly bytes: Uint8Array; readonly detected: RegExp }>> = {
  'an evidence file': { bytes: encodeEvidenceFile(madeEvidence().file), detected: /^evidence file$/ },
  'a crypto-agile log': { bytes: cryptoAgileLog(honestBoot()), detected: /^TCG firmware log \(crypto-agile\)$/ },
  'a log of a guest': { bytes: SDBOOT.read('binary_bios_measurements'), detected: /^TCG firmware log/ },
  'a log of the TPM 1.2 form': { bytes: sha1Log(honestBoot()), detected: /TPM 1\.2 form/ },
  'a CCEL': {
    bytes: cryptoAgileLog(
      honestBoot().map((event) => ({ ...event, register: Math.min(event.register, 3) + 1 })),
      { banks: ['sha384'] },
    ),
    detected: /^TDX firmware log \(CCEL\)$/,
  },
  'a binary IMA list': { bytes: encodeList(FILES), detected: /^IMA list \(binary\)$/ },
  'a binary IMA list with SHA-256 template digests': { bytes: encodeList(FILES, 'sha256'), detected: /^IMA list/ },
  'an IMA list of a guest': { bytes: SDBOOT.read('ima_binary_later'), detected: /^IMA list \(binary\)$/ },
  'an ASCII IMA list': { bytes: SDBOOT.read('ima_ascii_later'), detected: /^IMA list \(ASCII\)$/ },
  "systemd's log": { bytes: PHASES, detected: /^systemd's tpm2-measure\.log$/ },
  'a CEL in TLV': { bytes: concatBytes(...LOG.map(encodeCelRecord)), detected: /\(CEL-TLV\)$/ },
  'a CEL in JSON': { bytes: encodeCelJson(LOG), detected: /\(CEL-JSON\)$/ },
  'a CEL in CBOR': { bytes: encodeCelCbor(LOG), detected: /\(CEL-CBOR\)$/ },
  'an AAEL': { bytes: AAEL, detected: /\(AAEL\)$/ },
}

describe('a file that somebody wants to look at', () => {
  for (const [name, { bytes, detected }] of Object.entries(KINDS)) {
    it(`is known for ${name} by its content`, () => assert.match(describeKind(openEvidence(bytes)), detected))
  }

  it('is shown whatever it is, and without a quote nothing of it is proved', () => {
    for (const [name, { bytes }] of Object.entries(KINDS)) {
      const shown = shownEvidence(openEvidence(bytes), NOW)
      const told = [...shown.events({ ima: true })]
      assert.ok(told.length > 0, name)
      if (shown.quote.state !== 'absent') continue
      assert.ok(
        told.every(({ proof }) => proof === 'not-quoted' || proof === 'not-extended'),
        name,
      )
      const text = [...showText(shown, { by: 'register', paint: PLAIN, verbose: false })].join('')
      assert.match(text, /^no quote: nothing in it is proved$/m, name)
      assert.doesNotMatch(text, /\bproved {2}|digest only/, name)
    }
  })

  it('can be a log of another project', function () {
    const set = externalVectors('eventlogs/ccel')
    if (set === undefined) return skipWithoutVectors(this, 'eventlogs/ccel')
    for (const name of set.list().filter((file) => /ovmf$|\.bin$/.test(file))) {
      assert.equal(describeKind(openEvidence(set.read(name))), 'TDX firmware log (CCEL)', name)
    }
  })

  const refused: readonly { name: string; bytes: Uint8Array; code: string }[] = [
    { name: 'nothing', bytes: new Uint8Array(0), code: 'EVIDENCE_EMPTY' },
    { name: 'text', bytes: utf8('hello, world'), code: 'EVIDENCE_UNKNOWN' },
    { name: 'a certificate', bytes: SDBOOT.read('ek-rsa2048.cert.der'), code: 'EVIDENCE_UNKNOWN' },
    { name: 'a quote alone', bytes: SDBOOT.read('quote.msg'), code: 'EVIDENCE_UNKNOWN' },
    { name: 'zeros', bytes: new Uint8Array(100), code: 'EVIDENCE_UNKNOWN' },
    { name: 'JSON of something else', bytes: utf8('{"a":1}'), code: 'EVENT_LOG_BAD_RECORD' },
  ]
  for (const { name, bytes, code } of refused) {
    it(`is refused where it is ${name}`, () => assert.throws(() => openEvidence(bytes), { code }))
  }

  it('cut or changed anywhere is shown or refused with a code', () => {
    const all = Object.values(KINDS).map(({ bytes }) => bytes)
    const input = fc.record({
      bytes: fc.constantFrom(...all),
      cut: fc.option(fc.double({ min: 0, max: 1, noNaN: true })),
      changes: fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
    })
    fc.assert(
      fc.property(input, ({ bytes: whole, cut, changes }) => {
        const bytes = whole.slice(0, cut === null ? undefined : Math.floor(cut * whole.length))
        for (const [at, value] of changes) if (bytes.length > 0) bytes[at % bytes.length] = value
        try {
          const shown = shownEvidence(openEvidence(bytes), NOW)
          for (const piece of showText(shown, { by: 'time', paint: PLAIN, verbose: true, ima: true })) {
            assert.doesNotMatch(piece, /[^\n\P{Cc}]/u)
          }
        } catch (err) {
          assert.ok(err instanceof CodedError, String(err))
        }
      }),
      { numRuns: fuzzRuns(400) },
    )
  })

  it('numbered by register is read too', () => {
    const [a, b] = LOG
    assert.ok(a !== undefined && b !== undefined)
    const other = { ...b, recnum: a.recnum, index: { kind: 'pcr' as const, value: 3 } }
    const bytes = concatBytes(encodeCelRecord(a), encodeCelRecord(other))
    assert.throws(() => decodeCelAny(bytes), { code: 'EVENT_LOG_BAD_RECNUM' })
    assert.match(describeKind(openEvidence(bytes)), /CEL-TLV, numbered by register/)
  })
})
