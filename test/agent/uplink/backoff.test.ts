import assert from 'node:assert/strict'
import fc from 'fast-check'
import { reconnectDelay, returnDelay } from '../../../agent/uplink/index.ts'

describe('the wait before the next connection', () => {
  it('doubles its ceiling with each failure, up to a minute', () => {
    const ceilings = [1, 2, 3, 4, 5, 6, 7, 8, 9, 100].map((n) => reconnectDelay(n, 0.999999))
    assert.deepEqual(ceilings, [499, 999, 1999, 3999, 7999, 15_999, 31_999, 59_999, 59_999, 59_999])
  })

  it('is drawn from the whole range, and is never nothing', () => {
    assert.equal(reconnectDelay(5, 0), 50)
    assert.equal(reconnectDelay(5, 0.5), 4000)
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1000 }), fc.double({ min: 0, max: 0.999999, noNaN: true }), (n, random) => {
        const ms = reconnectDelay(n, random)
        assert.ok(Number.isInteger(ms) && ms >= 50 && ms <= 60_000, `${ms}`)
      }),
    )
  })

  it('is at least what the verifier said, spread by the same back-off, and bounded', () => {
    assert.equal(returnDelay(1, 0, undefined), 50)
    assert.equal(returnDelay(1, 0, 8000), 8050)
    assert.equal(returnDelay(1, 0.5, 8000), 8250)
    assert.equal(returnDelay(1, 0, 86_400_000), 900_050)
  })
})
