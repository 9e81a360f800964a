import type { HashAlgorithm } from '../crypto/index.ts'
import { hashId, readHash } from './algorithms.ts'
import {
  MAX_ECC_PARAMETER_BYTES,
  MAX_RSA_BYTES,
  MAX_SIGNATURE_BYTES,
  TPM_ALG_ECDSA,
  TPM_ALG_RSAPSS,
  TPM_ALG_RSASSA,
} from './constants.ts'
import { hex, limitInput, WireReader, WireWriter } from './wire.ts'

/** TPMT_SIGNATURE of the schemes used here. ECDSA's r and s are unsigned, big-endian; a TPM may put zeros in front. */
export type TpmSignature =
  | { readonly alg: 'rsassa' | 'rsapss'; readonly hash: HashAlgorithm; readonly sig: Uint8Array }
  | { readonly alg: 'ecdsa'; readonly hash: HashAlgorithm; readonly r: Uint8Array; readonly s: Uint8Array }

/**
 * TPMT_SIGNATURE. Source: TPM 2.0 Part 2 r1.59 §11.3.4.
 *
 * @returns numbers that are views of `bytes`: to be checked at once, not kept
 * @throws WireError; a scheme other than RSASSA, RSAPSS and ECDSA is WIRE_BAD_VALUE in field sigAlg
 */
export function decodeSignature(bytes: Uint8Array): TpmSignature {
  limitInput(bytes, 'TPMT_SIGNATURE', MAX_SIGNATURE_BYTES)
  const r = new WireReader(bytes, 'TPMT_SIGNATURE')
  const value = readSignature(r)
  r.end()
  return value
}

function readSignature(r: WireReader): TpmSignature {
  const id = r.u16('sigAlg')
  switch (id) {
    case TPM_ALG_RSASSA:
    case TPM_ALG_RSAPSS:
      return {
        alg: id === TPM_ALG_RSASSA ? 'rsassa' : 'rsapss',
        hash: readHash(r, 'hash'),
        sig: r.tpm2bView('sig', MAX_RSA_BYTES),
      }
    case TPM_ALG_ECDSA:
      return {
        alg: 'ecdsa',
        hash: readHash(r, 'hash'),
        r: r.tpm2bView('signatureR', MAX_ECC_PARAMETER_BYTES),
        s: r.tpm2bView('signatureS', MAX_ECC_PARAMETER_BYTES),
      }
    default:
      throw r.badValue('sigAlg', 2, `${hex(id, 4)} is none of RSASSA, RSAPSS, ECDSA`)
  }
}

/** TPMT_SIGNATURE in wire form, e.g. for TPM2_VerifySignature and TPM2_PolicySigned. */
export function encodeSignature(value: TpmSignature): Uint8Array {
  const w = new WireWriter()
  switch (value.alg) {
    case 'rsassa':
    case 'rsapss':
      w.u16(value.alg === 'rsassa' ? TPM_ALG_RSASSA : TPM_ALG_RSAPSS)
        .u16(hashId(value.hash))
        .tpm2b(value.sig)
      break
    case 'ecdsa':
      w.u16(TPM_ALG_ECDSA).u16(hashId(value.hash)).tpm2b(value.r).tpm2b(value.s)
  }
  return w.finish()
}
