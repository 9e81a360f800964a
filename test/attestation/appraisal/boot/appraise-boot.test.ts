import assert from 'node:assert/strict'
import { appraiseBoot } from '../../../../attestation/appraisal/boot/index.ts'
import { utf8 } from '../../../../attestation/base/index.ts'
import { application, KERNEL, quoteOf, separator } from '../../../support/boot.ts'
import {
  APPLICATION,
  appraise,
  GOOD,
  inserted,
  replaced,
  SEPARATOR_7,
  tierOf,
} from '../../../support/boot-appraisal.ts'
import { cryptoAgileLog } from '../../../support/firmware-log.ts'

describe('a firmware log that is not there', () => {
  it('is none, and nothing of a boot is affirming', () => {
    for (const firmware of [undefined, new Uint8Array(0)]) {
      const { findings, facts } = appraiseBoot({ ...(firmware !== undefined && { firmware }), quoted: quoteOf(GOOD) })
      assert.equal(facts, undefined)
      assert.deepEqual(
        findings.filter((f) => f.rule === 'boot.log' || f.rule === 'boot.replay').map((f) => f.tier),
        ['none', 'none'],
      )
      assert.ok(
        findings.every(
          (f) =>
            f.tier !== 'affirming' || ['boot.selection', 'boot.empty-register', 'boot.bank-unused'].includes(f.rule),
        ),
      )
    }
  })

  it('is contraindicated where it cannot be read, and never read in part', () => {
    const whole = cryptoAgileLog(GOOD)
    for (const firmware of [
      whole.subarray(0, whole.length - 1),
      whole.subarray(0, 20),
      utf8('{"events": []}, and more that is no log'),
    ]) {
      const appraisal = appraiseBoot({ firmware, quoted: quoteOf(GOOD) })
      assert.equal(tierOf(appraisal, 'boot.log'), 'contraindicated')
      assert.equal(appraisal.facts, undefined)
      assert.deepEqual([...appraisal.timeline()], [])
    }
  })
})

describe('findings of a boot', () => {
  it('name the event, what was expected and what was seen', () => {
    const appraisal = appraise(replaced(APPLICATION, { measured: KERNEL }), { extended: GOOD })
    const replay = appraisal.findings.find((f) => f.rule === 'boot.replay')
    const quoted = quoteOf(GOOD).find((v) => v.pcr === 4)?.value as Uint8Array
    assert.equal(replay?.expected, `sha256 ${Buffer.from(quoted).toString('hex')}`)
    assert.match(replay?.seen ?? '', /^sha256 [0-9a-f]{64}$/)
    const separatorFault = appraise(inserted(SEPARATOR_7 + 1, separator(7))).findings.find(
      (f) => f.rule === 'boot.separator',
    )
    assert.deepEqual(separatorFault?.event, {
      source: 'firmware',
      index: SEPARATOR_7 + 2,
      register: { kind: 'pcr', index: 7 },
    })
  })

  it('are bounded, however many events are wrong', () => {
    const many = inserted(APPLICATION, ...Array.from({ length: 5000 }, () => application('x', KERNEL, 5)))
    const told = appraise(many).findings.filter((f) => f.rule === 'boot.event-type')
    assert.equal(told.length, 8)
    assert.match(told.at(-1)?.message ?? '', /and 4992 more of the kind/)
  })
})
