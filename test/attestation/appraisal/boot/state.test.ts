import assert from 'node:assert/strict'
import { appraiseBoot, type BootAppraisal, type BootState } from '../../../../attestation/appraisal/boot/index.ts'
import { concatBytes, toHex, utf8 } from '../../../../attestation/base/index.ts'
import { digest } from '../../../../attestation/crypto/index.ts'
import { EV } from '../../../../attestation/event-log/index.ts'
import { event, quoteOf } from '../../../support/boot.ts'
import { faults, GOOD } from '../../../support/boot-appraisal.ts'
import { cryptoAgileLog, type WrittenEvent } from '../../../support/firmware-log.ts'

/** A measurement of systemd's, as its log has it and as the TPM was extended. */
interface Measurement {
  readonly pcr: number
  readonly string: string
}

const PHASES: readonly Measurement[] = [
  { pcr: 11, string: 'enter-initrd' },
  { pcr: 9, string: 'nvpcr-init:hardware' },
  { pcr: 11, string: 'leave-initrd' },
  { pcr: 15, string: 'machine-id:0123' },
  { pcr: 11, string: 'ready' },
]

function record({ pcr, string }: Measurement, measured = string): Uint8Array {
  const digests = [{ hashAlg: 'sha256', digest: toHex(digest('sha256', utf8(measured))) }]
  const eventType = string.startsWith('machine-id') ? 'machine-id' : 'phase'
  const content = { string, bootId: '0'.repeat(32), timestamp: 1, eventType }
  return utf8(`\u001e${JSON.stringify({ pcr, digests, content_type: 'systemd', content })}\n`)
}

function logOf(measurements: readonly Measurement[]): Uint8Array {
  return concatBytes(...measurements.map((m) => record(m)))
}

/** The TPM after the firmware and these measurements. */
function quoted(measurements: readonly Measurement[]) {
  const extended: WrittenEvent[] = measurements.map(({ pcr, string }) => event(pcr, EV.IPL, utf8(string)))
  return quoteOf([...GOOD, ...extended])
}

const FIRMWARE = cryptoAgileLog(GOOD)

/** As it is kept between two quotes. */
function stored(appraisal: BootAppraisal): BootAppraisal {
  const { state, findings, facts } = JSON.parse(JSON.stringify(appraisal)) as BootAppraisal // what was written is what is read
  return { ...appraisal, state, findings, ...(facts !== undefined && { facts }) }
}

describe('the appraisal of a boot, merged with systemd', () => {
  it('replays registers that both extend', () => {
    const appraisal = appraiseBoot({
      firmware: FIRMWARE,
      systemd: { offset: 0, bytes: logOf(PHASES) },
      quoted: quoted(PHASES),
    })
    assert.deepEqual(faults(appraisal), [])
    assert.deepEqual(
      appraisal.facts?.unifiedKernel.phases.map(({ value, proof }) => [value, proof]),
      [
        ['enter-initrd', 'data'],
        ['nvpcr-init:hardware', 'data'],
        ['leave-initrd', 'data'],
        ['ready', 'data'],
      ],
    )
    assert.deepEqual(
      appraisal.facts?.systemd.map(({ value }) => value),
      [{ type: 'machine-id', text: 'machine-id:0123' }],
    )
  })

  it('does not replay them without its log', () => {
    const appraisal = appraiseBoot({ firmware: FIRMWARE, quoted: quoted(PHASES) })
    assert.deepEqual(faults(appraisal), ['boot.empty-register contraindicated', 'boot.replay contraindicated'])
  })

  it('leaves unproved what the log says beyond the quote', () => {
    const systemd = { offset: 0, bytes: logOf(PHASES) }
    const appraisal = appraiseBoot({ firmware: FIRMWARE, systemd, quoted: quoted(PHASES.slice(0, 3)) })
    assert.deepEqual(faults(appraisal), [])
    const proofs = [...appraisal.timeline()].filter(({ event: e }) => e.source === 'systemd').map(({ proof }) => proof)
    assert.deepEqual(proofs, ['data', 'data', 'data', 'not-yet', 'not-yet'])
  })

  it('refuses a string that is not what was measured', () => {
    const bytes = concatBytes(record({ pcr: 11, string: 'something better' }, 'enter-initrd'))
    const appraisal = appraiseBoot({
      firmware: FIRMWARE,
      systemd: { offset: 0, bytes },
      quoted: quoted(PHASES.slice(0, 1)),
    })
    assert.deepEqual(faults(appraisal), ['boot.measure-log contraindicated'])
    assert.equal(appraisal.facts?.unifiedKernel.phases[0]?.proof, 'refuted')
  })

  it('refuses a log that cannot be read, and does not read it in part', () => {
    const bytes = concatBytes(logOf(PHASES.slice(0, 2)), utf8('\u001e{}\n'))
    const appraisal = appraiseBoot({ firmware: FIRMWARE, systemd: { offset: 0, bytes }, quoted: quoted([]) })
    assert.deepEqual(faults(appraisal), ['boot.measure-log contraindicated'])
    assert.equal(appraisal.state.wanted.systemd?.offset, 0)
  })
})

