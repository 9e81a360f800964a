import { equalBytes, toHex } from '../base/index.ts'
import { type DetachedSignature, ecdsaDer, verifySignature } from '../crypto/index.ts'
import type { VerifiedAk } from './ak.ts'
import type { AttestHeader } from './attest.ts'
import { AttestError, type AttestErrorCode } from './attest-errors.ts'
import type { ClockInfo } from './clock.ts'
import { MAX_ATTEST_BYTES, MAX_SIGNATURE_BYTES } from './constants.ts'
import { nameHash, type QualifiedParent, qualifiedName } from './name.ts'
import { decodeSignature, type TpmSignature } from './signature.ts'
import { WireError } from './wire.ts'

/** A structure a TPM signed, and what the verifier asked for. */
export interface SignedAttest {
  /** TPMS_ATTEST as received: the signature is checked over these octets. */
  readonly attest: Uint8Array
  /** TPMT_SIGNATURE as received. */
  readonly signature: Uint8Array
  readonly ak: VerifiedAk
  /** The challenge, e.g. from bindingDigest(). */
  readonly expectedExtraData: Uint8Array
  /** What the AK hangs under, where the verifier knows it; absent, only the form of qualifiedSigner is checked. */
  readonly akParent?: QualifiedParent
}

/** What any attest structure proves of its TPM, once verified. */
export interface ProvenHeader {
  readonly akName: Uint8Array
  readonly qualifiedSigner: Uint8Array
  readonly extraData: Uint8Array
  /** Counters of an AK outside the endorsement and platform hierarchies are obfuscated: see verifyTime(). */
  readonly clockInfo: ClockInfo
  /** Likewise. */
  readonly firmwareVersion: bigint
}

/** A structure that passed every check but that of its signature. */
export interface Unsigned<Claimed extends AttestHeader> {
  readonly claimed: Claimed
  readonly signature: DetachedSignature
}

/**
 * The checks that every kind of attest structure has in common, cheapest first, without the signature's.
 *
 * @throws AttestError
 */
export function checkAttest<Claimed extends AttestHeader>(
  input: SignedAttest,
  decode: (attest: Uint8Array) => Claimed,
): Unsigned<Claimed> {
  const claimed = decodeClaims(input.attest, decode)
  const signature = checkScheme(decodeTpmSignature(input.signature), input.ak)
  checkExtraData(claimed.extraData, input.expectedExtraData)
  checkSigner(claimed.qualifiedSigner, input.ak, input.akParent)
  return { claimed, signature }
}

/** The same, and the signature. @throws AttestError */
export function verifyAttest<Claimed extends AttestHeader>(
  input: SignedAttest,
  decode: (attest: Uint8Array) => Claimed,
): Claimed {
  const { claimed, signature } = checkAttest(input, decode)
  requireValid(verifySignature(input.ak.key, signature, input.attest), input.ak)
  return claimed
}

/** @throws AttestError ATTEST_SIGNATURE_INVALID */
export function requireValid(valid: boolean, ak: VerifiedAk): void {
  if (!valid) throw refuse('ATTEST_SIGNATURE_INVALID', `the signature is not by AK ${toHex(ak.name)} over these bytes`)
}

/** The proven part that all kinds share. */
export function provenHeader(claimed: AttestHeader, ak: VerifiedAk): ProvenHeader {
  const { qualifiedSigner, extraData, clockInfo, firmwareVersion } = claimed
  return { akName: ak.name, qualifiedSigner, extraData, clockInfo, firmwareVersion }
}

function decodeClaims<Claimed>(attest: Uint8Array, decode: (attest: Uint8Array) => Claimed): Claimed {
  if (attest.length > MAX_ATTEST_BYTES) {
    throw refuse('ATTEST_TOO_LARGE', `attest structure of ${attest.length} bytes, at most ${MAX_ATTEST_BYTES}`)
  }
  try {
    return decode(attest)
  } catch (cause) {
    if (!(cause instanceof WireError)) throw cause
    throw refuse(claimsCode(cause), cause.message, cause)
  }
}

