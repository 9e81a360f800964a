import assert from 'node:assert/strict'
import {
  appraiseIma,
  checkBootAggregate,
  compileImaPolicy,
  EMPTY_IMA_POLICY,
  imaStateStart,
} from '../../../../attestation/appraisal/ima/index.ts'
import { fromHex, toHex } from '../../../../attestation/base/index.ts'
import { digest, type HashAlgorithm, hashSize } from '../../../../attestation/crypto/index.ts'
import { copiedVectors } from '../../../support/vectors.ts'

const value = (bank: HashAlgorithm, index: number) => new Uint8Array(hashSize(bank)).fill(index + 1)
const over = (bank: HashAlgorithm, last: number) =>
  toHex(digest(bank, ...Array.from({ length: last + 1 }, (_, index) => value(bank, index))))
const aggregate = (algorithm: string, hex: string) => ({ algorithm, digest: hex, old: false })

describe('checkBootAggregate', () => {
  it('finds PCR 0 to 9, or 0 to 7 of older kernels and of SHA-1', () => {
    assert.deepEqual(checkBootAggregate(aggregate('sha256', over('sha256', 9)), value), { result: 'match', last: 9 })
    assert.deepEqual(checkBootAggregate(aggregate('sha256', over('sha256', 7)), value), { result: 'match', last: 7 })
    assert.deepEqual(checkBootAggregate(aggregate('sha1', over('sha1', 7)), value), { result: 'match', last: 7 })
    assert.equal(checkBootAggregate(aggregate('sha1', over('sha1', 9)), value).result, 'mismatch')
  })

  it('says what it would have to be', () => {
    const check = checkBootAggregate(aggregate('sha256', '5a'.repeat(32)), value)
    assert.deepEqual(check, { result: 'mismatch', expected: [over('sha256', 9), over('sha256', 7)] })
  })

  it('does not pass for good where it is missing, zero, of no bank, or the registers are not there', () => {
    assert.equal(checkBootAggregate(undefined, value).result, 'unknown')
    assert.equal(checkBootAggregate(aggregate('sha256', '00'.repeat(32)), value).result, 'no-tpm')
    assert.equal(checkBootAggregate(aggregate('sm3', '5a'.repeat(32)), value).result, 'unknown')
    assert.equal(checkBootAggregate(aggregate('sha256', over('sha256', 9)), () => undefined).result, 'unknown')
    const withoutNine = (bank: HashAlgorithm, index: number) => (index === 9 ? undefined : value(bank, index))
    assert.equal(checkBootAggregate(aggregate('sha256', over('sha256', 9)), withoutNine).result, 'mismatch')
  })

  it('matches in every guest of test/vectors/vm', () => {
    const set = copiedVectors('vm')
    for (const name of set.list().filter((entry) => set.has(`${entry}/ima_binary_later`))) {
      const { pcrs } = JSON.parse(set.text(`${name}/expected.json`)) as { pcrs: { sha256: Record<string, string> } }
      const pcr = (index: number) => fromHex(pcrs.sha256[String(index)] ?? '')
      const list = set.read(`${name}/ima_binary_later`)
      const result = appraiseIma(
        imaStateStart(['sha256']),
        list,
        { sha256: pcr(10) },
        compileImaPolicy(EMPTY_IMA_POLICY),
      )
      assert.ok(result.outcome === 'proved')
      const check = checkBootAggregate(result.state.bootAggregate, (_, index) => pcr(index))
      assert.deepEqual(check, { result: 'match', last: 9 }, name)
    }
  })
})
