import { type Brand, CodedError, equalBytes, toHex } from '../base/index.ts'
import { KeyError, type PublicKey, type SignatureAlgorithm, type SignatureHash } from '../crypto/index.ts'
import { attributeNames, hasAttribute, type ObjectAttribute } from './attributes.ts'
import { MAX_PUBLIC_BYTES } from './constants.ts'
import { DEFAULT_RSA_EXPONENT, publicKeyOf } from './key.ts'
import { objectName } from './name.ts'
import { decodePublic, type EccPublic, type RsaPublic, type TpmPublic } from './public.ts'
import { WireError } from './wire.ts'

/** Why a public area is not that of an attestation key, one sentence each. */
export const AK_ERRORS = {
  AK_TOO_LARGE: 'The public area is larger than any TPM makes one.',
  AK_MALFORMED: 'The bytes are no TPMT_PUBLIC; the cause says where.',
  AK_TRAILING_BYTES: 'Bytes are left over after the TPMT_PUBLIC.',
  AK_TYPE: 'The object is neither an RSA nor an ECC key.',
  AK_NAME_ALG_WEAK: 'Its Name is made with SHA-1, so another public area with that Name could be found.',
  AK_NOT_FIXED_TPM: 'fixedTPM is clear: the key can leave its TPM.',
  AK_NOT_FIXED_PARENT: 'fixedParent is clear: the key can be duplicated to another parent.',
  AK_NOT_TPM_GENERATED: 'sensitiveDataOrigin is clear: somebody outside the TPM chose the private key.',
  AK_NOT_RESTRICTED: 'restricted is clear: the key also signs forged TPM structures.',
  AK_NOT_SIGNING: 'sign is clear: the key cannot have signed.',
  AK_DECRYPTS: 'decrypt is set: the key has a second use.',
  AK_SYMMETRIC: 'A symmetric algorithm is set, which only a storage key has.',
  AK_KDF: 'A key derivation scheme is set, which only a key for key agreement has.',
  AK_SCHEME_NULL: 'The key has no scheme of its own, so whoever uses it chooses one.',
  AK_SCHEME_UNKNOWN: 'The scheme is none of RSASSA, RSAPSS and ECDSA.',
  AK_HASH_WEAK: 'The scheme signs SHA-1 digests.',
  AK_RSA_TOO_SMALL: 'The RSA modulus has fewer than 2048 bits.',
  AK_RSA_EXPONENT: 'The RSA exponent is neither 0 nor 65537.',
  AK_CURVE: 'The curve is none of P-256, P-384 and P-521.',
  AK_KEY_INVALID: 'The public key is none: a point off its curve, or a modulus of another size.',
  AK_AUTH_POLICY: 'The authPolicy is not the expected one.',
  AK_NAME_MISMATCH: 'The Name is not the one that was enrolled.',
} as const satisfies Record<string, string>

export type AkErrorCode = keyof typeof AK_ERRORS

/** A public area that must not be used as an attestation key. */
export class AkError extends CodedError<AkErrorCode> {}

/** What the verifier knows of the key beforehand. */
export interface AkExpectation {
  /** Name from enrolment; absent only while enrolling. */
  readonly name?: Uint8Array
  /** Absent means that the key must have none. */
  readonly authPolicy?: Uint8Array
}

/**
 * A public area with the attributes of an attestation key, and its key ready for use. That it lives in a TPM is shown
 * by credential activation with `name`, not by this. Keep it for as long as the node is known: it spares parsing the
 * key for each quote.
 */
export type VerifiedAk = Brand<
  {
    readonly public: RsaPublic | EccPublic
    readonly name: Uint8Array
    readonly key: PublicKey
    readonly scheme: { readonly alg: SignatureAlgorithm; readonly hash: SignatureHash }
  },
  'VerifiedAk'
>

/**
 * Rule 19: the bits that make a signature by this key mean something. userWithAuth, adminWithPolicy, noDA and stClear
 * are free.
 */
const REQUIRED: readonly (readonly [ObjectAttribute, AkErrorCode])[] = [
  ['fixedTPM', 'AK_NOT_FIXED_TPM'],
  ['fixedParent', 'AK_NOT_FIXED_PARENT'],
  ['sensitiveDataOrigin', 'AK_NOT_TPM_GENERATED'],
  ['restricted', 'AK_NOT_RESTRICTED'],
  ['sign', 'AK_NOT_SIGNING'],
]
const MIN_RSA_BITS = 2048
const NO_POLICY = new Uint8Array(0)

/**
 * Checks that a public area is one of an attestation key: a key that only its TPM has, and that signs nothing but the
 * TPM's own structures.
 *
 * @param akPublic TPMT_PUBLIC as received
 * @throws AkError
 */
