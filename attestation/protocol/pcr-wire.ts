import { hashSize } from '../crypto/index.ts'
import { type PcrSelection, type PcrValue, pcrIndex } from '../tpm2/index.ts'
import { ProtocolError } from './errors.ts'
import type { QuotedBody, VerifierMessage } from './messages.ts'

/** PCR selection as `challenge` carries it. */
export type WireSelection = Extract<VerifierMessage, { t: 'challenge' }>['selection']
/** PCR values as `evidence` and `launch` carry them. */
export type WirePcrValues = QuotedBody['pcrs']

/** The order of selections is kept: a quote's digest depends on it. */
export function selectionToWire(selections: readonly PcrSelection[]): WireSelection {
  return selections.map(({ bank, pcrs }) => ({ bank, pcrs: [...pcrs] }))
}

/** @throws ProtocolError PROTOCOL_BAD_SELECTION unless banks differ and each bank's registers ascend */
export function selectionFromWire(wire: WireSelection): PcrSelection[] {
  const banks = new Set<string>()
  return wire.map(({ bank, pcrs }) => {
    if (banks.has(bank)) throw new ProtocolError('PROTOCOL_BAD_SELECTION', `bank ${bank} is selected twice`)
    banks.add(bank)
    for (let i = 1; i < pcrs.length; i++) {
      if ((pcrs[i] as number) <= (pcrs[i - 1] as number)) {
        // both indices are inside
        throw new ProtocolError('PROTOCOL_BAD_SELECTION', `registers of bank ${bank} do not ascend: ${pcrs.join(', ')}`)
      }
    }
    return { bank, pcrs: pcrs.map(pcrIndex) }
  })
}

/** Values in the order in which the quote's digest covers them. */
export function pcrValuesToWire(values: readonly PcrValue[]): WirePcrValues {
  return values.map(({ bank, pcr, value }) => ({ bank, pcr, value }))
}

/**
 * @throws ProtocolError PROTOCOL_BAD_PCR_VALUES for a repeated register, or a value that is not as long as its bank's
 * digests
 */
export function pcrValuesFromWire(wire: WirePcrValues): PcrValue[] {
  const seen = new Set<string>()
  return wire.map(({ bank, pcr, value }) => {
    const name = `${bank}:${pcr}`
    if (seen.has(name)) throw new ProtocolError('PROTOCOL_BAD_PCR_VALUES', `register ${name} occurs twice`)
    seen.add(name)
    if (value.length !== hashSize(bank)) {
      throw new ProtocolError(
        'PROTOCOL_BAD_PCR_VALUES',
        `register ${name} has ${value.length} bytes, a ${bank} register has ${hashSize(bank)}`,
      )
    }
    return { bank, pcr: pcrIndex(pcr), value }
  })
}
