import { digest, type HashAlgorithm, hashSize } from '../crypto/index.ts'
import type { PcrIndex, PcrSelection, PcrValue } from './pcr.ts'

/** One way in which values do not fit a selection. */
export interface ValueMisfit {
  readonly kind: 'missing' | 'duplicate' | 'unselected' | 'size'
  readonly detail: string
}

/**
 * Puts claimed values into the order in which a TPM concatenates them: selections as listed, registers ascending.
 *
 * @returns the ordered values, one for each selected register; or the first misfit
 */
export function orderPcrValues(
  selections: readonly PcrSelection[],
  values: readonly PcrValue[],
): { readonly ordered: readonly PcrValue[] } | { readonly misfit: ValueMisfit } {
  return inOrder(selections, values) ? { ordered: values } : sortPcrValues(selections, values)
}

/** Whether the values are in that order already, as an agent sends them: no table is needed then. */
function inOrder(selections: readonly PcrSelection[], values: readonly PcrValue[]): boolean {
  let at = 0
  for (const { bank, pcrs } of selections) {
    for (const pcr of pcrs) {
      const v = values[at++]
      if (v === undefined || v.pcr !== pcr || v.bank !== bank || v.value.length !== hashSize(bank)) return false
    }
  }
  return at === values.length
}

function sortPcrValues(
  selections: readonly PcrSelection[],
  values: readonly PcrValue[],
): { readonly ordered: readonly PcrValue[] } | { readonly misfit: ValueMisfit } {
  const byRegister = new Map<number, PcrValue>()
  for (const v of values) {
    const key = registerKey(v.bank, v.pcr)
    if (byRegister.has(key)) return misfit('duplicate', `${v.bank}:${v.pcr} is given twice`)
    if (v.value.length !== hashSize(v.bank)) {
      return misfit('size', `${v.bank}:${v.pcr} has ${v.value.length} bytes, wanted ${hashSize(v.bank)}`)
    }
    byRegister.set(key, v)
  }
  const ordered: PcrValue[] = []
  for (const { bank, pcrs } of selections) {
    for (const pcr of pcrs) {
      const key = registerKey(bank, pcr)
      const value = byRegister.get(key)
      if (value === undefined) return misfit('missing', `${bank}:${pcr} is selected, but has no value`)
      byRegister.delete(key)
      ordered.push(value)
    }
  }
  const [left] = byRegister.values()
  if (left === undefined) return { ordered }
  return misfit('unselected', `${left.bank}:${left.pcr} has a value, but is not selected`)
}

/** A number, because this runs for every register of every quote. Digest sizes tell the banks apart. */
function registerKey(bank: HashAlgorithm, pcr: PcrIndex): number {
  return hashSize(bank) * 32 + pcr
}

/**
 * Hash of the selected registers' values: pcrDigest of a quote with the signing scheme's hash, of a policy with the
 * session's, of creation data with the object's nameAlg. Never the bank's.
 *
 * @throws RangeError when the values are not exactly those selected
 */
export function pcrDigest(
  alg: HashAlgorithm,
  selections: readonly PcrSelection[],
  values: readonly PcrValue[],
): Uint8Array {
  const result = orderPcrValues(selections, values)
  if ('misfit' in result) throw new RangeError(`PCR values: ${result.misfit.detail}`)
  return digest(alg, ...result.ordered.map((v) => v.value))
}

function misfit(kind: ValueMisfit['kind'], detail: string): { readonly misfit: ValueMisfit } {
  return { misfit: { kind, detail } }
}
