import type { EcCurve, HashAlgorithm } from '../crypto/index.ts'
import { curveId, hashId, readCurve, readHash } from './algorithms.ts'
import { readObjectAttributes } from './attributes.ts'
import {
  MAX_DIGEST_BYTES,
  MAX_ECC_PARAMETER_BYTES,
  MAX_PUBLIC_BYTES,
  MAX_RSA_BYTES,
  TPM_ALG_ECC,
  TPM_ALG_KEYEDHASH,
  TPM_ALG_RSA,
  TPM_ALG_SYMCIPHER,
} from './constants.ts'
import {
  type EccScheme,
  type KdfScheme,
  type KeyedHashScheme,
  type RsaScheme,
  readEccScheme,
  readKdfScheme,
  readKeyedHashScheme,
  readRsaScheme,
  readSymDef,
  type SymDef,
  writeEccScheme,
  writeKdfScheme,
  writeKeyedHashScheme,
  writeRsaScheme,
  writeSymDef,
} from './schemes.ts'
import { hex, limitInput, WireReader, WireWriter } from './wire.ts'

interface PublicCommon {
  readonly nameAlg: HashAlgorithm
  /** TPMA_OBJECT: see hasAttribute(). */
  readonly attributes: number
  /** Empty, or a policy digest of the nameAlg. */
  readonly authPolicy: Uint8Array
}

export interface RsaPublic extends PublicCommon {
  readonly type: 'rsa'
  readonly symmetric: SymDef
  readonly scheme: RsaScheme
  readonly keyBits: number
  /** 0 stands for 65537. */
  readonly exponent: number
  /** The modulus, big-endian; in a template empty or zeros. */
  readonly unique: Uint8Array
}

export interface EccPublic extends PublicCommon {
  readonly type: 'ecc'
  readonly symmetric: SymDef
  readonly scheme: EccScheme
  readonly curve: EcCurve
  readonly kdf: KdfScheme
  /** The point, each coordinate big-endian; in a template empty or zeros. */
  readonly unique: { readonly x: Uint8Array; readonly y: Uint8Array }
}

/** A sealed blob, an HMAC key, or another key whose public side is a digest only. */
export interface KeyedHashPublic extends PublicCommon {
  readonly type: 'keyedhash'
  readonly scheme: KeyedHashScheme
  readonly unique: Uint8Array
}

export interface SymCipherPublic extends PublicCommon {
  readonly type: 'symcipher'
  readonly symmetric: SymDef
  readonly unique: Uint8Array
}

/** TPMT_PUBLIC: what the TPM says of an object to everybody. */
export type TpmPublic = RsaPublic | EccPublic | KeyedHashPublic | SymCipherPublic

/**
 * TPMT_PUBLIC. The fields are claims: a Name computed over these bytes is what a TPM can vouch for.
 * Source: TPM 2.0 Part 2 r1.59 §12.2.4.
 *
 * @param bytes without a TPM2B size in front
 * @throws WireError
 */
export function decodePublic(bytes: Uint8Array): TpmPublic {
  limitInput(bytes, 'TPMT_PUBLIC', MAX_PUBLIC_BYTES)
  const r = new WireReader(bytes, 'TPMT_PUBLIC')
  const value = readPublic(r)
  r.end()
  return value
}

/**
 * TPM2B_PUBLIC: a u16 size and a TPMT_PUBLIC that fills it. Source: §12.2.5.
 *
 * @throws WireError
 */
export function decodeSizedPublic(bytes: Uint8Array): TpmPublic {
  limitInput(bytes, 'TPM2B_PUBLIC', MAX_PUBLIC_BYTES + 2)
  const r = new WireReader(bytes, 'TPM2B_PUBLIC')
  const value = r.sized('publicArea', MAX_PUBLIC_BYTES, readPublic)
  r.end()
  return value
}

function readPublic(r: WireReader): TpmPublic {
  const typeId = r.u16('type')
  const type = TYPES.get(typeId)
  if (type === undefined) throw r.badValue('type', 2, `${hex(typeId, 4)} is none of ${[...TYPES.values()].join(', ')}`)
  const common = {
    nameAlg: readHash(r, 'nameAlg'),
    attributes: readObjectAttributes(r),
    authPolicy: r.tpm2b('authPolicy', MAX_DIGEST_BYTES),
  }
  switch (type) {
    case 'rsa':
      return {
        type,
        ...common,
        symmetric: readSymDef(r, 'symmetric'),
        scheme: readRsaScheme(r),
        keyBits: r.u16('keyBits'),
        exponent: r.u32('exponent'),
        unique: r.tpm2b('unique', MAX_RSA_BYTES),
      }
    case 'ecc':
      return {
        type,
        ...common,
        symmetric: readSymDef(r, 'symmetric'),
        scheme: readEccScheme(r),
        curve: readCurve(r, 'curveID'),
        kdf: readKdfScheme(r),
        unique: {
          x: r.tpm2b('unique.x', MAX_ECC_PARAMETER_BYTES),
          y: r.tpm2b('unique.y', MAX_ECC_PARAMETER_BYTES),
        },
      }
    case 'keyedhash':
      return {
        type,
        ...common,
        scheme: readKeyedHashScheme(r),
        unique: r.tpm2b('unique', MAX_DIGEST_BYTES),
      }
    case 'symcipher':
      return {
        type,
        ...common,
        symmetric: readSymDef(r, 'sym'),
        unique: r.tpm2b('unique', MAX_DIGEST_BYTES),
      }
  }
}

/** TPMT_PUBLIC in wire form, without a TPM2B size. */
export function encodePublic(value: TpmPublic): Uint8Array {
  const w = new WireWriter()
  writePublic(w, value)
  return w.finish()
}

/** TPM2B_PUBLIC in wire form, as TPM2_CreatePrimary and TPM2_LoadExternal take it. */
export function encodeSizedPublic(value: TpmPublic): Uint8Array {
  return new WireWriter().sized((w) => writePublic(w, value)).finish()
}

function writePublic(w: WireWriter, value: TpmPublic): void {
  w.u16(TYPE_IDS[value.type]).u16(hashId(value.nameAlg)).u32(value.attributes).tpm2b(value.authPolicy)
  switch (value.type) {
    case 'rsa':
      writeSymDef(w, value.symmetric)
      writeRsaScheme(w, value.scheme)
      w.u16(value.keyBits).u32(value.exponent).tpm2b(value.unique)
      break
    case 'ecc':
      writeSymDef(w, value.symmetric)
      writeEccScheme(w, value.scheme)
      w.u16(curveId(value.curve))
      writeKdfScheme(w, value.kdf)
      w.tpm2b(value.unique.x).tpm2b(value.unique.y)
      break
    case 'keyedhash':
      writeKeyedHashScheme(w, value.scheme)
      w.tpm2b(value.unique)
      break
    case 'symcipher':
      writeSymDef(w, value.symmetric)
      w.tpm2b(value.unique)
  }
}

const TYPE_IDS: Readonly<Record<TpmPublic['type'], number>> = {
  rsa: TPM_ALG_RSA,
  ecc: TPM_ALG_ECC,
  keyedhash: TPM_ALG_KEYEDHASH,
  symcipher: TPM_ALG_SYMCIPHER,
}

// The keys of the table are its closed union, which Object.entries widens to string.
const TYPES = new Map(Object.entries(TYPE_IDS).map(([name, id]) => [id, name as TpmPublic['type']]))
