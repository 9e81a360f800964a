import assert from 'node:assert/strict'
import fc from 'fast-check'
import {
  decodeEvidenceFile,
  type EvidenceFile,
  EvidenceFileError,
  encodeEvidenceFile,
  looksLikeEvidenceFile,
} from '../../../attestation/evidence-file/index.ts'
import { encodeCbor } from '../../../attestation/protocol/index.ts'
import { fuzzRuns } from '../../support/fuzz.ts'

const FILE: EvidenceFile = {
  t: 'holdfast-evidence',
  v: 1,
  collectedAt: '2026-01-02T03:04:05Z',
  hostname: 'node.example',
  collector: 'holdfast/1',
  ekPublic: Uint8Array.of(1),
  ekChain: [Uint8Array.of(2)],
  akPublic: Uint8Array.of(3),
  attest: Uint8Array.of(4),
  signature: Uint8Array.of(5),
  nonce: new Uint8Array(32),
  pcrs: [{ bank: 'sha256', pcr: 0, value: new Uint8Array(32) }],
  logs: { firmware: Uint8Array.of(6), launch: { pcr: 15, resetCount: 1, restartCount: 0, bytes: Uint8Array.of(7) } },
}

describe('an evidence file', () => {
  const encoded = encodeEvidenceFile(FILE)

  it('reads as it was written', () => {
    assert.deepEqual(decodeEvidenceFile(encoded), FILE)
    assert.deepEqual(encodeEvidenceFile(decodeEvidenceFile(encoded)), encoded)
  })

  it('is told from raw logs by its first bytes', () => {
    assert.equal(looksLikeEvidenceFile(encoded), true)
    for (const other of [
      [],
      [0],
      [0, 0, 0, 0, 3, 0, 0, 0],
      [0x1e, 0x7b],
      [0x5b, 0x7b],
      [0xa1, 0x01, 0x02],
      [0xa2, 0x61, 0x76, 0x01],
    ]) {
      assert.equal(looksLikeEvidenceFile(Uint8Array.from(other)), false)
    }
  })

  for (const [what, bent] of [
    ['another version', { ...FILE, v: 2 }],
    ['a member too many', { ...FILE, more: 1 }],
    ['no quote', { ...FILE, attest: undefined }],
    ['a register that does not exist', { ...FILE, pcrs: [{ bank: 'sha256', pcr: 24, value: new Uint8Array(32) }] }],
    ['a log that is text', { ...FILE, logs: { firmware: 'log' } }],
  ] as const) {
    it(`with ${what} is refused`, () => {
      assert.throws(() => decodeEvidenceFile(encodeCbor(bent)), { code: 'EVIDENCE_FILE_INVALID' })
    })
  }

  it('cut or changed anywhere is a file or a coded error', () => {
    for (let end = 0; end < encoded.length; end++) {
      assert.throws(() => decodeEvidenceFile(encoded.subarray(0, end)), EvidenceFileError)
    }
    const change = fc.tuple(fc.nat(encoded.length - 1), fc.integer({ min: 1, max: 255 }))
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const bytes = encoded.slice()
        for (const [at, flip] of changes) bytes[at] = (bytes[at] ?? 0) ^ flip
        try {
          decodeEvidenceFile(bytes)
        } catch (err) {
          assert.ok(err instanceof EvidenceFileError, String(err))
        }
      }),
      { numRuns: fuzzRuns(2000) },
    )
  })
})
