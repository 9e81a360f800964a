import { fromHex } from '../base/index.ts'
import { objectAttributes } from './attributes.ts'
import type { EccPublic, RsaPublic } from './public.ts'
import type { SymCipher } from './schemes.ts'

const AES_128_CFB: SymCipher = { alg: 'aes', keyBits: 128, mode: 'cfb' }
const AES_256_CFB: SymCipher = { alg: 'aes', keyBits: 256, mode: 'cfb' }
const EMPTY = new Uint8Array(0)
const NO_POINT = { x: EMPTY, y: EMPTY }

/** PolicyA: PolicySecret(TPM_RH_ENDORSEMENT). Source: TCG EK Credential Profile 2.5, annex B.6.2. */
export const EK_POLICY_A_SHA256 = fromHex('837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa')
/** PolicyB: PolicyOR of PolicyA and PolicyC (PolicyAuthorizeNV) in the same hash. Source: the same, annex B.6.5. */
export const EK_POLICY_B_SHA256 = fromHex('ca3d0a99a2b93906f7a3342414efcfb3a385d44cd1fd459089d19b5071c0b7a0')
export const EK_POLICY_B_SHA384 = fromHex(
  'b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09699646150f9fc000f3f80e12',
)
export const EK_POLICY_B_SHA512 = fromHex(
  'b8221ca69e8550a4914de3faa6a18c072cc01208073a928d5d66d59ef79e49a429c41a6b269571d57edb25fbdb1838425608b413cd616a5f6db5b6071af99bea',
)

const STORAGE = ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'restricted', 'decrypt'] as const
const EK_LOW = objectAttributes(...STORAGE, 'adminWithPolicy')
const EK_HIGH = objectAttributes(...STORAGE, 'adminWithPolicy', 'userWithAuth')

/** A TCG template for TPM2_CreatePrimary under TPM_RH_ENDORSEMENT, and where its certificate is in NV. */
export interface EkTemplate {
  readonly id: 'L-1' | 'L-2' | 'H-1' | 'H-2' | 'H-3' | 'H-4' | 'H-6' | 'H-7'
  readonly certificateIndex: number
  readonly public: RsaPublic | EccPublic
}

/**
 * The EK templates of the low and the high range; H-5 (SM2) is left out.
 * Source: TCG EK Credential Profile 2.5, annex B.3 and B.4. The low range fills `unique` with zeros, the high range
 * leaves it empty.
 */
export const EK_TEMPLATES: readonly EkTemplate[] = [
  { id: 'L-1', certificateIndex: 0x01c00002, public: rsaEk('sha256', 2048, AES_128_CFB, EK_POLICY_A_SHA256, EK_LOW) },
  {
    id: 'L-2',
    certificateIndex: 0x01c0000a,
    public: eccEk('sha256', 'P-256', AES_128_CFB, EK_POLICY_A_SHA256, EK_LOW),
  },
  { id: 'H-1', certificateIndex: 0x01c00012, public: rsaEk('sha256', 2048, AES_128_CFB, EK_POLICY_B_SHA256, EK_HIGH) },
  {
    id: 'H-2',
    certificateIndex: 0x01c00014,
    public: eccEk('sha256', 'P-256', AES_128_CFB, EK_POLICY_B_SHA256, EK_HIGH),
  },
  {
    id: 'H-3',
    certificateIndex: 0x01c00016,
    public: eccEk('sha384', 'P-384', AES_256_CFB, EK_POLICY_B_SHA384, EK_HIGH),
  },
  {
    id: 'H-4',
    certificateIndex: 0x01c00018,
    public: eccEk('sha512', 'P-521', AES_256_CFB, EK_POLICY_B_SHA512, EK_HIGH),
  },
  { id: 'H-6', certificateIndex: 0x01c0001c, public: rsaEk('sha384', 3072, AES_256_CFB, EK_POLICY_B_SHA384, EK_HIGH) },
  { id: 'H-7', certificateIndex: 0x01c0001e, public: rsaEk('sha384', 4096, AES_256_CFB, EK_POLICY_B_SHA384, EK_HIGH) },
]

/** NV range of the EK certificate chain, first and last index. Source: TCG EK Credential Profile 2.5 §2.2.1.5. */
export const EK_CHAIN_INDICES = { first: 0x01c00100, last: 0x01c001ff } as const

const AK_ATTRIBUTES = objectAttributes(
  'fixedTPM',
  'fixedParent',
  'sensitiveDataOrigin',
  'userWithAuth',
  'noDA', // a TPM in dictionary-attack lockout after power losses must still quote
  'restricted',
  'sign',
)

/** Attestation key, ECDSA over P-256 with SHA-256: the default. */
export const AK_TEMPLATE_P256: EccPublic = {
  type: 'ecc',
  nameAlg: 'sha256',
  attributes: AK_ATTRIBUTES,
  authPolicy: EMPTY,
  symmetric: { alg: 'null' },
  scheme: { alg: 'ecdsa', hash: 'sha256' },
  curve: 'P-256',
  kdf: { alg: 'null' },
  unique: NO_POINT,
}

/** Attestation key, RSASSA 2048 with SHA-256: where a TPM has no ECC. */
export const AK_TEMPLATE_RSA2048: RsaPublic = {
  type: 'rsa',
  nameAlg: 'sha256',
  attributes: AK_ATTRIBUTES,
  authPolicy: EMPTY,
  symmetric: { alg: 'null' },
  scheme: { alg: 'rsassa', hash: 'sha256' },
  keyBits: 2048,
  exponent: 0,
  unique: EMPTY,
}

/** Storage root key for the owner hierarchy. Source: TCG TPM v2.0 Provisioning Guidance 1.0 r1.0 §7.5.1. */
export const SRK_TEMPLATE_P256: EccPublic = {
  type: 'ecc',
  nameAlg: 'sha256',
  attributes: objectAttributes(...STORAGE, 'userWithAuth', 'noDA'),
  authPolicy: EMPTY,
  symmetric: AES_128_CFB,
  scheme: { alg: 'null' },
  curve: 'P-256',
  kdf: { alg: 'null' },
  unique: NO_POINT,
}

/** The same with RSA. */
export const SRK_TEMPLATE_RSA2048: RsaPublic = {
  type: 'rsa',
  nameAlg: 'sha256',
  attributes: objectAttributes(...STORAGE, 'userWithAuth', 'noDA'),
  authPolicy: EMPTY,
  symmetric: AES_128_CFB,
  scheme: { alg: 'null' },
  keyBits: 2048,
  exponent: 0,
  unique: EMPTY,
}

function rsaEk(
  nameAlg: RsaPublic['nameAlg'],
  keyBits: number,
  symmetric: SymCipher,
  authPolicy: Uint8Array,
  attributes: number,
): RsaPublic {
  const unique = attributes === EK_LOW ? new Uint8Array(keyBits / 8) : EMPTY
  return {
    type: 'rsa',
    nameAlg,
    attributes,
    authPolicy,
    symmetric,
    scheme: { alg: 'null' },
    keyBits,
    exponent: 0,
    unique,
  }
}

function eccEk(
  nameAlg: EccPublic['nameAlg'],
  curve: EccPublic['curve'],
  symmetric: SymCipher,
  authPolicy: Uint8Array,
  attributes: number,
): EccPublic {
  const unique = attributes === EK_LOW ? { x: new Uint8Array(32), y: new Uint8Array(32) } : NO_POINT // L-2 is P-256
  const [scheme, kdf] = [{ alg: 'null' }, { alg: 'null' }] as const
  return { type: 'ecc', nameAlg, attributes, authPolicy, symmetric, scheme, curve, kdf, unique }
}