export function verifyAkPublic(akPublic: Uint8Array, expected: AkExpectation): VerifiedAk {
  if (akPublic.length > MAX_PUBLIC_BYTES) {
    throw new AkError('AK_TOO_LARGE', `AK public area of ${akPublic.length} bytes, at most ${MAX_PUBLIC_BYTES}`)
  }
  const ak = decode(akPublic)
  if (ak.type !== 'rsa' && ak.type !== 'ecc')
    throw new AkError('AK_TYPE', `AK is a ${ak.type} object, wanted RSA or ECC`)
  if (ak.nameAlg === 'sha1') throw new AkError('AK_NAME_ALG_WEAK', 'AK nameAlg is SHA-1, wanted SHA-256 or better')
  for (const [attribute, code] of REQUIRED) {
    if (!hasAttribute(ak.attributes, attribute)) throw attributeError(code, ak, `lack ${attribute}`)
  }
  if (hasAttribute(ak.attributes, 'decrypt')) throw attributeError('AK_DECRYPTS', ak, 'have decrypt')
  if (ak.symmetric.alg !== 'null') throw new AkError('AK_SYMMETRIC', `AK has symmetric algorithm ${ak.symmetric.alg}`)
  const scheme = signingScheme(ak)
  checkStrength(ak)
  const authPolicy = expected.authPolicy ?? NO_POLICY
  if (!equalBytes(ak.authPolicy, authPolicy)) {
    throw new AkError('AK_AUTH_POLICY', `AK authPolicy is '${toHex(ak.authPolicy)}', wanted '${toHex(authPolicy)}'`)
  }
  const name = objectName(akPublic)
  if (expected.name !== undefined && !equalBytes(name, expected.name)) {
    throw new AkError('AK_NAME_MISMATCH', `AK Name is ${toHex(name)}, enrolled was ${toHex(expected.name)}`)
  }
  // The checks above are this brand's constructor.
  return { public: ak, name, key: importKey(ak), scheme } as VerifiedAk
}

function decode(akPublic: Uint8Array): TpmPublic {
  try {
    return decodePublic(akPublic)
  } catch (cause) {
    if (!(cause instanceof WireError)) throw cause
    throw new AkError(wireCode(cause), cause.message, { cause })
  }
}

const BAD_VALUE_CODES: Readonly<Record<string, AkErrorCode>> = {
  type: 'AK_TYPE',
  scheme: 'AK_SCHEME_UNKNOWN',
  curveID: 'AK_CURVE',
}

function wireCode(err: WireError): AkErrorCode {
  if (err.code === 'WIRE_TRAILING_BYTES') return 'AK_TRAILING_BYTES'
  return (err.code === 'WIRE_BAD_VALUE' ? BAD_VALUE_CODES[err.field] : undefined) ?? 'AK_MALFORMED'
}

function signingScheme(ak: RsaPublic | EccPublic): VerifiedAk['scheme'] {
  const { scheme } = ak
  switch (scheme.alg) {
    case 'rsassa':
    case 'rsapss':
    case 'ecdsa':
      if (scheme.hash === 'sha1') throw new AkError('AK_HASH_WEAK', `AK scheme is ${scheme.alg} with SHA-1`)
      return { alg: scheme.alg, hash: scheme.hash }
    case 'null':
      throw new AkError('AK_SCHEME_NULL', 'AK has no scheme of its own, wanted RSASSA, RSAPSS or ECDSA')
    default:
      throw new AkError('AK_SCHEME_UNKNOWN', `AK scheme is ${scheme.alg}, wanted RSASSA, RSAPSS or ECDSA`)
  }
}

function checkStrength(ak: RsaPublic | EccPublic): void {
  if (ak.type === 'ecc') {
    if (ak.kdf.alg !== 'null') throw new AkError('AK_KDF', `AK has key derivation scheme ${ak.kdf.alg}`)
    return
  }
  if (ak.keyBits < MIN_RSA_BITS) {
    throw new AkError('AK_RSA_TOO_SMALL', `AK is RSA-${ak.keyBits}, wanted ${MIN_RSA_BITS} bits or more`)
  }
  if (ak.exponent !== 0 && ak.exponent !== DEFAULT_RSA_EXPONENT) {
    throw new AkError('AK_RSA_EXPONENT', `AK has exponent ${ak.exponent}, wanted 0 or ${DEFAULT_RSA_EXPONENT}`)
  }
}

function importKey(ak: RsaPublic | EccPublic): PublicKey {
  try {
    return publicKeyOf(ak)
  } catch (cause) {
    if (cause instanceof KeyError) throw new AkError('AK_KEY_INVALID', `AK: ${cause.message}`, { cause })
    throw cause
  }
}

function attributeError(code: AkErrorCode, ak: TpmPublic, what: string): AkError {
  return new AkError(code, `AK attributes ${what}: ${attributeNames(ak.attributes).join(', ')}`)
}
