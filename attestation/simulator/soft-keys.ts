import { constants, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { leftPad } from '../crypto/index.ts'
import {
  AK_TEMPLATE_P256,
  AK_TEMPLATE_RSA2048,
  EK_TEMPLATES,
  encodePublic,
  encodeSignature,
  objectName,
} from '../tpm2/index.ts'

/** Kinds of attestation keys that TPMs have. */
export type AkKind = 'p256' | 'rsa'

const P256_BYTES = 32

/** A restricted signing key, without the TPM that would keep it. */
export interface SoftAk {
  /** TPMT_PUBLIC. */
  readonly public: Uint8Array
  readonly name: Uint8Array
  /** @returns TPMT_SIGNATURE over the bytes, whatever they are */
  sign(attest: Uint8Array): Uint8Array
}

/** An endorsement key on P-256. */
export interface SoftEk {
  /** TPMT_PUBLIC. */
  readonly public: Uint8Array
  readonly privateKey: KeyObject
}

/** The two keys of a software TPM. */
export interface SoftKeys {
  readonly ek: SoftEk
  readonly ak: SoftAk
}

/** @returns a new private key: P-256, or RSA with 2048 bits, which takes a hundred times longer to make */
export function newPrivateKey(kind: AkKind): KeyObject {
  return kind === 'rsa'
    ? generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
    : generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
}

/** @throws what the platform throws for bytes that are no PKCS #8 key */
export function importPrivateKey(der: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' })
}

/** The EK of this key, as the P-256 template has it. @throws TypeError when the key is of another kind */
export function softEk(privateKey: KeyObject): SoftEk {
  const template = EK_TEMPLATES.find((t) => t.public.type === 'ecc' && t.public.curve === 'P-256')?.public
  if (template?.type !== 'ecc') throw new TypeError('there is a template for P-256 EKs')
  return { public: encodePublic({ ...template, unique: point(privateKey) }), privateKey }
}

/**
 * The AK of this key.
 *
 * @param attributes other TPMA_OBJECT bits than an attestation key has, to be refused
 */
export function softAk(privateKey: KeyObject, attributes: number = AK_TEMPLATE_P256.attributes): SoftAk {
  const rsa = privateKey.asymmetricKeyType === 'rsa'
  const akPublic = rsa
    ? encodePublic({ ...AK_TEMPLATE_RSA2048, attributes, unique: modulus(privateKey) })
    : encodePublic({ ...AK_TEMPLATE_P256, attributes, unique: point(privateKey) })
  return {
    public: akPublic,
    name: objectName(akPublic),
    sign: (attest) => (rsa ? signRsa(privateKey, attest) : signEc(privateKey, attest)),
  }
}

/** A new AK on P-256. */
export function newAk(attributes?: number): SoftAk {
  return softAk(newPrivateKey('p256'), attributes)
}

/** Keys of a new TPM. */
export function newKeys(kind: AkKind = 'p256'): SoftKeys {
  return { ek: softEk(newPrivateKey('p256')), ak: softAk(newPrivateKey(kind)) }
}

function signEc(key: KeyObject, attest: Uint8Array): Uint8Array {
  const raw = sign('sha256', attest, { key, dsaEncoding: 'ieee-p1363' })
  return encodeSignature({
    alg: 'ecdsa',
    hash: 'sha256',
    r: raw.subarray(0, P256_BYTES),
    s: raw.subarray(P256_BYTES),
  })
}

function signRsa(key: KeyObject, attest: Uint8Array): Uint8Array {
  const sig = sign('sha256', attest, { key, padding: constants.RSA_PKCS1_PADDING })
  return encodeSignature({ alg: 'rsassa', hash: 'sha256', sig: new Uint8Array(sig) })
}

function point(privateKey: KeyObject): { x: Uint8Array; y: Uint8Array } {
  const { x = '', y = '' } = createPublicKey(privateKey).export({ format: 'jwk' })
  return { x: leftPad(fromBase64(x), P256_BYTES), y: leftPad(fromBase64(y), P256_BYTES) }
}

function modulus(privateKey: KeyObject): Uint8Array {
  return fromBase64(createPublicKey(privateKey).export({ format: 'jwk' }).n ?? '')
}

/** Not a Buffer: it is encoded, and Buffers are not Uint8Arrays to every encoder. */
function fromBase64(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'base64url'))
}
