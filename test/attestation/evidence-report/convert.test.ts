import assert from 'node:assert/strict'
import { concatBytes, toHex, utf8 } from '../../../attestation/base/index.ts'
import type { CelEncoding } from '../../../attestation/event-log/index.ts'
import { encodeEvidenceFile } from '../../../attestation/evidence-file/index.ts'
import { convertToCel, openEvidence, shownEvidence } from '../../../attestation/evidence-report/index.ts'
import { FILES, madeEvidence } from '../../support/evidence.ts'
import { encodeList } from '../../support/ima-log.ts'
import { copiedVectors } from '../../support/vectors.ts'

const NOW = new Date('2026-03-01T12:00:00Z')
const { file } = madeEvidence({ systemd: [{ pcr: 11, type: 'phase', text: 'ready' }] })
const opened = openEvidence(encodeEvidenceFile(file))
const whole = (...args: Parameters<typeof convertToCel>): Uint8Array => concatBytes(...convertToCel(...args))

/** `PCR 7 sha256 …` of every register, as a TPM would have it after these events. */
function replayed(bytes: Uint8Array): string[] {
  return shownEvidence(openEvidence(bytes), NOW).registers.flatMap(({ register, banks }) =>
    banks.map(({ bank, replayed }) => `${register} ${bank} ${replayed}`),
  )
}

describe('evidence as a canonical event log', () => {
  for (const encoding of ['tlv', 'json', 'cbor'] satisfies CelEncoding[]) {
    it(`replays in ${encoding} to the registers that were quoted`, () => {
      const values = replayed(whole(opened, encoding))
      const quoted = file.pcrs.map(({ bank, pcr, value }) => `PCR ${pcr} ${bank} ${toHex(value)}`)
      assert.ok(values.length > 10)
      for (const value of values) assert.ok(quoted.includes(value), value)
    })
  }

  it('is of one log where one is asked for, and the same whatever encoding it comes from', () => {
    const launch = whole(opened, 'tlv', 'launch-log')
    assert.deepEqual(launch, file.logs.launch?.bytes)
    for (const encoding of ['json', 'cbor'] as const) {
      const other = whole(opened, encoding, 'launch-log')
      assert.deepEqual(whole(openEvidence(other), 'tlv', 'cel'), launch)
    }
    assert.ok(replayed(whole(opened, 'tlv', 'ima')).every((value) => value.startsWith('PCR 10 ')))
  })

  it('is made of any log by itself', () => {
    const set = copiedVectors('vm/ovmf-sdboot')
    for (const bytes of [set.read('binary_bios_measurements'), set.read('ima_ascii_later'), encodeList(FILES)]) {
      const log = openEvidence(bytes)
      const values = replayed(bytes)
      for (const value of replayed(whole(log, 'json')))
        assert.ok(values.includes(value) || !value.includes('sha256'), value)
    }
  })

  it('is refused where there is no such log, or no form for it', () => {
    assert.throws(() => whole(opened, 'tlv', 'cel'), { code: 'EVIDENCE_NO_LOG' })
    assert.throws(() => whole(openEvidence(encodeList(FILES)), 'json', 'firmware'), { code: 'EVIDENCE_NO_LOG' })
    const aael = openEvidence(utf8(`INIT/sha256 ${'00'.repeat(32)}\nexample.org pull {}\n`))
    assert.throws(() => whole(aael, 'json'), { code: 'EVIDENCE_NO_CEL' })
  })

  it('says of a record without digests that only JSON and CBOR hold it', () => {
    const content = { event_type: 4, event_data: '00000000' }
    const record = { recnum: 0, pcr: 3, digests: [], content_type: 'pcclient_std', content }
    const log = openEvidence(utf8(JSON.stringify([record])))
    assert.deepEqual(JSON.parse(new TextDecoder().decode(whole(log, 'json'))), [record])
    assert.throws(() => whole(log, 'tlv'), { code: 'EVIDENCE_NO_CEL', message: /cel-json and cel-cbor/ })
  })

  it('has no more records than are read again', () => {
    const one = encodeList(FILES.slice(0, 1))
    const list = openEvidence(new Uint8Array(Buffer.concat(Array.from({ length: (1 << 16) + 1 }, () => one))))
    assert.throws(() => whole(list, 'json'), { code: 'EVENT_LOG_TOO_LONG', message: /--source/ })
  })
})
