import { concatBytes, equalBytes } from '../base/index.ts'
import { digest, type HashAlgorithm, hashSize } from '../crypto/index.ts'
import {
  TPM_CC_PolicyAuthorize,
  TPM_CC_PolicyCommandCode,
  TPM_CC_PolicyCounterTimer,
  TPM_CC_PolicyNV,
  TPM_CC_PolicyOR,
  TPM_CC_PolicyPCR,
  TPM_CC_PolicySecret,
  TPM_CC_PolicySigned,
} from './constants.ts'
import type { PcrSelection, PcrValue } from './pcr.ts'
import { pcrDigest } from './pcr-digest.ts'
import { encodePcrSelections } from './pcr-selection.ts'

const NO_REF = new Uint8Array(0)
const MAX_BRANCHES = 8

/**
 * What a policy session's digest becomes, command by command:
 * `startPolicy('sha256').counterTimer(...).pcr(...).digest`. Each step gives a new value and leaves the old one as it
 * was.
 * Source: TPM 2.0 Part 3 r1.59 §23; Part 1 r1.59 §19.7.
 */
export interface PolicyDigest {
  readonly alg: HashAlgorithm
  readonly digest: Uint8Array

  /**
   * PolicyPCR: the registers have these values now. Source: Part 3 §23.7.
   *
   * @param values of exactly the selected registers, any order
   * @throws RangeError when one is missing, repeated, of the wrong size or not selected
   */
  pcr(selections: readonly PcrSelection[], values: readonly PcrValue[]): PolicyDigest

  /**
   * PolicyCounterTimer: a part of TPMS_TIME_INFO compares so with the operand. Source: §23.10.
   *
   * @param operandB big-endian, as long as the compared field
   * @param offset from TIME_INFO_OFFSET
   * @param operation a TPM_EO_ constant
   */
  counterTimer(operandB: Uint8Array, offset: number, operation: number): PolicyDigest

  /** PolicyNV: contents of an index compare so with the operand. Source: §23.9. @param nvName from nvName() */
  nv(operandB: Uint8Array, offset: number, operation: number, nvName: Uint8Array): PolicyDigest

  /** PolicySigned: the holder of the key with that Name signed this session. Source: §23.3. */
  signed(keyName: Uint8Array, policyRef?: Uint8Array): PolicyDigest

  /** PolicySecret: the caller knows the authValue of the entity with that Name. Source: §23.4. */
  secret(entityName: Uint8Array, policyRef?: Uint8Array): PolicyDigest

  /**
   * PolicyAuthorize: whatever was satisfied so far is approved by the key with that Name; what it was no longer matters
   * to the digest.
   * Source: §23.16.
   */
  authorize(keyName: Uint8Array, policyRef?: Uint8Array): PolicyDigest

  /** PolicyCommandCode: only for that command. Source: §23.11. */
  commandCode(code: number): PolicyDigest

  /**
   * PolicyOR: one of the branches. Source: §23.6.
   *
   * @param branches 2..8 policy digests; the digest so far must be among them
   * @throws RangeError otherwise, as the TPM would refuse
   */
  or(branches: readonly Uint8Array[]): PolicyDigest
}

/** A fresh policy session: a digest of zeros. */
export function startPolicy(alg: HashAlgorithm): PolicyDigest {
  return make(alg, new Uint8Array(hashSize(alg)))
}

/**
 * What the holder of an authorising key signs for PolicyAuthorize; the TPM hashes it with the key's nameAlg.
 * Source: Part 3 r1.59 §23.16.
 */
export function policyAuthorizeMessage(approvedPolicy: Uint8Array, policyRef: Uint8Array = NO_REF): Uint8Array {
  return concatBytes(approvedPolicy, policyRef)
}

/**
 * What is signed for PolicySigned. Source: Part 3 r1.59 §23.3.
 *
 * @param nonceTpm of the session, empty when the signature is not bound to one
 * @param expirationSeconds signed; negative asks the TPM for a ticket, 0 does not expire
 * @param cpHash empty when any command may follow
 */
export function policySignedMessage(
  nonceTpm: Uint8Array,
  expirationSeconds: number,
  cpHash: Uint8Array,
  policyRef: Uint8Array = NO_REF,
): Uint8Array {
  const expiration = new Uint8Array(4)
  if (expirationSeconds !== (expirationSeconds | 0)) throw new RangeError(`expiration ${expirationSeconds} is no INT32`)
  new DataView(expiration.buffer).setInt32(0, expirationSeconds)
  return concatBytes(nonceTpm, expiration, cpHash, policyRef)
}

function make(alg: HashAlgorithm, current: Uint8Array): PolicyDigest {
  const extend = (code: number, ...parts: Uint8Array[]) => digest(alg, current, u32(code), ...parts)
  // PolicyUpdate(): the second hash keeps Name and policyRef apart (§23.2.3).
  const update = (from: Uint8Array, code: number, name: Uint8Array, ref: Uint8Array) =>
    make(alg, digest(alg, digest(alg, from, u32(code), name), ref))
  const compared = (operandB: Uint8Array, offset: number, operation: number) =>
    digest(alg, operandB, u16(offset), u16(operation))
  return {
    alg,
    digest: current,
    pcr: (selections, values) =>
      make(alg, extend(TPM_CC_PolicyPCR, encodePcrSelections(selections), pcrDigest(alg, selections, values))),
    counterTimer: (operandB, offset, operation) =>
      make(alg, extend(TPM_CC_PolicyCounterTimer, compared(operandB, offset, operation))),
    nv: (operandB, offset, operation, nvName) =>
      make(alg, extend(TPM_CC_PolicyNV, compared(operandB, offset, operation), nvName)),
    signed: (keyName, ref = NO_REF) => update(current, TPM_CC_PolicySigned, keyName, ref),
    secret: (entityName, ref = NO_REF) => update(current, TPM_CC_PolicySecret, entityName, ref),
    authorize: (keyName, ref = NO_REF) => update(new Uint8Array(hashSize(alg)), TPM_CC_PolicyAuthorize, keyName, ref),
    commandCode: (code) => make(alg, extend(TPM_CC_PolicyCommandCode, u32(code))),
    or(branches) {
      if (branches.length < 2 || branches.length > MAX_BRANCHES) {
        throw new RangeError(`PolicyOR takes 2..${MAX_BRANCHES} branches, got ${branches.length}`)
      }
      for (const b of branches) {
        if (b.length !== hashSize(alg)) throw new RangeError(`a branch has ${b.length} bytes, wanted ${hashSize(alg)}`)
      }
      if (!branches.some((b) => equalBytes(b, current)))
        throw new RangeError('the digest so far is none of the branches')
      return make(alg, digest(alg, new Uint8Array(hashSize(alg)), u32(TPM_CC_PolicyOR), ...branches))
    },
  }
}

function u16(value: number): Uint8Array {
  if (!Number.isInteger(value) || value < 0 || value > 0xffff) throw new RangeError(`${value} is no UINT16`)
  return Uint8Array.of(value >> 8, value & 0xff)
}

function u32(value: number): Uint8Array {
  const out = new Uint8Array(4)
  new DataView(out.buffer).setUint32(0, value)
  return out
}