describe('the next quote of the same boot', () => {
  const first = stored(
    appraiseBoot({
      firmware: FIRMWARE,
      systemd: { offset: 0, bytes: logOf(PHASES.slice(0, 2)) },
      quoted: quoted(PHASES.slice(0, 2)),
    }),
  )

  it('wants only what is new of each log', () => {
    assert.deepEqual(first.state.wanted, {
      firmware: { offset: FIRMWARE.length, events: GOOD.length + 1 },
      systemd: { offset: logOf(PHASES.slice(0, 2)).length, events: 2 },
    })
    assert.deepEqual(first.state.unproved, [])
  })

  it('needs no log at all where nothing happened', () => {
    const second = appraiseBoot({ quoted: quoted(PHASES.slice(0, 2)), previous: first })
    assert.deepEqual(faults(second), [])
    assert.deepEqual(second.state, first.state)
    assert.deepEqual(second.findings.map((f) => f.rule).sort(), first.findings.map((f) => f.rule).sort())
    assert.equal(second.facts?.secureBoot.state, 'enabled')
  })

  it('goes on from the values that were proved', () => {
    const { offset } = first.state.wanted.systemd as { offset: number }
    const second = appraiseBoot({
      systemd: { offset, bytes: logOf(PHASES.slice(2)) },
      quoted: quoted(PHASES),
      previous: first,
    })
    assert.deepEqual(faults(second), [])
    assert.deepEqual(
      second.facts?.unifiedKernel.phases.map(({ value }) => value),
      ['enter-initrd', 'nvpcr-init:hardware', 'leave-initrd', 'ready'],
    )
    assert.deepEqual(
      [...second.timeline()].map(({ event: e, proof }) => [e.index, proof]),
      [
        [2, 'data'],
        [3, 'data'],
        [4, 'data'],
      ],
    )
    const third = appraiseBoot({ quoted: quoted(PHASES), previous: stored(second) })
    assert.deepEqual(faults(third), [])
  })

  it('takes logs that come again for what they were, however far the quote reached in each register', () => {
    const systemd = { offset: 0, bytes: logOf(PHASES) }
    // the quote reaches all of PCR 11, and nothing of PCR 15
    const reached = PHASES.filter(({ pcr }) => pcr !== 15)
    const ahead = stored(appraiseBoot({ firmware: FIRMWARE, systemd, quoted: quoted(reached) }))
    assert.deepEqual(ahead.state.wanted, {}, 'all of them are wanted')
    const second = appraiseBoot({ firmware: FIRMWARE, systemd, quoted: quoted(PHASES), previous: ahead })
    assert.deepEqual(faults(second), [])
    assert.equal(second.state.wanted.systemd?.offset, logOf(PHASES).length)
    assert.ok([...second.timeline()].every(({ proof }) => proof !== 'refuted' && proof !== 'not-yet'))
    assert.equal(second.facts?.systemd.length, 1)
  })

  it('takes a later log that comes again alone, in registers that it alone extends', () => {
    const own = PHASES.filter(({ pcr }) => pcr !== 9)
    const before = stored(
      appraiseBoot({
        firmware: FIRMWARE,
        systemd: { offset: 0, bytes: logOf(own.slice(0, 2)) },
        quoted: quoted(own.slice(0, 2)),
      }),
    )
    const second = appraiseBoot({ systemd: { offset: 0, bytes: logOf(own) }, quoted: quoted(own), previous: before })
    assert.deepEqual(faults(second), [])
    assert.ok([...second.timeline()].every(({ proof }) => proof === 'data'))
  })

  it("keeps what was wrong with a record of systemd's, until its log is read from the beginning", () => {
    const lie = concatBytes(record({ pcr: 11, string: 'something better' }, 'enter-initrd'))
    const before = stored(
      appraiseBoot({ firmware: FIRMWARE, systemd: { offset: 0, bytes: lie }, quoted: quoted(PHASES.slice(0, 1)) }),
    )
    assert.deepEqual(faults(before), ['boot.measure-log contraindicated'])
    const second = stored(appraiseBoot({ quoted: quoted(PHASES.slice(0, 1)), previous: before }))
    assert.deepEqual(faults(second), ['boot.measure-log contraindicated'])
    const further = { offset: lie.length, bytes: concatBytes(record(PHASES[1] as Measurement)) }
    const third = stored(appraiseBoot({ systemd: further, quoted: quoted(PHASES.slice(0, 2)), previous: second }))
    assert.deepEqual(faults(third), ['boot.measure-log contraindicated'])
    const whole = { offset: 0, bytes: logOf(PHASES.slice(0, 2)) }
    const last = appraiseBoot({
      firmware: FIRMWARE,
      systemd: whole,
      quoted: quoted(PHASES.slice(0, 2)),
      previous: third,
    })
    assert.deepEqual(faults(last), [])
  })

  it('refuses a register that was extended by something else since, and keeps what was proved', () => {
    const second = appraiseBoot({ quoted: quoted([...PHASES.slice(0, 2), { pcr: 7, string: 'x' }]), previous: first })
    assert.deepEqual(faults(second), ['boot.replay contraindicated'])
    assert.deepEqual(second.state.registers, first.state.registers)
  })

  it('refuses registers that went back', () => {
    assert.ok(faults(appraiseBoot({ quoted: quoteOf([]), previous: first })).includes('boot.replay contraindicated'))
  })

  it('is small, and plain', () => {
    assert.ok(JSON.stringify(first.state).length < 2000)
    const state: BootState = JSON.parse(JSON.stringify(first.state))
    assert.deepEqual(state, first.state)
  })

  it('is not known of a register that was not quoted before and is now, without the log', () => {
    const some = stored(appraiseBoot({ firmware: FIRMWARE, quoted: quoteOf(GOOD, { pcrs: [0, 1, 2, 3, 4, 5, 6, 7] }) }))
    assert.deepEqual(some.state.unproved, [8, 9])
    const more = appraiseBoot({ quoted: quoteOf(GOOD), previous: some })
    assert.deepEqual(faults(more), ['boot.replay none'])
    const again = appraiseBoot({ firmware: FIRMWARE, quoted: quoteOf(GOOD), previous: some })
    assert.deepEqual(faults(again), [])
    assert.deepEqual(again.state.unproved, [])
  })

  it('still knows which bank proved nothing', () => {
    const banks = ['sha1', 'sha256'] as const
    const lacking = GOOD.map((e) =>
      e.register === 5 ? { ...e, digests: [[0x0b, digest('sha256', e.data)] as const] } : e,
    )
    const before = stored(
      appraiseBoot({ firmware: cryptoAgileLog(lacking, { banks }), quoted: quoteOf(GOOD, { banks }) }),
    )
    assert.deepEqual(faults(appraiseBoot({ quoted: quoteOf(GOOD, { banks }), previous: before })), [
      'boot.banks warning',
    ])
  })
})
