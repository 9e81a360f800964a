import assert from 'node:assert/strict'
import { appraiseBoot } from '../../../../attestation/appraisal/boot/index.ts'
import { utf8 } from '../../../../attestation/base/index.ts'
import { digest } from '../../../../attestation/crypto/index.ts'
import { EV } from '../../../../attestation/event-log/index.ts'
import { event, quoteOf } from '../../../support/boot.ts'
import { appraise, faults, GOOD, tierOf } from '../../../support/boot-appraisal.ts'
import { cryptoAgileLog, sha1Log } from '../../../support/firmware-log.ts'

describe('banks of a boot', () => {
  const banks = ['sha1', 'sha256'] as const

  it('that disagree are told by name, although one of them replays', () => {
    const forged = GOOD.map((e) => {
      const bytes = e.measured ?? e.data
      return e.type === EV.EFI_BOOT_SERVICES_APPLICATION
        ? { ...e, digests: [[0x04, new Uint8Array(20).fill(1)] as const, [0x0b, digest('sha256', bytes)] as const] }
        : e
    })
    const appraisal = appraise(forged, { extended: GOOD, banks, log: { banks } })
    assert.equal(tierOf(appraisal, 'boot.banks'), 'contraindicated')
    assert.equal(tierOf(appraisal, 'boot.replay'), 'contraindicated')
    assert.match(
      appraisal.findings.find((f) => f.rule === 'boot.banks')?.message ?? '',
      /sha256 bank replays, the sha1 bank does not/,
    )
  })

  it('of which SHA-1 lacks a digest prove by the other, with a warning', () => {
    const lacking = GOOD.map((e) =>
      e.register === 5 ? { ...e, digests: [[0x0b, digest('sha256', e.data)] as const] } : e,
    )
    const appraisal = appraise(lacking, { extended: GOOD, banks, log: { banks } })
    assert.deepEqual(faults(appraisal), ['boot.banks warning'])
  })

  it('of which SHA-256 lacks a digest are too weak', () => {
    const lacking = GOOD.map((e) =>
      e.register === 5 ? { ...e, digests: [[0x04, digest('sha1', e.data)] as const] } : e,
    )
    const appraisal = appraise(lacking, { extended: GOOD, banks, log: { banks } })
    assert.deepEqual(faults(appraisal), ['boot.bank-strength contraindicated', 'boot.banks warning'])
  })

  it('that firmware does not use are open to all', () => {
    const open = quoteOf([], { banks: ['sha1'] })
    const firmware = cryptoAgileLog(GOOD)
    const appraisal = appraiseBoot({ firmware, quoted: [...quoteOf(GOOD), ...open] })
    assert.deepEqual(faults(appraisal), ['boot.bank-unused warning'])
  })

  it('that firmware does not use, and somebody else did, are forged', () => {
    const written = quoteOf([event(0, EV.POST_CODE, utf8('x'))], { banks: ['sha1'] })
    const appraisal = appraiseBoot({ firmware: cryptoAgileLog(GOOD), quoted: [...quoteOf(GOOD), ...written] })
    assert.deepEqual(faults(appraisal), ['boot.bank-unused contraindicated'])
  })

  it('that the log has none of prove nothing', () => {
    const appraisal = appraiseBoot({ firmware: sha1Log(GOOD), quoted: quoteOf(GOOD) })
    assert.equal(tierOf(appraisal, 'boot.replay'), 'contraindicated')
    assert.equal(appraisal.facts?.secureBoot.state, 'unknown')
  })
})
