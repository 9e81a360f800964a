import assert from 'node:assert/strict'
import fc from 'fast-check'
import { formatTable, printable } from '../../../attestation/base/index.ts'

describe('printable', () => {
  const cases: readonly (readonly [what: string, text: string, shown: string])[] = [
    ['plain text', 'C:\\EFI\\boot äöü 漢 😀', 'C:\\EFI\\boot äöü 漢 😀'],
    ['an escape sequence', 'a\x1b[2Jb', 'a\\x1b[2Jb'],
    ['a line end', 'a\nb\r\u2028', 'a\\x0ab\\x0d\\u{2028}'],
    ['a control character of eight bits', '\x9b31m', '\\x9b31m'],
    ['a mark that turns the direction', 'a\u202eb', 'a\\u{202e}b'],
    ['a tag that is not seen', 'a\u{e0041}', 'a\\u{e0041}'],
    ['half of a surrogate pair', 'a\ud800', 'a\\u{d800}'],
  ]
  for (const [what, text, shown] of cases) {
    it(`writes ${what} so that it does nothing`, () => assert.equal(printable(text), shown))
  }

  it('is bounded after escaping, well formed, and printable already', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.integer({ min: 1, max: 40 }), (text, max) => {
        const shown = printable(text, max)
        assert.ok(shown.length <= max && shown.isWellFormed(), JSON.stringify(shown))
        assert.equal(printable(shown), shown)
      }),
    )
  })

  it('cuts what is too long, and only that', () => {
    assert.equal(printable('abcd', 4), 'abcd')
    assert.equal(printable('abcde', 4), 'abc…')
    assert.equal(printable('a\n', 4), 'a\\x…')
  })
})

describe('formatTable', () => {
  it('makes columns as wide as what is shown in them', () => {
    assert.equal(
      formatTable(
        ['A', 'B', 'C'],
        [
          ['x\n', '1', ''],
          ['y', '22', 'z'],
        ],
      ),
      'A      B   C\nx\\x0a  1\ny      22  z\n',
    )
  })
  it('has no header where none is given, and nothing where there is nothing', () => {
    assert.equal(formatTable(undefined, [['a', 'b']]), 'a  b\n')
    assert.equal(formatTable(undefined, []), '')
  })
})
