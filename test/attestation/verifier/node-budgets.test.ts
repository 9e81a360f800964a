import assert from 'node:assert/strict'
import fc from 'fast-check'
import { codeOf } from '../../../attestation/base/index.ts'
import { SessionError } from '../../../attestation/verifier/errors.ts'
import { NodeBudgets } from '../../../attestation/verifier/node-budgets.ts'
import { RateLimit } from '../../../attestation/verifier/rate-limit.ts'
import { fuzzRuns } from '../../support/fuzz.ts'

const MIB = 1 << 20
const A = 'a'.repeat(64)
const B = 'b'.repeat(64)
const LIMITS = {
  ...{ connections: 1, connectionsPerAddressPerSecond: 1, messagesPerSecond: 100, launchesPerSecond: 5 },
  ...{ logKilobytesPerSecond: 1024, logMegabytesAtOnce: 4, keptKilobytesPerSecond: 16, keptMegabytesAtOnce: 1 },
}

/** What a call threw: the time that the node is told to wait, or nothing. */
function refusedMs(call: () => void): number | undefined {
  try {
    call()
    return undefined
  } catch (err) {
    assert.ok(err instanceof SessionError && codeOf(err) === 'NODE_OVER_BUDGET' && err.retry)
    return err.retryAfterMs
  }
}

describe('what one node may cost', () => {
  it('in logs is so much at once, and then so much a second; others are not concerned', () => {
    const budgets = new NodeBudgets(LIMITS)
    for (let i = 0; i < 4; i++) budgets.message(A, MIB, 0)
    const waitMs = refusedMs(() => budgets.message(A, MIB, 0))
    assert.ok(waitMs !== undefined && waitMs > 0 && waitMs < 1000, `${waitMs}`)
    budgets.message(B, MIB, 0)
    budgets.message(A, 0, 0) // what carries no logs goes through
    budgets.message(A, MIB, waitMs)
    assert.equal(budgets.logsWaitMs(A, waitMs) > 900, true)
  })

  it('in logs may be one message that is larger than all of it, which is paid for afterwards', () => {
    const budgets = new NodeBudgets(LIMITS)
    budgets.message(A, 7 * MIB, 0)
    assert.equal(
      refusedMs(() => budgets.message(A, 1, 0)),
      3001,
    )
    assert.equal(
      refusedMs(() => budgets.message(A, 1, 3001)),
      undefined,
    )
  })

  it('in messages is counted by node', () => {
    const budgets = new NodeBudgets(LIMITS)
    for (let i = 0; i < 200; i++) budgets.message(A, 0, 0)
    assert.ok(refusedMs(() => budgets.message(A, 0, 0)) !== undefined)
    budgets.message(B, 0, 0)
  })

  it('in launches is a denial, by their number and by what is kept of them', () => {
    const budgets = new NodeBudgets(LIMITS)
    for (let i = 0; i < 10; i++) assert.equal(budgets.launch(A, 1, 0), undefined)
    assert.equal(budgets.launch(A, 1, 0)?.code, 'LAUNCH_TOO_MANY')
    assert.equal(budgets.launch(B, 2 * MIB, 0), undefined)
    const denial = budgets.launch(B, 1, 0)
    assert.equal(denial?.code, 'NODE_OVER_BUDGET')
    assert.match(denial?.reason ?? '', /keptKilobytesPerSecond; it may go on in 65 s/)
    assert.equal(budgets.launch(B, 1, 66_000), undefined)
  })

  it('in verdicts is bounded by those that become better; becoming worse is kept, and paid for', () => {
    const budgets = new NodeBudgets(LIMITS)
    let recovered = 0
    for (; refusedMs(() => budgets.recovered(A, 0, 0)) === undefined; recovered++) budgets.worsened(A, 0, 0)
    assert.equal(recovered, 32)
    budgets.worsened(B, 3 * MIB, 0)
    budgets.worsened(B, 3 * MIB, 0)
    assert.ok((refusedMs(() => budgets.recovered(B, 1, 0)) ?? 0) > 300_000)
    assert.equal(
      refusedMs(() => budgets.recovered(B, 0, 0)),
      undefined,
    ) // a launch's, which is counted already
    assert.equal(budgets.keep(B, 1, 0), false)
    assert.equal(budgets.keep(A, 1, 0), true)
  })

  it('is never more in the long run than the limit, with one thing above it, however it is taken', () => {
    const step = fc.record({ afterMs: fc.nat(5000), amount: fc.integer({ min: 1, max: 10_000 }) })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const limit = new RateLimit(100, 1000, 0)
        let [nowMs, taken, last] = [0, 0, 0]
        for (const { afterMs, amount } of steps) {
          nowMs += afterMs
          const waitMs = limit.waitMs(nowMs)
          assert.equal(limit.take(nowMs, amount), waitMs === 0)
          if (waitMs > 0) continue
          taken += amount
          last = amount
          assert.ok(taken - last <= 1000 + nowMs / 10 + 1e-6, `${taken} after ${nowMs} ms`)
        }
        const waitMs = limit.waitMs(nowMs)
        assert.ok(waitMs <= 100_001 && limit.take(nowMs + waitMs)) // and to wait as said is enough
      }),
      { numRuns: fuzzRuns(200) },
    )
  })
})
