import type { ClockInfo } from '../tpm2/index.ts'
import { type Finding, finding } from './finding.ts'

/**
 * How a quote follows the last one of the same AK.
 * first: nothing is known of this AK. same-boot: the same TPM start, so its log goes on. tpm-reset, tpm-restart: a new
 * TPM start, everything proved for the last one is void. tpm-clear: counters or clock went back and the AK is another
 * one, as TPM2_Clear leaves it. rollback: they went back under the same AK, which a TPM never does by itself.
 */
export type ContinuityKind = 'first' | 'same-boot' | 'tpm-reset' | 'tpm-restart' | 'tpm-clear' | 'rollback'

export interface Continuity {
  readonly kind: ContinuityKind
  readonly findings: readonly Finding[]
}

const COUNTERS = 'continuity.counters'
const CLOCK = 'continuity.clock'

/**
 * Compares the clock of a verified quote with the last one of the same AK. Both counters are looked at:
 * TPM2_Shutdown(STATE) with Startup(CLEAR) zeroes the registers and leaves resetCount alone. restartCount starts again
 * at 0 with each TPM Reset, so a lower one means nothing by itself when resetCount rose.
 * Source: TPM 2.0 Part 1 r1.59 §36 (clock, resets), Part 2 r1.59 §10.11.1 (TPMS_CLOCK_INFO).
 *
 * @param previous of the last verified quote; undefined at first contact
 * @param now of a verified quote by an AK whose counters are not obfuscated (endorsement hierarchy)
 * @param anotherAk whether this AK of the same EK is new since the last quote: TPM2_Clear takes the AK and sets
 * counters and clock to zero
 *   (Part 3 r1.59 §24.6), and no other event does both
 * @param anotherLog whether the launch log begins anew: with another AK it tells of TPM2_Clear where the counters were at zero already and the clock
 * has passed where it was
 */
export function decideContinuity(
  previous: ClockInfo | undefined,
  now: ClockInfo,
  anotherAk = false,
  anotherLog = false,
): Continuity {
  if (previous === undefined) {
    return { kind: 'first', findings: [affirming(COUNTERS, `first quote of this AK, at ${start(now)}`)] }
  }
  const kind = compareCounters(previous, now)
  const clockWentBack = now.safe && now.clockMs < previous.clockMs
  if (anotherAk && (kind === 'rollback' || (kind === 'same-boot' && (anotherLog || clockWentBack)))) {
    const message = `TPM start ${start(now)} after ${start(previous)}, with another AK of the same EK: the TPM was cleared; what was proved before is void`
    return { kind: 'tpm-clear', findings: [finding(COUNTERS, 'warning', 'instance-identity', message)] }
  }
  if (kind === 'rollback') {
    const message = `TPM start ${start(now)} after ${start(previous)}: the TPM was cleared, replaced, or its state rolled back`
    return { kind, findings: [finding(COUNTERS, 'contraindicated', 'instance-identity', message)] }
  }
  const counters = affirming(COUNTERS, `${kind}: TPM start ${start(now)} after ${start(previous)}`)
  if (!now.safe) {
    // §10.11.1: such a value may have been shown before, so nothing follows from its order.
    return {
      kind,
      findings: [counters, affirming(CLOCK, 'not compared: the TPM was last stopped without TPM2_Shutdown')],
    }
  }
  if (now.clockMs < previous.clockMs && kind === 'tpm-reset') {
    // libtpms from 0.9 on does not keep a clock that nothing else is kept with (its pull request 274), and some seconds after the power
    // came back it calls the old one safe. The counters went on, so this is a start that nobody has seen, with registers and a log of its own.
    const message = `${now.clockMs} ms after ${previous.clockMs} ms: the power was cut and this TPM had not kept its clock, or its state was rolled back and it was started again`
    return { kind, findings: [counters, finding(CLOCK, 'warning', 'instance-identity', message)] }
  }
  if (now.clockMs < previous.clockMs) {
    const message = `TPM clock ${now.clockMs} ms after ${previous.clockMs} ms, and the TPM calls it safe: its state was rolled back`
    return { kind: 'rollback', findings: [counters, finding(CLOCK, 'contraindicated', 'instance-identity', message)] }
  }
  return { kind, findings: [counters, affirming(CLOCK, `${now.clockMs} ms after ${previous.clockMs} ms`)] }
}

function compareCounters(previous: ClockInfo, now: ClockInfo): ContinuityKind {
  if (now.resetCount > previous.resetCount) return 'tpm-reset'
  if (now.resetCount < previous.resetCount) return 'rollback'
  if (now.restartCount > previous.restartCount) return 'tpm-restart'
  return now.restartCount < previous.restartCount ? 'rollback' : 'same-boot'
}

function start(clock: ClockInfo): string {
  return `${clock.resetCount}-${clock.restartCount}`
}

function affirming(rule: string, message: string): Finding {
  return finding(rule, 'affirming', 'instance-identity', message)
}
