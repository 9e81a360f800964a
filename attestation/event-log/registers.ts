import { equalBytes, fromHex, toHex } from '../base/index.ts'
import { digest, type HashAlgorithm, hashSize } from '../crypto/index.ts'
import type { BankValues } from './launch-log/launch-log.ts'

/** Weakest bank first; also the order of everything that lists banks. */
export const BANK_ORDER: readonly HashAlgorithm[] = ['sha1', 'sha256', 'sha384', 'sha512']

/** One register in every allocated bank, as bytes. */
export type BankRegisters = { readonly [bank in HashAlgorithm]?: Uint8Array }

/** Banks that have a value, in BANK_ORDER. */
export function banksOf(registers: BankRegisters | BankValues): HashAlgorithm[] {
  return BANK_ORDER.filter((bank) => registers[bank] !== undefined)
}

/** What TPM2_PCR_Extend makes of a register: H(old ‖ digest). Source: TPM 2.0 Part 3 r1.59 §22.2. */
export function extendValue(bank: HashAlgorithm, old: Uint8Array, eventDigest: Uint8Array): Uint8Array {
  return digest(bank, old, eventDigest)
}

/**
 * Every bank's register after an event whose digest in each bank is the hash of `content`, as for launch-log records.
 */
export function extendWithContent(registers: BankRegisters, content: Uint8Array): BankRegisters {
  const out: { [bank in HashAlgorithm]?: Uint8Array } = {}
  for (const bank of banksOf(registers)) {
    out[bank] = extendValue(bank, registers[bank] as Uint8Array, digest(bank, content)) // banksOf gives those with a value
  }
  return out
}

/** The register of each bank as a TPM start leaves a static PCR: zero. */
export function zeroRegisters(banks: readonly HashAlgorithm[]): BankRegisters {
  return Object.fromEntries(banks.map((bank) => [bank, new Uint8Array(hashSize(bank))]))
}

/** True when both have the same banks and every bank the same value. */
export function equalRegisters(a: BankRegisters, b: BankRegisters): boolean {
  for (const bank of BANK_ORDER) {
    const x = a[bank]
    const y = b[bank]
    if (x === undefined || y === undefined) {
      if (x !== y) return false
    } else if (!equalBytes(x, y)) return false
  }
  return true
}

/** Lowercase hex of each bank. */
export function toBankValues(registers: BankRegisters): BankValues {
  return Object.fromEntries(banksOf(registers).map((bank) => [bank, toHex(registers[bank] as Uint8Array)])) // as above
}

/** @throws RangeError for a value that is not hex of its bank's length */
export function fromBankValues(values: BankValues): BankRegisters {
  const out: { [bank in HashAlgorithm]?: Uint8Array } = {}
  for (const bank of banksOf(values)) {
    const bytes = fromHex(values[bank] as string) // as above
    if (bytes.length !== hashSize(bank))
      throw new RangeError(`a ${bank} register has ${hashSize(bank)} bytes, got ${bytes.length}`)
    out[bank] = bytes
  }
  return out
}
