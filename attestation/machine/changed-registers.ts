import type { BootState } from '../appraisal/boot/index.ts'
import type { AppraisalPolicy } from '../appraisal-policy/index.ts'
import { toHex } from '../base/index.ts'
import { isAfterStart } from '../event-log/index.ts'
import type { PcrValue } from '../tpm2/index.ts'

/** Registers that a quote shows otherwise than when policy judged the logs of this boot. */
export interface ChangedRegisters {
  /** By further events, which replay. */
  readonly extended: ReadonlySet<number>
  /** By something that no log tells of. */
  readonly unexplained: ReadonlySet<number>
}

/**
 * @param before,after what was proved before this quote, and with it
 */
export function changedRegisters(
  before: BootState | undefined,
  after: BootState,
  quoted: readonly PcrValue[],
): ChangedRegisters {
  const extended = new Set<number>()
  const unexplained = new Set<number>()
  for (const { pcr, bank, value } of quoted) {
    const is = toHex(value)
    const kept = before?.registers[pcr]
    const same = kept === undefined ? isAfterStart(pcr, { [bank]: value }) : (kept.values[bank] ?? is) === is
    if (same) continue // and so is a bank that proves nothing: the rules of banks are about those
    if (after.registers[pcr]?.values[bank] === is) extended.add(pcr)
    else unexplained.add(pcr)
  }
  return { extended, unexplained }
}

/** Whether a rule that judges logs reads one of these registers. */
export function isJudged(registers: ReadonlySet<number>, policy: AppraisalPolicy | undefined): boolean {
  return (
    policy?.rules.some(({ check }) => check.ofBoot === true && check.needs.pcrs?.some((pcr) => registers.has(pcr))) ===
    true
  )
}
