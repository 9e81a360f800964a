import assert from 'node:assert/strict'
import { decideContinuity, worstTier } from '../../../attestation/appraisal/index.ts'
import { type ClockInfo, decodeQuoteAttest } from '../../../attestation/tpm2/index.ts'
import { copiedVectors } from '../../support/vectors.ts'

const clock = (resetCount: number, restartCount: number, clockMs: number, safe = true): ClockInfo => ({
  resetCount,
  restartCount,
  clockMs: BigInt(clockMs),
  safe,
})
const tier = (previous: ClockInfo | undefined, now: ClockInfo) =>
  worstTier(decideContinuity(previous, now).findings.map((f) => f.tier))

describe('continuity', () => {
  const cases: [string, ClockInfo | undefined, ClockInfo, string, string][] = [
    ['no quote before', undefined, clock(5, 0, 100), 'first', 'affirming'],
    ['a later clock in the same TPM start', clock(5, 0, 100), clock(5, 0, 101), 'same-boot', 'affirming'],
    ['the same millisecond', clock(5, 0, 100), clock(5, 0, 100), 'same-boot', 'affirming'],
    ['a TPM restart', clock(5, 0, 100), clock(5, 1, 200), 'tpm-restart', 'affirming'],
    ['several TPM restarts', clock(5, 0, 100), clock(5, 9, 200), 'tpm-restart', 'affirming'],
    ['a TPM reset', clock(5, 0, 100), clock(6, 0, 200), 'tpm-reset', 'affirming'],
    [
      'a TPM reset after a resume, which sets restartCount to 0',
      clock(5, 3, 100),
      clock(6, 0, 200),
      'tpm-reset',
      'affirming',
    ],
    ['a reset and a restart since', clock(5, 0, 100), clock(7, 2, 200), 'tpm-reset', 'affirming'],
    [
      'a clock that fell back in an unorderly reset',
      clock(6, 0, 8652),
      clock(7, 0, 8112, false),
      'tpm-reset',
      'affirming',
    ],
    [
      'an unsafe clock in the same TPM start',
      clock(7, 0, 8112, false),
      clock(7, 0, 8000, false),
      'same-boot',
      'affirming',
    ],
    ['a lower resetCount', clock(5, 0, 100), clock(4, 9, 200), 'rollback', 'contraindicated'],
    ['a lower restartCount of the same resetCount', clock(5, 2, 100), clock(5, 1, 200), 'rollback', 'contraindicated'],
    ['counters at zero, as after TPM2_Clear', clock(5, 2, 100), clock(0, 0, 1), 'rollback', 'contraindicated'],
    ['a lower counter with an unsafe clock', clock(5, 2, 100), clock(4, 0, 1, false), 'rollback', 'contraindicated'],
    ['a safe clock that went back in one TPM start', clock(5, 0, 100), clock(5, 0, 99), 'rollback', 'contraindicated'],
    ['a safe clock that went back over a reset', clock(5, 0, 100), clock(6, 0, 99), 'tpm-reset', 'warning'],
    ['a safe clock that went back over a restart', clock(5, 0, 100), clock(5, 1, 99), 'rollback', 'contraindicated'],
    ['a safe clock below an unsafe one', clock(5, 0, 100, false), clock(5, 0, 99), 'rollback', 'contraindicated'],
  ]
  for (const [name, previous, now, kind, expected] of cases) {
    it(`of ${name} is ${kind}, ${expected}`, () => {
      assert.equal(decideContinuity(previous, now).kind, kind)
      assert.equal(tier(previous, now), expected)
    })
  }

  const follow = (set: string, names: readonly string[]) => {
    const clocks = names.map((name) => decodeQuoteAttest(copiedVectors(set).read(`${name}.attest`)).clockInfo)
    return clocks.map((now, i) => decideContinuity(clocks[i - 1], now).kind)
  }

  it('of one TPM over resume, reboot and power loss is what happened', () => {
    const names = [
      '1-fresh',
      '2-after-pod',
      '3-after-resume',
      '4-after-reboot-pcr15-zero',
      '5-after-reboot-replayed-log',
      '6-after-unorderly-reset',
    ]
    assert.deepEqual(follow('swtpm/reboot', names), [
      'first',
      'same-boot',
      'tpm-restart',
      'tpm-reset',
      'same-boot',
      'tpm-reset',
    ])
  })

  it('sees the TPM restart that resetCount alone hides', () => {
    const names = ['1-after-pod', '2-tpm-restart-pcr15-zero', '3-tpm-restart-replayed', '4-tpm-reset-replayed']
    assert.deepEqual(follow('swtpm/tpm-restart', names), ['first', 'tpm-restart', 'same-boot', 'tpm-reset'])
  })

  it('refuses each of these quotes after a later one', () => {
    for (const [set, later, earlier] of [
      ['swtpm/reboot', '4-after-reboot-pcr15-zero', '2-after-pod'],
      ['swtpm/reboot', '3-after-resume', '2-after-pod'],
      ['swtpm/reboot', '2-after-pod', '1-fresh'],
      ['swtpm/tpm-restart', '3-tpm-restart-replayed', '1-after-pod'],
    ] as const) {
      assert.deepEqual(follow(set, [later, earlier]), ['first', 'rollback'], `${set} ${earlier}`)
    }
  })
})
