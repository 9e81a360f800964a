import type { HashAlgorithm } from '../crypto/index.ts'
import { hashId, readHash } from './algorithms.ts'
import { MAX_DIGEST_BYTES } from './constants.ts'
import { limitInput, WireReader, WireWriter } from './wire.ts'

/** TPMA_NV bits used here. Source: TPM 2.0 Part 2 r1.59 §13.4. */
export const TPMA_NV = {
  OWNERWRITE: 0x00000002,
  AUTHWRITE: 0x00000004,
  POLICYWRITE: 0x00000008,
  NT_COUNTER: 0x00000010,
  NT_EXTEND: 0x00000040,
  OWNERREAD: 0x00020000,
  AUTHREAD: 0x00040000,
  POLICYREAD: 0x00080000,
  NO_DA: 0x02000000,
  ORDERLY: 0x04000000,
  CLEAR_STCLEAR: 0x08000000,
  WRITTEN: 0x20000000,
} as const

/** TPMS_NV_PUBLIC. */
export interface NvPublic {
  /** The handle, 0x01000000 and up. */
  readonly index: number
  readonly nameAlg: HashAlgorithm
  /** TPMA_NV; WRITTEN is part of the Name. */
  readonly attributes: number
  readonly authPolicy: Uint8Array
  readonly dataSizeBytes: number
}

const MAX_NV_PUBLIC_BYTES = 4 + 2 + 4 + 2 + MAX_DIGEST_BYTES + 2

/**
 * TPMS_NV_PUBLIC. Source: TPM 2.0 Part 2 r1.59 §13.5.
 *
 * @param bytes without a TPM2B size in front
 * @throws WireError
 */
export function decodeNvPublic(bytes: Uint8Array): NvPublic {
  limitInput(bytes, 'TPMS_NV_PUBLIC', MAX_NV_PUBLIC_BYTES)
  const r = new WireReader(bytes, 'TPMS_NV_PUBLIC')
  const value = readNvPublic(r)
  r.end()
  return value
}

/** TPM2B_NV_PUBLIC (§13.6). @throws WireError */
export function decodeSizedNvPublic(bytes: Uint8Array): NvPublic {
  limitInput(bytes, 'TPM2B_NV_PUBLIC', 2 + MAX_NV_PUBLIC_BYTES)
  const r = new WireReader(bytes, 'TPM2B_NV_PUBLIC')
  const value = r.sized('nvPublic', MAX_NV_PUBLIC_BYTES, readNvPublic)
  r.end()
  return value
}

function readNvPublic(r: WireReader): NvPublic {
  const index = r.u32('nvIndex')
  if (index >>> 24 !== 0x01) throw r.badValue('nvIndex', 4, `0x${index.toString(16)} is no NV handle`)
  return {
    index,
    nameAlg: readHash(r, 'nameAlg'),
    attributes: r.u32('attributes'),
    authPolicy: r.tpm2b('authPolicy', MAX_DIGEST_BYTES),
    dataSizeBytes: r.u16('dataSize'),
  }
}

/** TPMS_NV_PUBLIC in wire form, without a size. */
export function encodeNvPublic(value: NvPublic): Uint8Array {
  return new WireWriter()
    .u32(value.index)
    .u16(hashId(value.nameAlg))
    .u32(value.attributes)
    .tpm2b(value.authPolicy)
    .u16(value.dataSizeBytes)
    .finish()
}

/** TPM2B_NV_PUBLIC in wire form. */
export function encodeSizedNvPublic(value: NvPublic): Uint8Array {
  return new WireWriter().tpm2b(encodeNvPublic(value)).finish()
}
