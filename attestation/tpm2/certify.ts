import { type Brand, equalBytes, toHex } from '../base/index.ts'
import { digest } from '../crypto/index.ts'
import { decodeCertifyAttest, decodeCreationAttest } from './attest.ts'
import { AttestError, type AttestErrorCode } from './attest-errors.ts'
import { attributeNames, hasAttribute, type ObjectAttribute } from './attributes.ts'
import { type CreationData, decodeCreationData } from './creation.ts'
import { objectName, type QualifiedParent, qualifiedName } from './name.ts'
import type { PcrSelection, PcrValue } from './pcr.ts'
import { pcrDigest } from './pcr-digest.ts'
import { encodePcrSelections } from './pcr-selection.ts'
import { decodePublic, type TpmPublic } from './public.ts'
import { type ProvenHeader, provenHeader, type SignedAttest, verifyAttest } from './signed-attest.ts'
import { WireError } from './wire.ts'

/** TPM2_Certify by the AK over another key of the same TPM. */
export interface CertifyInput extends SignedAttest {
  /** TPMT_PUBLIC of the certified key, as received. */
  readonly subjectPublic: Uint8Array
  /** What it must hang under, where that matters. */
  readonly subjectParent?: QualifiedParent
}

/** A key that is in the TPM of that AK and cannot leave it. Only verifyCertify() makes one. */
export type VerifiedCertify = Brand<
  ProvenHeader & {
    readonly subject: TpmPublic
    readonly subjectName: Uint8Array
    readonly subjectQualifiedName: Uint8Array
  },
  'VerifiedCertify'
>

/** TPM2_CertifyCreation by the AK: the object was made by this TPM, in these circumstances. */
export interface CertifyCreationInput extends SignedAttest {
  /** TPMT_PUBLIC of the object, as received. */
  readonly subjectPublic: Uint8Array
  /** TPMS_CREATION_DATA as received, without a TPM2B size: see unwrapCreationData(). */
  readonly creationData: Uint8Array
  /** The state of the registers in which it must have been made, where that matters. */
  readonly pcrsAtCreation?: { readonly selection: readonly PcrSelection[]; readonly values: readonly PcrValue[] }
}

/** An object this TPM made, and how. Only verifyCertifyCreation() makes one. */
export type VerifiedCreation = Brand<
  ProvenHeader & { readonly subject: TpmPublic; readonly subjectName: Uint8Array; readonly creation: CreationData },
  'VerifiedCreation'
>

const RESIDENT: readonly (readonly [ObjectAttribute, AttestErrorCode])[] = [
  ['fixedTPM', 'CERTIFY_NOT_FIXED_TPM'],
  ['fixedParent', 'CERTIFY_NOT_FIXED_PARENT'],
  ['sensitiveDataOrigin', 'CERTIFY_NOT_TPM_GENERATED'],
]

/**
 * Checks a certified key: the AK vouches for its Name, the Name is that of the public area, and the key is one that
 * only its TPM has, for signing only or restricted.
 *
 * @throws AttestError
 */
export function verifyCertify(input: CertifyInput): VerifiedCertify {
  const claimed = verifyAttest(input, decodeCertifyAttest)
  const subject = certifiedPublic(input.subjectPublic, claimed.name)
  if (input.subjectParent !== undefined) {
    const wanted = qualifiedName(input.subjectParent, claimed.name)
    if (!equalBytes(claimed.qualifiedName, wanted)) {
      const texts = `is ${toHex(claimed.qualifiedName)}, under its parent it is ${toHex(wanted)}`
      throw new AttestError('CERTIFY_QUALIFIED_NAME_MISMATCH', `qualified Name of the certified key ${texts}`)
    }
  }
  const attributes = attributeNames(subject.attributes).join(', ')
  for (const [attribute, code] of RESIDENT) {
    if (!hasAttribute(subject.attributes, attribute)) {
      throw new AttestError(code, `attributes of the certified key lack ${attribute}: ${attributes}`)
    }
  }
  const signOnly = hasAttribute(subject.attributes, 'sign') && !hasAttribute(subject.attributes, 'decrypt')
  if (!signOnly && !hasAttribute(subject.attributes, 'restricted')) {
    throw new AttestError('CERTIFY_USE', `the certified key is neither restricted nor for signing only: ${attributes}`)
  }
  const value = { ...provenHeader(claimed, input.ak), subject, subjectName: claimed.name }
  return { ...value, subjectQualifiedName: claimed.qualifiedName } as VerifiedCertify // the checks are the constructor
}

/**
 * Checks that this TPM made an object, and in which circumstances. Attributes are left to the caller: a sealed blob has
 * other ones than a key.
 *
 * @throws AttestError; RangeError when pcrsAtCreation has not exactly the values of its selection
 */
export function verifyCertifyCreation(input: CertifyCreationInput): VerifiedCreation {
  const claimed = verifyAttest(input, decodeCreationAttest)
  const subject = certifiedPublic(input.subjectPublic, claimed.objectName)
  const got = digest(subject.nameAlg, input.creationData)
  if (!equalBytes(got, claimed.creationHash)) {
    const texts = `the creation data hashes to ${toHex(got)}, signed is ${toHex(claimed.creationHash)}`
    throw new AttestError('CREATION_HASH_MISMATCH', texts)
  }
  const creation = decodeCreation(input.creationData)
  if (input.pcrsAtCreation !== undefined) {
    const { selection, values } = input.pcrsAtCreation
    const sameRegisters = equalBytes(encodePcrSelections(creation.pcrSelections), encodePcrSelections(selection))
    if (!sameRegisters || !equalBytes(creation.pcrDigest, pcrDigest(subject.nameAlg, selection, values))) {
      throw new AttestError(
        'CREATION_PCR_MISMATCH',
        'the object was made with other registers, or other values in them',
      )
    }
  }
  const value = { ...provenHeader(claimed, input.ak), subject, subjectName: claimed.objectName, creation }
  return value as VerifiedCreation // the checks are the constructor
}

function certifiedPublic(subjectPublic: Uint8Array, certifiedName: Uint8Array): TpmPublic {
  let subject: TpmPublic
  try {
    subject = decodePublic(subjectPublic)
  } catch (cause) {
    if (!(cause instanceof WireError)) throw cause
    throw new AttestError('CERTIFY_KEY_MALFORMED', cause.message, { cause })
  }
  const name = objectName(subjectPublic)
  if (!equalBytes(name, certifiedName)) {
    const texts = `Name of the public area is ${toHex(name)}, certified is ${toHex(certifiedName)}`
    throw new AttestError('CERTIFY_NAME_MISMATCH', texts)
  }
  return subject
}

function decodeCreation(bytes: Uint8Array): CreationData {
  try {
    return decodeCreationData(bytes)
  } catch (cause) {
    if (!(cause instanceof WireError)) throw cause
    throw new AttestError('CREATION_DATA_MALFORMED', cause.message, { cause })
  }
}