function claimsCode(err: WireError): AttestErrorCode {
  if (err.code === 'WIRE_TRAILING_BYTES') return 'ATTEST_TRAILING_BYTES'
  if (err.code === 'WIRE_BAD_VALUE' && err.field === 'magic') return 'ATTEST_MAGIC'
  if (err.code === 'WIRE_BAD_VALUE' && err.field === 'type') return 'ATTEST_TYPE'
  if (err.code === 'WIRE_BAD_VALUE' && err.field.endsWith('.sizeofSelect')) return 'QUOTE_SELECTION_FORM'
  if (err.code === 'WIRE_BAD_VALUE' && /^pcrSelections\[\d+\]\.hash$/.test(err.field)) return 'QUOTE_BANK_UNKNOWN'
  return 'ATTEST_MALFORMED'
}

function decodeTpmSignature(signature: Uint8Array): TpmSignature {
  if (signature.length > MAX_SIGNATURE_BYTES) {
    throw refuse('ATTEST_TOO_LARGE', `signature of ${signature.length} bytes, at most ${MAX_SIGNATURE_BYTES}`)
  }
  try {
    return decodeSignature(signature)
  } catch (cause) {
    if (!(cause instanceof WireError)) throw cause
    throw refuse(signatureCode(cause), cause.message, cause)
  }
}

function signatureCode(err: WireError): AttestErrorCode {
  if (err.code === 'WIRE_TRAILING_BYTES') return 'ATTEST_TRAILING_BYTES'
  if (err.code === 'WIRE_BAD_VALUE' && err.field === 'sigAlg') return 'ATTEST_SCHEME_UNKNOWN'
  if (err.code === 'WIRE_BAD_VALUE' && err.field === 'hash') return 'ATTEST_HASH_UNKNOWN'
  return 'ATTEST_SIGNATURE_MALFORMED'
}

/** Rule 3: a scheme from the closed list, and the key's own. */
function checkScheme(signature: TpmSignature, ak: VerifiedAk): DetachedSignature {
  const { alg, hash } = signature
  if (hash === 'sha1') throw refuse('ATTEST_HASH_WEAK', `signature is ${alg} over SHA-1`)
  if (alg !== ak.scheme.alg) {
    throw refuse('ATTEST_SCHEME_MISMATCH', `signature is ${alg}, the AK's scheme is ${ak.scheme.alg}`)
  }
  if (hash !== ak.scheme.hash) {
    throw refuse('ATTEST_HASH_MISMATCH', `signature is over ${hash}, the AK's scheme has ${ak.scheme.hash}`)
  }
  return { alg, hash, bytes: alg === 'ecdsa' ? ecdsaDer(signature.r, signature.s) : signature.sig }
}

/**
 * Rules 4 and 6. There is no accepting path for an empty challenge: an empty extraData is refused whatever was
 * expected.
 */
function checkExtraData(got: Uint8Array, expected: Uint8Array): void {
  if (got.length === 0) throw refuse('ATTEST_EXTRA_DATA_EMPTY', 'extraData is empty: the challenge was not answered')
  if (got.length !== expected.length) {
    throw refuse('ATTEST_EXTRA_DATA_LENGTH', `extraData has ${got.length} bytes, the challenge has ${expected.length}`)
  }
  if (!equalBytes(got, expected)) {
    throw refuse('ATTEST_EXTRA_DATA_MISMATCH', `extraData is ${toHex(got)}, the challenge was ${toHex(expected)}`)
  }
}

/** Rule 24. */
function checkSigner(got: Uint8Array, ak: VerifiedAk, parent: QualifiedParent | undefined): void {
  if (nameHash(got) !== ak.public.nameAlg || equalBytes(got, ak.name)) {
    throw refuse('ATTEST_SIGNER_UNQUALIFIED', `qualifiedSigner '${toHex(got)}' is no qualified Name of this AK`)
  }
  if (parent === undefined) return
  const wanted = qualifiedNameOf(ak, parent)
  if (!equalBytes(got, wanted)) {
    throw refuse('ATTEST_SIGNER_MISMATCH', `qualifiedSigner is ${toHex(got)}, under its parent it is ${toHex(wanted)}`)
  }
}

/** The same for every quote of an AK, so it is hashed once. */
const qualifiedNames = new WeakMap<VerifiedAk, { readonly parent: QualifiedParent; readonly name: Uint8Array }>()

function qualifiedNameOf(ak: VerifiedAk, parent: QualifiedParent): Uint8Array {
  const had = qualifiedNames.get(ak)
  if (had?.parent === parent) return had.name
  const name = qualifiedName(parent, ak.name)
  qualifiedNames.set(ak, { parent, name })
  return name
}

function refuse(code: AttestErrorCode, message: string, cause?: unknown): AttestError {
  return new AttestError(code, message, { cause })
}
