import assert from 'node:assert/strict'
import fc from 'fast-check'
import {
  appraiseEvidence,
  appraiseSilence,
  NodeStateError,
  parseNodeState,
  serialiseNodeState,
  wantedLog,
} from '../../../attestation/appraisal/index.ts'
import {
  appraiseLog,
  clockAt,
  evidenceOf,
  honestRequest,
  issue,
  LATER,
  measured,
  NOW,
  POLICY,
} from '../../support/appraisal.ts'
import { LogBuilder } from '../../support/launch-log.ts'

const REQUEST = honestRequest()
const log = new LogBuilder().agent().add(...measured(REQUEST))
log.add({ record: 'break', reason: 'cut', expected: { sha256: '00'.repeat(32) }, found: { sha256: '11'.repeat(32) } })
const { state } = issue(REQUEST, appraiseLog(log))
const text = serialiseNodeState(state)

describe('the stored state of a node', () => {
  it('comes back as it was, and the next appraisal is the same', () => {
    const back = parseNodeState(text)
    assert.deepEqual(back, state)
    assert.deepEqual(appraiseLog(log, back), appraiseLog(log, state))
  })

  it('keeps the quarantine', () => {
    const a = appraiseEvidence(state, evidenceOf(log, clockAt(1, 4)), POLICY, NOW)
    assert.deepEqual(parseNodeState(serialiseNodeState(a.state)).quarantine, a.state.quarantine)
  })

  it('leaves out what no quote has proved', () => {
    const evidence = evidenceOf(log, clockAt(1))
    const { state: ahead } = appraiseEvidence(
      undefined,
      {
        ...evidence,
        registers: { ...evidence.registers, sha1: new Uint8Array(20) },
        log: { ...evidence.log, more: true },
      },
      POLICY,
      NOW,
    )
    assert.equal(wantedLog(ahead).offset, log.bytes.length)
    assert.equal(wantedLog(parseNodeState(serialiseNodeState(ahead))).offset, 0)
  })

  it('names nothing of an unknown node', () =>
    assert.deepEqual(wantedLog(undefined), { resetCount: 0, restartCount: 0, offset: 0 }))

  const refused: [string, string][] = [
    ['nothing', ''],
    ['null', 'null'],
    ['another version', text.replace('"v":1', '"v":2')],
    ['an unknown field', text.replace('{', '{"x":1,')],
    ['a negative clock', text.replace(/"clockMs":"\d+"/, '"clockMs":"-1"')],
    ['a register of another length', text.replace(/"sha256":"../, '"sha256":"')],
    ['a record of another kind', text.replace('\\"record\\":\\"stage1\\"', '\\"record\\":\\"image\\"')],
    ['a cut', text.slice(0, -1)],
  ]
  for (const [name, bad] of refused) {
    it(`with ${name} is refused, never taken for no state`, () => {
      assert.notEqual(bad, text)
      assert.throws(() => parseNodeState(bad), { code: 'NODE_STATE_INVALID' })
    })
  }

  it('is a state or a NodeStateError for any JSON', () => {
    fc.assert(
      fc.property(fc.json(), (json) => {
        assert.throws(() => parseNodeState(json), NodeStateError)
      }),
    )
  })
})

describe('the silence of a node', () => {
  it('makes its tickets overdue once', () => {
    const early = appraiseSilence(state, LATER(89))
    assert.deepEqual([early.overdue, early.findings], [[], []])
    const late = appraiseSilence(state, LATER(91))
    assert.deepEqual(
      [late.overdue.length, late.findings.map((f) => [f.rule, f.tier])],
      [1, [['launch-log.ticket-deadline', 'contraindicated']]],
    )
    assert.equal(appraiseSilence(late.state, LATER(92)).overdue.length, 0)
  })
})
