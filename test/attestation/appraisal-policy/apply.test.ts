import { strict as assert } from 'node:assert'
import { readFileSync } from 'node:fs'
import { appraisalResult, type Finding, finding } from '../../../attestation/appraisal/index.ts'
import {
  applyPolicy,
  noPolicyFinding,
  type PolicyFacts,
  parseAppraisalPolicy,
} from '../../../attestation/appraisal-policy/index.ts'
import { appraiseLog } from '../../support/appraisal.ts'
import { LogBuilder } from '../../support/launch-log.ts'
import { NODE_ID, vmFacts } from '../../support/policy-facts.ts'
import { NOW, policyOf, resultOf } from './support.ts'

const GOOD = [
  finding('enrolment.ek', 'affirming', 'hardware', 'ek'),
  finding('continuity.counters', 'affirming', 'instance-identity', 'first'),
  finding('launch-log.mode', 'affirming', 'configuration', 'enforce'),
  finding('launch-log.replay', 'affirming', 'executables', 'replays'),
]
const WARNED = finding('boot.dma-protection', 'warning', 'configuration', 'off', { value: 36 })
const FAILED = finding('boot.replay', 'contraindicated', 'executables', 'does not replay', { expected: 'a', seen: 'b' })
const facts = (findings: readonly Finding[], over: Partial<PolicyFacts> = {}): PolicyFacts => ({
  ...vmFacts('ovmf-sdboot'),
  findings: [...GOOD, ...findings],
  ...over,
})
const of = (findings: readonly Finding[], rule: string): Finding => {
  const found = findings.find((f) => f.rule === rule)
  assert.ok(found, rule)
  return found
}
const DATED = (mode: string, expires: string, more = ''): string =>
  `{mode: ${mode}, expires: ${expires}, require: [boot.replay]${more}}`

