import assert from 'node:assert/strict'
import { SilenceWatch } from '../../agent/silence-watch.ts'

describe('a verifier that does not answer any more', () => {
  let nowMs: number
  let reasons: string[]
  let watch: SilenceWatch
  beforeEach(() => {
    nowMs = 5000
    reasons = []
    watch = new SilenceWatch({ afterMs: 120_000, nowMs: () => nowMs, onSilence: (reason) => reasons.push(reason) })
  })
  afterEach(() => watch.stop())
  const passed = (ms: number): number => {
    nowMs += ms
    watch.look()
    return reasons.length
  }

  it('has pods ended when the time is over, and again as long as that lasts: one may have been allowed just before', () => {
    assert.equal(passed(119_999), 0)
    assert.equal(passed(1), 1)
    assert.equal(passed(5000), 2)
    assert.match(reasons[0] ?? '', /^no answer of the verifier for 120 s \(stopPodsAfterSilenceSeconds: 120\)$/)
  })

  it('has none ended that answers in time, and the time begins anew with each answer', () => {
    for (let i = 0; i < 10; i++) {
      assert.equal(passed(110_000), 0)
      watch.heard()
    }
    assert.equal(passed(120_000), 1)
    watch.heard()
    assert.equal(passed(110_000), 1)
  })
})
