import { type BankRegisters, equalRegisters, extendWithContent } from '../../attestation/event-log/index.ts'

/** A record as replay sees it. */
export interface ReplayedContent {
  /** The hashed bytes of the record. */
  readonly bytes: Uint8Array
  /** Records that state what the register held before them (`break`, and the first `agent`) start the replay anew. */
  readonly restartsAt?: BankRegisters
}

export type RecoveryDecision =
  /** The TPM has the first `extended` uncertain records. The others are extended now, so that nothing is lost. */
  | { readonly kind: 'agrees'; readonly extended: number }
  /** No prefix of the log gives this register. `expected` is what the whole log replays to. */
  | { readonly kind: 'break'; readonly expected: BankRegisters }

/** The register after these records, of which the first usually states what it was before. */
export function replayContents(before: BankRegisters, records: readonly ReplayedContent[]): BankRegisters {
  let value = before
  for (const record of records) value = extendWithContent(record.restartsAt ?? value, record.bytes)
  return value
}

/**
 * Compares the register with the log after a crash or a failed extend. Records are written and synced before they are extended, and
 * one after another, so the register must be what the certain records give, followed by the first k uncertain ones.
 *
 * The longest prefix that fits is taken; two could only fit where a hash has a cycle.
 *
 * @param certain the register after all records that are known to be extended
 * @param uncertain records after them, in order
 * @param found the register as the TPM gave it, all banks
 */
export function decideRecovery(
  certain: BankRegisters,
  uncertain: readonly ReplayedContent[],
  found: BankRegisters,
): RecoveryDecision {
  let value = certain
  let fits = equalRegisters(value, found) ? 0 : undefined
  for (const [i, record] of uncertain.entries()) {
    if (record.restartsAt !== undefined) {
      value = record.restartsAt
      if (equalRegisters(value, found)) fits = i
    }
    value = extendWithContent(value, record.bytes)
    if (equalRegisters(value, found)) fits = i + 1
  }
  return fits === undefined ? { kind: 'break', expected: value } : { kind: 'agrees', extended: fits }
}
