import assert from 'node:assert/strict'
import fc from 'fast-check'
import { decodeCursor, encodeCursor } from '../../../attestation/api/cursor.ts'

const text = (value: string): string => Buffer.from(value).toString('base64url')

describe('a cursor', () => {
  it('comes back as it was given', () => {
    const cursor = encodeCursor('nodes-newest', ['ab', '2026-01-02T03:04:05.000Z'])
    assert.deepEqual(decodeCursor('nodes-newest', cursor, ['string', 'string']), ['ab', '2026-01-02T03:04:05.000Z'])
    assert.deepEqual(decodeCursor('events', encodeCursor('events', [7]), ['number']), [7])
  })

  const refused: readonly [string, string][] = [
    ['of another list', encodeCursor('launches', [7])],
    ['with more parts', encodeCursor('events', [7, 8])],
    ['with fewer parts', encodeCursor('events', [])],
    ['with a text for a number', encodeCursor('events', ['7'])],
    ['with no whole number', text('["events",1.5]')],
    ['with a number that is too large', text('["events",1e300]')],
    ['that is no list', text('{"events":7}')],
    ['that is no JSON', text('nothing')],
    ['that is no UTF-8', Buffer.from([0x5b, 0xff, 0x5d]).toString('base64url')],
    ['that is no base64', '!!!'],
    ['that is too long', 'A'.repeat(513)],
    ['that is empty', ''],
  ]
  for (const [what, cursor] of refused) {
    it(`${what} is refused`, () => {
      assert.throws(() => decodeCursor('events', cursor, ['number']), { code: 'INVALID_PARAMETER' })
    })
  }

  it('with control characters in a text is refused', () => {
    const cursor = encodeCursor('nodes-id', ['a\u0000', 'b'])
    assert.throws(() => decodeCursor('nodes-id', cursor, ['string', 'string']), { code: 'INVALID_PARAMETER' })
  })

  it('of any text gives a key or is refused, and nothing else', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json().map(text)), (cursor) => {
        try {
          decodeCursor('events', cursor, ['number'])
        } catch (err) {
          assert.equal((err as { code?: string }).code, 'INVALID_PARAMETER') // whatever was thrown has to have it
        }
      }),
    )
  })
})
