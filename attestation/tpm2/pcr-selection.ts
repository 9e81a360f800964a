import type { HashAlgorithm } from '../crypto/index.ts'
import { hashFromId, hashId } from './algorithms.ts'
import { MAX_PCR_BANKS } from './constants.ts'
import { type PcrIndex, type PcrSelection, pcrIndex } from './pcr.ts'
import { hex, limitInput, WireReader, WireWriter } from './wire.ts'

// count, then for each bank its algorithm, sizeofSelect and a bitmap of 4 bytes at most
const MAX_SELECTION_BYTES = 4 + MAX_PCR_BANKS * 7
const PC_CLIENT_SELECT_BYTES = 3

/**
 * What a TPM says of its banks: those computed here, and the algorithm numbers of those that are not (SM3 on many
 * TPMs).
 */
export interface PcrAllocation {
  /** In the TPM's order; a bank without registers has an empty `pcrs`. */
  readonly selections: readonly PcrSelection[]
  readonly unknownBanks: readonly { readonly algId: number; readonly pcrs: readonly PcrIndex[] }[]
}

/**
 * TPML_PCR_SELECTION. Bytes are in wire order: register i is bit i mod 8 of byte i div 8. sizeofSelect is 3, or 4 with
 * an empty last byte, which some TPMs write.
 * Source: TPM 2.0 Part 2 r1.59 §10.6.2, §10.9.7.
 *
 * @throws WireError; an unknown bank is WIRE_BAD_VALUE
 */
export function decodePcrSelections(bytes: Uint8Array): readonly PcrSelection[] {
  limitInput(bytes, 'TPML_PCR_SELECTION', MAX_SELECTION_BYTES)
  const r = new WireReader(bytes, 'TPML_PCR_SELECTION')
  const selections = readPcrSelections(r)
  r.end()
  return selections
}

/**
 * TPML_PCR_SELECTION as TPM2_GetCapability(TPM_CAP_PCRS) answers: as decodePcrSelections, but a bank of an algorithm
 * unknown here is listed apart. Never for signed bytes.
 */
export function decodePcrAllocation(bytes: Uint8Array): PcrAllocation {
  limitInput(bytes, 'TPML_PCR_SELECTION', MAX_SELECTION_BYTES)
  const r = new WireReader(bytes, 'TPML_PCR_SELECTION')
  const selections: PcrSelection[] = []
  const unknownBanks: { algId: number; pcrs: readonly PcrIndex[] }[] = []
  const count = r.count('count', MAX_PCR_BANKS)
  for (let i = 0; i < count; i++) {
    const algId = r.u16(`pcrSelections[${i}].hash`)
    const pcrs = readBitmap(r, i)
    const bank = hashFromId(algId)
    if (bank === undefined) unknownBanks.push({ algId, pcrs })
    else selections.push({ bank, pcrs })
  }
  r.end()
  return { selections, unknownBanks }
}

/** Reads the list inside a larger structure. */
export function readPcrSelections(r: WireReader): readonly PcrSelection[] {
  const count = r.count('pcrSelect.count', MAX_PCR_BANKS)
  const selections: PcrSelection[] = []
  for (let i = 0; i < count; i++) {
    const algId = r.u16('pcrSelections.hash')
    const bank: HashAlgorithm | undefined = hashFromId(algId)
    if (bank === undefined) throw r.badValue(`pcrSelections[${i}].hash`, 2, `${hex(algId, 4)} is no bank known here`)
    selections.push({ bank, pcrs: readBitmap(r, i) })
  }
  return selections
}

function readBitmap(r: WireReader, i: number): readonly PcrIndex[] {
  const size = r.u8('pcrSelections.sizeofSelect') // an index in the name would cost more than the read
  if (size !== 3 && size !== 4) throw r.badValue(`pcrSelections[${i}].sizeofSelect`, 1, `${size}, wanted 3 or 4`)
  const pcrs: PcrIndex[] = []
  for (let byte = 0; byte < size; byte++) {
    const bits = r.u8('pcrSelections.pcrSelect')
    if (byte >= PC_CLIENT_SELECT_BYTES && bits !== 0) {
      throw r.badValue(`pcrSelections[${i}].sizeofSelect`, 1, `registers above 23 selected (${hex(bits, 2)})`)
    }
    for (let bit = 0; bit < 8; bit++) if (bits & (1 << bit)) pcrs.push(pcrIndex(8 * byte + bit))
  }
  return pcrs
}

/** @throws RangeError for registers that are not ascending and distinct, or more banks than a list holds */
export function encodePcrSelections(selections: readonly PcrSelection[]): Uint8Array {
  const w = new WireWriter()
  writePcrSelections(w, selections)
  return w.finish()
}

/** Writes the list inside a larger structure; always with sizeofSelect 3. */
export function writePcrSelections(w: WireWriter, selections: readonly PcrSelection[]): void {
  if (selections.length > MAX_PCR_BANKS) throw new RangeError(`${selections.length} banks, at most ${MAX_PCR_BANKS}`)
  w.u32(selections.length)
  for (const { bank, pcrs } of selections) {
    const bitmap = new Uint8Array(PC_CLIENT_SELECT_BYTES)
    let last = -1
    for (const pcr of pcrs) {
      if (pcr <= last) throw new RangeError(`registers of bank ${bank} are not ascending: ${pcrs.join(',')}`)
      last = pcr
      const byte = pcr >> 3
      bitmap[byte] = (bitmap[byte] ?? 0) | (1 << (pcr & 7))
    }
    w.u16(hashId(bank)).u8(PC_CLIENT_SELECT_BYTES).bytes(bitmap)
  }
}

/** Text for messages: `sha256:0,7,15+sha1:0`. */
export function formatPcrSelections(selections: readonly PcrSelection[]): string {
  return selections.map((s) => `${s.bank}:${s.pcrs.join(',')}`).join('+')
}
