import { fromHex } from '../../base/index.ts'
import { type HashAlgorithm, hashSize } from '../../crypto/index.ts'

/** The kernel's default; `pcr=` of an IMA policy rule or CONFIG_IMA_MEASURE_PCR_IDX names another. */
export const IMA_PCR = 10

/**
 * How the kernel makes an entry's digest for a bank: the bank's own hash over the template data (5.8 and later), or the
 * SHA-1 of it with zeros behind (before 5.8, and for a bank whose hash was not loaded when IMA started).
 */
export type ImaExtendRule = 'template-data' | 'sha1-padded'

/**
 * A bank's register, lowercase hex, by each rule that may still be this kernel's; a proved entry leaves one of them.
 */
export type ImaBankState = { readonly [rule in ImaExtendRule]?: string }

/** Where the replay of a list stands; plain data, small, to be kept between quotes. */
export interface ImaReplayState {
  readonly pcr: number
  /** Hash of the list's own template digests; absent before its first entry. */
  readonly templateHash?: HashAlgorithm
  readonly banks: { readonly [bank in HashAlgorithm]?: ImaBankState }
  /** Bytes and entries of the list so far. */
  readonly offset: number
  readonly entries: number
  /** Entries that say that what was measured may not be what was used. */
  readonly violations: number
  /** Entries of other registers: nothing here proves them. */
  readonly elsewhere: number
}

/**
 * Before the first entry after a boot.
 * @param banks every bank that quotes may show
 */
export function imaReplayStart(banks: readonly HashAlgorithm[], pcr = IMA_PCR): ImaReplayState {
  const start = (bank: HashAlgorithm): ImaBankState => {
    const zero = '00'.repeat(hashSize(bank))
    return bank === 'sha1' ? { 'template-data': zero } : { 'template-data': zero, 'sha1-padded': zero }
  }
  return {
    pcr,
    banks: Object.fromEntries(banks.map((bank) => [bank, start(bank)])),
    offset: 0,
    entries: 0,
    violations: 0,
    elsewhere: 0,
  }
}

/**
 * After a kexec whose kernel began a new list: the register goes on from where it was proved to be, the list from
 * nothing.
 */
export function imaReplayRestart(state: ImaReplayState): ImaReplayState {
  const { pcr, banks } = state
  return { pcr, banks, offset: 0, entries: 0, violations: 0, elsewhere: 0 }
}

/** A register's value by one rule, as bytes; undefined where that rule is ruled out. */
export function bankValue(state: ImaReplayState, bank: HashAlgorithm, rule: ImaExtendRule): Uint8Array | undefined {
  const value = state.banks[bank]?.[rule]
  return value === undefined ? undefined : fromHex(value)
}

/** The usual first. */
export const IMA_RULES: readonly ImaExtendRule[] = ['template-data', 'sha1-padded']
