import assert from 'node:assert/strict'
import fc from 'fast-check'
import { pathGlob } from '../../../../attestation/appraisal/ima/index.ts'
import { fuzzRuns } from '../../../support/fuzz.ts'

describe('pathGlob', () => {
  const cases: readonly [pattern: string, matches: readonly string[], others: readonly string[]][] = [
    ['/etc/passwd', ['/etc/passwd'], ['/etc/passwd-', '/etc/passw', '']],
    ['/tmp/*', ['/tmp/', '/tmp/x'], ['/tmp', '/tmp/x/y', '/x/tmp/x']],
    ['/tmp/**', ['/tmp/', '/tmp/x', '/tmp/x/y'], ['/tmp', '/tmpx']],
    ['/home/*/.cache/**', ['/home/a/.cache/x/y'], ['/home/a/b/.cache/x', '/home/.cache/x']],
    ['/dev/sd?', ['/dev/sda'], ['/dev/sd', '/dev/sd/', '/dev/sdab']],
    ['**/x', ['/x', '/a/b/x', '/x/x'], ['/xx', 'x', '/x/y']],
    ['**', ['', '/', '/a\nb'], []],
    ['*', ['', 'a'], ['/', 'a/b']],
    ['/a***b', ['/ab', '/a/x/b'], ['/a']],
    ['/a**b*c', ['/abc', '/a/b/bc', '/abxc'], ['/ab/c']],
    ['/.x+(y)[z]$^', ['/.x+(y)[z]$^'], ['/ax+(y)[z]$^']],
  ]
  for (const [pattern, matches, others] of cases) {
    it(pattern, () => {
      const glob = pathGlob(pattern)
      for (const path of matches) assert.ok(glob(path), `matches ${JSON.stringify(path)}`)
      for (const path of others) assert.ok(!glob(path), `does not match ${JSON.stringify(path)}`)
    })
  }

  it('agrees with the regular expression of the same meaning', () => {
    const piece = fc.constantFrom('a', '/', '.', '*', '**', '?')
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 8 }),
        fc.string({ unit: fc.constantFrom('a', '/', '.'), maxLength: 10 }),
        (pieces, path) => {
          const pattern = pieces.join('')
          const expression = pattern.replace(/\*+|\?|\./g, (t) =>
            t === '.' ? '\\.' : t === '?' ? '[^/]' : t === '*' ? '[^/]*' : '.*',
          )
          assert.equal(pathGlob(pattern)(path), new RegExp(`^${expression}$`, 's').test(path), `${pattern} ${path}`)
        },
      ),
      { numRuns: fuzzRuns(3000) },
    )
  })

  it('takes no time over a path made to be tried in every way', () => {
    // a backtracking matcher would try 2^1000 ways
    assert.equal(pathGlob(`/${'a*'.repeat(500)}b`)(`/${'a'.repeat(4095)}`), false)
    assert.equal(pathGlob(`/${'**a'.repeat(300)}b`)(`/${'a'.repeat(4095)}`), false)
  })

  it('refuses a pattern of more than 1024 characters', () => {
    assert.throws(() => pathGlob('x'.repeat(1025)), RangeError)
  })
})
