import { strict as assert } from 'node:assert'
import fc from 'fast-check'
import { glob, globLiteral, literalStart } from '../../../attestation/appraisal-policy/glob.ts'
import {
  compareVersions,
  tpmVersion,
  versionIn,
  versionNumber,
} from '../../../attestation/appraisal-policy/version-number.ts'
import { fuzzRuns } from '../../support/fuzz.ts'

describe('a pattern', () => {
  const cases: readonly (readonly [pattern: string, text: string, matches: boolean])[] = [
    ['', '', true],
    ['', 'a', false],
    ['*', '', true],
    ['a*', 'abc', true],
    ['a*', 'ba', false],
    ['*c', 'abc', true],
    ['a*c', 'abcb', false],
    ['a?c', 'abc', true],
    ['a?c', 'ac', false],
    ['a\\*c', 'a*c', true],
    ['a\\*c', 'abc', false],
    ['a\\', 'a\\', true],
    ['a.c', 'abc', false],
    ['*a*b*', 'xxaxxbxx', true],
    ['**', 'any\nthing', true],
  ]
  for (const [pattern, text, matches] of cases) {
    it(`'${pattern}' ${matches ? 'fits' : 'does not fit'} ${JSON.stringify(text)}`, () =>
      assert.equal(glob(pattern).matches(text), matches))
  }

  it('answers soon, whatever it has to answer', () => {
    assert.equal(glob(`${'*a'.repeat(400)}b`).matches('a'.repeat(50_000)), false)
  })

  it('of a text is that text', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (a, b) => {
        assert.equal(glob(globLiteral(a)).matches(b), a === b)
        assert.ok(glob(globLiteral(a)).matches(a))
        assert.equal(literalStart(globLiteral(a)), a)
      }),
      { numRuns: fuzzRuns(300) },
    )
  })

  it('agrees with an expression that says the same', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?'), maxLength: 8 })
    fc.assert(
      fc.property(letters, fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 10 }), (pattern, text) => {
        const expression = new RegExp(`^${pattern.replaceAll('*', '.*').replaceAll('?', '.')}$`)
        assert.equal(glob(pattern).matches(text), expression.test(text))
      }),
      { numRuns: fuzzRuns(1000) },
    )
  })
})

describe('a version', () => {
  const order: readonly (readonly [string, string, number])[] = [
    ['7.62', '7.85', -1],
    ['7.9', '7.10', -1],
    ['7', '7.0.0', 0],
    ['10', '9.99', 1],
  ]
  for (const [a, b, sign] of order) {
    it(`${a} and ${b} are compared by number`, () =>
      assert.equal(Math.sign(compareVersions(versionNumber(a), versionNumber(b))), sign))
  }
  it('of a TPM has four numbers', () => assert.deepEqual(tpmVersion(0x0001_0003_0002_0008n), [1, 3, 2, 8]))
  it('is the first number of a text', () => {
    assert.deepEqual(versionIn('75W (1.53 )'), [75])
    assert.equal(versionIn('none'), undefined)
  })
})