describe('an appraisal policy, applied', () => {
  it('makes a failed rule contraindicated where it enforces', () => {
    const { tier, findings } = resultOf(policyOf({ r: '{mode: enforce, require: [boot.replay]}' }), facts([FAILED]))
    const rule = of(findings, 'policy.r')
    assert.equal(tier, 'contraindicated')
    assert.deepEqual(
      [rule.tier, rule.expected, rule.policy],
      ['contraindicated', 'boot.replay affirming', { rule: 'r', mode: 'enforce' }],
    )
    assert.match(rule.seen ?? '', /boot\.replay is contraindicated: does not replay/)
    assert.deepEqual(of(findings, 'boot.replay').policy, { rule: 'r', mode: 'enforce' })
  })

  it('makes it a warning where it warns, and of the finding it requires as well', () => {
    const { tier, findings } = resultOf(policyOf({ r: '{mode: warn, require: [boot.replay]}' }), facts([FAILED]))
    assert.equal(tier, 'warning')
    assert.deepEqual([of(findings, 'policy.r').value, of(findings, 'boot.replay').tier], [33, 'warning'])
    assert.equal(of(findings, 'boot.replay').seen, 'b')
  })

  it('tells it and nothing else where it observes', () => {
    const { tier, findings } = resultOf(policyOf({ r: '{mode: observe, require: [boot.replay]}' }), facts([FAILED]))
    assert.equal(tier, 'affirming')
    assert.match(
      of(findings, 'policy.r').message,
      /^observed only: not as it should be: boot\.replay is contraindicated/,
    )
    assert.match(of(findings, 'boot.replay').message, /^observed only, else contraindicated: does not replay/)
  })

  it('never speaks for an entry by observing: a missing claim is not green', () => {
    const policy = policyOf({
      r: '{mode: observe, clock: {safe: required}, owner: x}',
      s: '{mode: observe, banks: {required: [sha256]}}',
    })
    const { tier, vector } = appraisalResult(applyPolicy(policy, { ...facts([]), findings: [] }, NOW).findings)
    assert.deepEqual(
      [tier, vector],
      ['none', { 'instance-identity': 0, hardware: 0, executables: 0, configuration: 0 }],
    )
  })

  it('asks for affirming: a warning is too little for a rule that enforces', () => {
    assert.equal(
      resultOf(policyOf({ r: '{mode: enforce, require: [boot.*]}' }), facts([WARNED])).tier,
      'contraindicated',
    )
  })

  it('is not satisfied by a rule that nobody appraised', () => {
    const { tier, findings } = resultOf(policyOf({ r: '{mode: enforce, require: [boot.separator, ima.*]}' }), facts([]))
    assert.equal(tier, 'contraindicated')
    assert.equal(of(findings, 'policy.r').seen, 'boot.separator was not appraised; ima.* was not appraised')
  })

  it('leaves findings that no rule requires as they are, or as `unlisted` says', () => {
    assert.equal(resultOf(policyOf({}), facts([FAILED])).tier, 'contraindicated')
    assert.equal(resultOf(policyOf({}, 'unlisted: warn\n'), facts([FAILED])).tier, 'warning')
    assert.equal(resultOf(policyOf({}, 'unlisted: observe\n'), facts([FAILED])).tier, 'affirming')
    assert.equal(resultOf(policyOf({}), facts([WARNED])).vector.configuration, 36)
  })

  describe('lets what is found of IMA be no graver than the rule that asks for its list', () => {
    const replay = finding('ima.replay', 'contraindicated', 'executables', 'no prefix replays')
    const seen = facts([replay], { ima: { state: 'refuted', why: 'forged' } })
    const table = [
      ['observe', 'enforce', 'affirming', 'files'],
      ['observe', 'warn', 'affirming', 'files'],
      ['warn', 'enforce', 'warning', 'files'],
      ['warn', 'observe', 'warning', 'unlisted'], // by policy.files; the finding itself is observed
      ['enforce', 'enforce', 'contraindicated', undefined],
      ['enforce', 'observe', 'contraindicated', 'unlisted'],
    ] as const
    for (const [mode, unlisted, tier, by] of table) {
      it(`${mode}, unlisted ${unlisted}: ${tier}`, () => {
        const policy = policyOf({ files: `{mode: ${mode}, ima: {excludes: [/tmp/**]}}` }, `unlisted: ${unlisted}\n`)
        const result = resultOf(policy, seen)
        assert.equal(result.tier, tier)
        assert.equal(of(result.findings, 'ima.replay').policy?.rule, by)
      })
    }

    it('and as a rule says that requires the finding itself', () => {
      const rules = {
        files: '{mode: observe, ima: {excludes: [/tmp/**]}}',
        r: '{mode: enforce, require: [ima.replay]}',
      }
      assert.equal(resultOf(policyOf(rules), seen).tier, 'contraindicated')
    })

    it('and anew as grave, when the stage has ended', () => {
      const policy = policyOf({ files: '{mode: observe, expires: 2026-12-31, ima: {excludes: [/tmp/**]}}' })
      assert.equal(resultOf(policy, seen, new Date('2027-01-01T00:00:00Z')).tier, 'contraindicated')
    })
  })

  it('never makes less of who the node is, of its history and of its launch log', () => {
    const policy = policyOf(
      { r: '{mode: observe, require: [launch-log.*, continuity.*, enrolment.*]}' },
      'unlisted: observe\n',
    )
    for (const rule of ['launch-log.replay', 'continuity.clock', 'enrolment.ek', 'node.quarantine']) {
      const bad = finding(rule, 'contraindicated', 'executables', 'bad')
      assert.deepEqual(of(resultOf(policy, facts([])).findings, 'launch-log.mode').tier, 'affirming')
      assert.equal(resultOf(policy, { ...facts([]), findings: [...GOOD, bad] }).tier, 'contraindicated', rule)
    }
  })

  it('follows the strictest of several rules that require a finding', () => {
    const rules = { a: '{mode: observe, require: [boot.*]}', b: '{mode: warn, require: [boot.replay]}' }
    assert.deepEqual(of(resultOf(policyOf(rules), facts([FAILED])).findings, 'boot.replay').policy, {
      rule: 'b',
      mode: 'warn',
    })
  })

  const expiries: readonly (readonly [name: string, rule: string, now: string, tier: string, note: RegExp])[] = [
    [
      'a stage before its end',
      DATED('observe', '2026-12-31'),
      '2026-12-31T23:59:59.999Z',
      'affirming',
      /^observed only/,
    ],
    [
      'a stage after its end',
      DATED('observe', '2026-12-31'),
      '2027-01-01T00:00:00Z',
      'contraindicated',
      /\(enforced now, since its stage \(observe\) ended 2026-12-31, by platform@example\.org\)$/,
    ],
    [
      'a warning after its end',
      DATED('warn', '2026-12-31'),
      '2027-01-01T00:00:00Z',
      'contraindicated',
      /its stage \(warn\) ended/,
    ],
    [
      'a stage until a time',
      DATED('warn', '2026-12-31T12:00:00Z'),
      '2026-12-31T12:00:00Z',
      'contraindicated',
      /its stage \(warn\) ended/,
    ],
    [
      'a rule that enforces, after its date',
      DATED('enforce', '2026-12-31'),
      '2030-01-01T00:00:00Z',
      'contraindicated',
      /\(to be reviewed since 2026-12-31/,
    ],
    [
      'an exception before its end',
      DATED(
        'enforce',
        '2030-01-01',
        `, exceptions: [{node: "${NODE_ID}", reason: a known bug, owner: ops, expires: 2026-12-31}]`,
      ),
      '2026-12-31T12:00:00Z',
      'affirming',
      /\(excused by ops until 2026-12-31: a known bug\)$/,
    ],
    [
      'an exception after its end',
      DATED(
        'enforce',
        '2030-01-01',
        `, exceptions: [{node: "${NODE_ID}", reason: a known bug, owner: ops, expires: 2026-12-31}]`,
      ),
      '2027-01-01T00:00:00Z',
      'contraindicated',
      /\(the exception by ops ended 2026-12-31\)$/,
    ],
    [
      'an exception for other labels',
      DATED(
        'enforce',
        '2030-01-01',
        ', exceptions: [{nodes: {all: {role: edge}}, reason: x, owner: ops, expires: 2026-12-31}]',
      ),
      '2026-12-01T00:00:00Z',
      'contraindicated',
      /does not replay$/,
    ],
    [
      'an exception for its labels',
      DATED(
        'warn',
        '2030-01-01',
        ', exceptions: [{nodes: {all: {role: worker}}, reason: x, owner: ops, expires: 2026-12-31}]',
      ),
      '2026-12-01T00:00:00Z',
      'affirming',
      /excused by ops/,
    ],
  ]
  for (const [name, rule, now, tier, note] of expiries) {
    it(`knows ${name}`, () => {
      const result = resultOf(policyOf({ r: rule }), facts([FAILED]), new Date(now))
      assert.equal(result.tier, tier)
      assert.match(of(result.findings, 'policy.r').message, note)
    })
  }

  it('never becomes laxer by time passing', () => {
    const exception = ', exceptions: [{nodes: {all: {role: worker}}, reason: x, owner: ops, expires: 2027-06-01}]'
    const order = ['affirming', 'warning', 'contraindicated']
    for (const mode of ['observe', 'warn', 'enforce']) {
      for (const more of ['', exception]) {
        const policy = policyOf({ r: DATED(mode, '2027-03-01', more) })
        let worst = 0
        for (let month = 0; month < 24; month++) {
          const { tier } = resultOf(policy, facts([FAILED]), new Date(Date.UTC(2027, month, 2)))
          assert.ok(order.indexOf(tier) >= worst, `${mode} ${more} in month ${month}`)
          worst = order.indexOf(tier)
        }
        assert.equal(worst, 2)
      }
    }
  })

  it('keeps what it made of a boot whose logs come once', () => {
    const policy = policyOf({
      k: '{mode: enforce, kernel: {digests: ["5f21ff2c0d5d899842b28a8b19901ba72cf7a7ab93c02a77fadc6ff72be85b31"]}}',
    })
    const { outcomes } = applyPolicy(policy, vmFacts('ovmf-sdboot'), NOW)
    const stored = JSON.parse(JSON.stringify(outcomes))
    const later = {
      ...vmFacts('ovmf-sdboot'),
      boot: { state: 'kept', outcomes: stored, changed: new Set<number>() } as const,
    }
    assert.equal(of(applyPolicy(policy, later, NOW).findings, 'policy.k').tier, 'affirming')
    assert.deepEqual(applyPolicy(policy, later, NOW).outcomes, outcomes)
    const other = policyOf(
      { k: '{mode: enforce, kernel: {digests: ["5f21ff2c0d5d899842b28a8b19901ba72cf7a7ab93c02a77fadc6ff72be85b31"]}}' },
      'podsOnFailure: stop\n',
    )
    assert.match(of(applyPolicy(other, later, NOW).findings, 'policy.k').message, /its logs came before the policy did/)
    assert.equal(
      of(applyPolicy(policy, { ...later, boot: { state: 'absent' } }, NOW).findings, 'policy.k').tier,
      'contraindicated',
    )
  })

  it('says so where no policy is for a node', () => {
    const { rule, tier } = noPolicyFinding()
    assert.deepEqual([rule, tier], ['policy.selection', 'none'])
  })

  it('default.yaml refuses no machine for its boot, and strict.yaml the one that was booted past Secure Boot', () => {
    const read = (name: string) => {
      const text = readFileSync(new URL(`../../../config/appraisal/${name}`, import.meta.url), 'utf8')
      return parseAppraisalPolicy(text, name, () => new Uint8Array())
    }
    const launchLog = appraiseLogState()
    for (const set of ['ovmf-direct-kernel', 'ovmf-sdboot', 'seabios-direct', 'ovmf-sb-direct-kernel'] as const) {
      const seen = vmFacts(set, { launchLog })
      const withBase = { ...seen, findings: [...GOOD, ...seen.findings] }
      assert.equal(resultOf(read('default.yaml'), withBase).tier, 'affirming', set)
    }
    const bad = vmFacts('ovmf-sb-direct-kernel', { launchLog })
    const { tier, findings } = resultOf(read('strict.yaml'), { ...bad, findings: [...GOOD, ...bad.findings] })
    assert.equal(tier, 'contraindicated')
    for (const rule of ['policy.orderly-boot', 'policy.secure-boot', 'policy.boot-loader']) {
      assert.equal(of(findings, rule).tier, 'contraindicated', rule)
    }
    assert.match(of(findings, 'policy.kernel').message, /no kernel is measured: it was started past the firmware/)
  })
})

function appraiseLogState(): PolicyFacts['launchLog'] {
  return appraiseLog(new LogBuilder().agent()).state.boot?.log
}
