import { toHex } from '../../base/index.ts'
import { digest, type HashAlgorithm } from '../../crypto/index.ts'
import type { BootAggregate } from './state.ts'

/** What the first entry of a list says of the boot before it. */
export type BootAggregateCheck =
  /**
   * It is the hash of these registers, so the list began in this very boot. `last` is 7, or 9 from Linux 5.8 on (but
   * not for SHA-1).
   */
  | { readonly result: 'match'; readonly last: 7 | 9 }
  /** The list began after another boot than the quoted one, or a register was extended after the kernel read it. */
  | { readonly result: 'mismatch'; readonly expected: readonly string[] }
  /** All zero: the kernel found no TPM when IMA started, so entries may not have been extended. */
  | { readonly result: 'no-tpm' }
  | { readonly result: 'unknown'; readonly why: string }

const BANKS: ReadonlySet<string> = new Set<HashAlgorithm>(['sha1', 'sha256', 'sha384', 'sha512'])

/**
 * Compares boot_aggregate with PCR 0 to 7 or 0 to 9 of the bank of its own algorithm. PCR 8 and 9 may be extended by
 * user space later: pass the values that the firmware's log replays to where the quoted ones do not match.
 *
 * @param aggregate of a proved list
 * @param pcr a register's value; undefined where it is not known
 */
export function checkBootAggregate(
  aggregate: BootAggregate | undefined,
  pcr: (bank: HashAlgorithm, index: number) => Uint8Array | undefined,
): BootAggregateCheck {
  if (aggregate === undefined) return { result: 'unknown', why: 'the list does not begin with boot_aggregate' }
  if (/^0*$/.test(aggregate.digest)) return { result: 'no-tpm' }
  const { algorithm } = aggregate
  if (!isBank(algorithm)) return { result: 'unknown', why: `there is no bank of ${algorithm}` }
  const expected: string[] = []
  for (const last of algorithm === 'sha1' ? ([7] as const) : ([9, 7] as const)) {
    const values = Array.from({ length: last + 1 }, (_, index) => pcr(algorithm, index))
    if (!values.every((value) => value !== undefined)) continue
    const hash = toHex(digest(algorithm, ...values))
    if (hash === aggregate.digest) return { result: 'match', last }
    expected.push(hash)
  }
  if (expected.length === 0) return { result: 'unknown', why: `PCR 0 to 7 of ${algorithm} are not all quoted` }
  return { result: 'mismatch', expected }
}

function isBank(algorithm: string): algorithm is HashAlgorithm {
  return BANKS.has(algorithm)
}
