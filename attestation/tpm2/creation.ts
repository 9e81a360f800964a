import type { HashAlgorithm } from '../crypto/index.ts'
import { hashFromId, hashId } from './algorithms.ts'
import { MAX_DATA_BYTES, MAX_DIGEST_BYTES, MAX_NAME_BYTES, TPM_ALG_NULL } from './constants.ts'
import type { PcrSelection } from './pcr.ts'
import { readPcrSelections, writePcrSelections } from './pcr-selection.ts'
import { hex, limitInput, WireReader, WireWriter } from './wire.ts'

/** TPMS_CREATION_DATA: the circumstances in which a TPM made an object. */
export interface CreationData {
  readonly pcrSelections: readonly PcrSelection[]
  /** Over the selected registers with the object's nameAlg; the hash of nothing when none was selected. */
  readonly pcrDigest: Uint8Array
  /** TPMA_LOCALITY. */
  readonly locality: number
  /** 'null' when the parent is a hierarchy. */
  readonly parentNameAlg: HashAlgorithm | 'null'
  readonly parentName: Uint8Array
  readonly parentQualifiedName: Uint8Array
  readonly outsideInfo: Uint8Array
}

const MAX_CREATION_BYTES = 4 + 16 * 7 + 2 + MAX_DIGEST_BYTES + 1 + 2 + 2 * (2 + MAX_NAME_BYTES) + 2 + MAX_DATA_BYTES

/**
 * TPMS_CREATION_DATA. Source: TPM 2.0 Part 2 r1.59 §15.1.
 *
 * @param bytes without a TPM2B size in front: the octets that creationHash is over
 * @throws WireError
 */
export function decodeCreationData(bytes: Uint8Array): CreationData {
  limitInput(bytes, 'TPMS_CREATION_DATA', MAX_CREATION_BYTES)
  const r = new WireReader(bytes, 'TPMS_CREATION_DATA')
  const value = {
    pcrSelections: readPcrSelections(r),
    pcrDigest: r.tpm2b('pcrDigest', MAX_DIGEST_BYTES),
    locality: r.u8('locality'),
    parentNameAlg: readParentNameAlg(r),
    parentName: r.tpm2b('parentName', MAX_NAME_BYTES),
    parentQualifiedName: r.tpm2b('parentQualifiedName', MAX_NAME_BYTES),
    outsideInfo: r.tpm2b('outsideInfo', MAX_DATA_BYTES),
  }
  r.end()
  return value
}

/**
 * Takes the size off a TPM2B_CREATION_DATA. Source: §15.2.
 *
 * @returns the TPMS_CREATION_DATA inside, not decoded
 * @throws WireError
 */
export function unwrapCreationData(bytes: Uint8Array): Uint8Array {
  limitInput(bytes, 'TPM2B_CREATION_DATA', 2 + MAX_CREATION_BYTES)
  const r = new WireReader(bytes, 'TPM2B_CREATION_DATA')
  const inner = r.tpm2b('creationData', MAX_CREATION_BYTES)
  r.end()
  return inner
}

function readParentNameAlg(r: WireReader): HashAlgorithm | 'null' {
  const id = r.u16('parentNameAlg')
  if (id === TPM_ALG_NULL) return 'null'
  const alg = hashFromId(id)
  if (alg === undefined) throw r.badValue('parentNameAlg', 2, `${hex(id, 4)} is no hash algorithm known here`)
  return alg
}

/** TPMS_CREATION_DATA in wire form, without a size. */
export function encodeCreationData(value: CreationData): Uint8Array {
  const w = new WireWriter()
  writePcrSelections(w, value.pcrSelections)
  return w
    .tpm2b(value.pcrDigest)
    .u8(value.locality)
    .u16(value.parentNameAlg === 'null' ? TPM_ALG_NULL : hashId(value.parentNameAlg))
    .tpm2b(value.parentName)
    .tpm2b(value.parentQualifiedName)
    .tpm2b(value.outsideInfo)
    .finish()
}
