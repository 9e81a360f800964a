import assert from 'node:assert/strict'
import fc from 'fast-check'
import { decideRecovery, type ReplayedContent, replayContents } from '../../../agent/launch-log/index.ts'
import { utf8 } from '../../../attestation/base/index.ts'
import { type BankRegisters, toBankValues, zeroRegisters } from '../../../attestation/event-log/index.ts'

const ZERO = zeroRegisters(['sha1', 'sha256'])
const [A, B, C] = ['a', 'b', 'c'].map((text): ReplayedContent => ({ bytes: utf8(text) })) as [
  ReplayedContent,
  ReplayedContent,
  ReplayedContent,
]
const held = (...records: ReplayedContent[]): BankRegisters => replayContents(ZERO, records)
const other = replayContents(zeroRegisters(['sha1', 'sha256']), [{ bytes: utf8('somebody else') }])

describe('what recovery decides', () => {
  const table = [
    { name: 'nothing pending, register as the log', uncertain: [], found: ZERO, extended: 0 },
    { name: 'one pending, not extended', uncertain: [A], found: ZERO, extended: 0 },
    { name: 'one pending, extended', uncertain: [A], found: held(A), extended: 1 },
    { name: 'three pending, none extended', uncertain: [A, B, C], found: ZERO, extended: 0 },
    { name: 'three pending, one extended', uncertain: [A, B, C], found: held(A), extended: 1 },
    { name: 'three pending, two extended', uncertain: [A, B, C], found: held(A, B), extended: 2 },
    { name: 'three pending, all extended', uncertain: [A, B, C], found: held(A, B, C), extended: 3 },
    { name: 'a break pending, not extended', uncertain: [{ ...A, restartsAt: other }], found: other, extended: 0 },
    {
      name: 'a break pending, extended',
      uncertain: [{ ...A, restartsAt: other }],
      found: replayContents(other, [A]),
      extended: 1,
    },
    {
      name: 'a break behind a record that nobody knows of',
      uncertain: [B, { ...A, restartsAt: other }],
      found: other,
      extended: 1,
    },
  ]
  for (const { name, uncertain, found, extended } of table) {
    it(`agrees: ${name}`, () => assert.deepEqual(decideRecovery(ZERO, uncertain, found), { kind: 'agrees', extended }))
  }

  const breaks = [
    { name: 'nothing pending, another register', uncertain: [], found: other, expected: ZERO },
    { name: 'pending records out of order', uncertain: [A, B], found: held(B), expected: held(A, B) },
    { name: 'a pending record extended twice', uncertain: [A], found: held(A, A), expected: held(A) },
    { name: 'something else extended after them', uncertain: [A], found: held(A, B), expected: held(A) },
    { name: 'a register that was reset', uncertain: [], certain: held(A), found: ZERO, expected: held(A) },
    { name: 'a bank left alone', uncertain: [A], found: { ...held(A), sha1: ZERO.sha1 }, expected: held(A) },
    { name: 'a bank that is not there', uncertain: [A], found: { sha256: held(A).sha256 }, expected: held(A) },
  ]
  for (const { name, uncertain, found, expected, certain = ZERO } of breaks) {
    it(`breaks: ${name}`, () => {
      const decision = decideRecovery(certain, uncertain, found as BankRegisters) // absent banks are what is tested
      assert.ok(decision.kind === 'break')
      assert.deepEqual(toBankValues(decision.expected), toBankValues(expected))
    })
  }

  it('finds how many were extended, for any records', () => {
    const record = fc.uint8Array({ maxLength: 20 }).map((bytes): ReplayedContent => ({ bytes }))
    fc.assert(
      fc.property(fc.array(record, { maxLength: 12 }), fc.nat(), (records, n) => {
        const extended = n % (records.length + 1)
        const found = replayContents(ZERO, records.slice(0, extended))
        assert.deepEqual(decideRecovery(ZERO, records, found), { kind: 'agrees', extended })
      }),
    )
  })
})
