import type { EcCurve, HashAlgorithm } from '../crypto/index.ts'
import {
  TPM_ALG_SHA1,
  TPM_ALG_SHA256,
  TPM_ALG_SHA384,
  TPM_ALG_SHA512,
  TPM_ECC_NIST_P256,
  TPM_ECC_NIST_P384,
  TPM_ECC_NIST_P521,
} from './constants.ts'
import { hex, type WireReader } from './wire.ts'

const HASH_IDS: Readonly<Record<HashAlgorithm, number>> = {
  sha1: TPM_ALG_SHA1,
  sha256: TPM_ALG_SHA256,
  sha384: TPM_ALG_SHA384,
  sha512: TPM_ALG_SHA512,
}

const CURVE_IDS: Readonly<Record<EcCurve, number>> = {
  'P-256': TPM_ECC_NIST_P256,
  'P-384': TPM_ECC_NIST_P384,
  'P-521': TPM_ECC_NIST_P521,
}

// The keys of the two tables are their closed unions, which Object.entries widens to string.
const HASHES = new Map(Object.entries(HASH_IDS).map(([name, id]) => [id, name as HashAlgorithm]))
const CURVES = new Map(Object.entries(CURVE_IDS).map(([name, id]) => [id, name as EcCurve]))

/** TPM_ALG_ID of a hash, e.g. 0x000b. */
export function hashId(alg: HashAlgorithm): number {
  return HASH_IDS[alg]
}

/** @returns the hash with that TPM_ALG_ID; undefined for one that Holdfast does not compute (SM3, SHA-3). Total. */
export function hashFromId(id: number): HashAlgorithm | undefined {
  return HASHES.get(id)
}

/** TPM_ECC_CURVE of a curve, e.g. 0x0003. */
export function curveId(curve: EcCurve): number {
  return CURVE_IDS[curve]
}

/** @returns the curve with that TPM_ECC_CURVE; undefined for any but the three NIST curves. Total. */
export function curveFromId(id: number): EcCurve | undefined {
  return CURVES.get(id)
}

/** TPMI_ALG_HASH, without TPM_ALG_NULL. */
export function readHash(r: WireReader, field: string): HashAlgorithm {
  const id = r.u16(field)
  const alg = HASHES.get(id)
  if (alg === undefined) throw r.badValue(field, 2, `${hex(id, 4)} is no hash algorithm known here`)
  return alg
}

/** TPMI_ECC_CURVE. */
export function readCurve(r: WireReader, field: string): EcCurve {
  const id = r.u16(field)
  const curve = CURVES.get(id)
  if (curve === undefined) throw r.badValue(field, 2, `${hex(id, 4)} is no curve known here`)
  return curve
}
