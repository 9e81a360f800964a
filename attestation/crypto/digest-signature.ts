import { constants, createPublicKey, type KeyObject, publicDecrypt } from 'node:crypto'
import { CURVES, type Curve, verifyEcdsaDigest } from './ecdsa-digest.ts'
import { digest, type HashAlgorithm } from './hash.ts'
import { KeyError } from './public-key.ts'

/** A key that signs digests of files: other curves than a TPM's may occur. Parsed once; keep it. */
export type FileKey = {
  /** SHA-1 of the subjectPublicKey's bits: RFC 5280 §4.2.1.2 method 1. Names the key, proves nothing. */
  readonly identifier: Uint8Array
} & (
  | { readonly kind: 'rsa'; readonly bits: number; readonly keyObject: KeyObject }
  | { readonly kind: 'ec'; readonly curve: Curve; readonly q: readonly [bigint, bigint] }
)

/** Hashes whose signatures are accepted; SHA-1 is none of them. */
export type FileHash = Exclude<HashAlgorithm, 'sha1'> | 'sha224'

/** Front of a DigestInfo in DER, up to the digest. Source: RFC 8017 §9.2 note 1. */
const DIGEST_INFO: Readonly<Record<FileHash, string>> = {
  sha224: '302d300d06096086480165030402040500041c',
  sha256: '3031300d060960864801650304020105000420',
  sha384: '3041300d060960864801650304020205000430',
  sha512: '3051300d060960864801650304020305000440',
}
const DIGEST_BYTES: Readonly<Record<FileHash, number>> = { sha224: 28, sha256: 32, sha384: 48, sha512: 64 }
const MIN_RSA_BITS = 1024

/**
 * @param der SubjectPublicKeyInfo; RSA, or EC on P-256, P-384, P-521 or secp256k1
 * @throws KeyError KEY_INVALID, KEY_UNSUPPORTED
 */
export function importFileKey(der: Uint8Array): FileKey {
  let keyObject: KeyObject
  try {
    keyObject = createPublicKey({ key: Buffer.from(der), format: 'der', type: 'spki' })
  } catch (cause) {
    throw new KeyError('KEY_INVALID', `not a SubjectPublicKeyInfo of ${der.length} bytes`, { cause })
  }
  const bits = keyObject.asymmetricKeyDetails?.modulusLength
  if (keyObject.asymmetricKeyType === 'rsa' && bits !== undefined) {
    if (bits < MIN_RSA_BITS) throw new KeyError('KEY_UNSUPPORTED', `RSA-${bits} is too short to sign anything`)
    return {
      kind: 'rsa',
      bits,
      keyObject,
      identifier: digest('sha1', keyObject.export({ format: 'der', type: 'pkcs1' })),
    }
  }
  const jwk = ecJwk(keyObject)
  const curve = jwk === undefined || !Object.hasOwn(CURVES, jwk.crv) ? undefined : CURVES[jwk.crv]
  if (jwk === undefined || curve === undefined) {
    throw new KeyError(
      'KEY_UNSUPPORTED',
      `a ${keyObject.asymmetricKeyType} key that is neither RSA nor on ${Object.keys(CURVES).join(', ')}`,
    )
  }
  const point = Buffer.concat([Uint8Array.of(4), Buffer.from(jwk.x, 'base64url'), Buffer.from(jwk.y, 'base64url')])
  return {
    kind: 'ec',
    curve,
    q: [base64urlNumber(jwk.x), base64urlNumber(jwk.y)],
    identifier: digest('sha1', point),
  }
}

/**
 * Verifies a signature of which only the signed digest is known, as that of a measured file: RSASSA-PKCS1-v1_5, or
 * ECDSA with a DER Ecdsa-Sig-Value. Total.
 */
export function verifyDigestSignature(
  key: FileKey,
  hash: FileHash,
  signed: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (signed.length !== DIGEST_BYTES[hash]) return false
  if (key.kind === 'ec') {
    const numbers = ecdsaNumbers(signature)
    return numbers !== undefined && verifyEcdsaDigest(key.curve, key.q, signed, ...numbers)
  }
  if (signature.length !== Math.ceil(key.bits / 8)) return false
  try {
    // the platform checks and strips the padding; the whole DigestInfo is compared, so no other encoding of it passes
    const info = publicDecrypt({ key: key.keyObject, padding: constants.RSA_PKCS1_PADDING }, signature)
    return info.equals(Buffer.concat([Buffer.from(DIGEST_INFO[hash], 'hex'), signed]))
  } catch {
    return false // no signature of this key
  }
}

/** r and s of an Ecdsa-Sig-Value in strict DER; undefined for anything else. */
function ecdsaNumbers(der: Uint8Array): [bigint, bigint] | undefined {
  const body = derContent(der, 0, 0x30)
  if (body === undefined || body.end !== der.length) return undefined
  const r = derContent(der, body.start, 0x02)
  const s = r && derContent(der, r.end, 0x02)
  if (r === undefined || s === undefined || s.end !== der.length) return undefined
  const numbers = [r, s].map(({ start, end }) => derUnsigned(der.subarray(start, end)))
  return numbers[0] === undefined || numbers[1] === undefined ? undefined : [numbers[0], numbers[1]]
}

function derContent(der: Uint8Array, at: number, tag: number): { start: number; end: number } | undefined {
  if (der[at] !== tag) return undefined
  let length = der[at + 1] ?? Number.POSITIVE_INFINITY
  let start = at + 2
  if (length === 0x81 && (der[at + 2] ?? 0) >= 0x80) {
    length = der[at + 2] ?? 0 // a P-521 pair is longer than the short form holds
    start = at + 3
  } else if (length >= 0x80) return undefined
  return start + length <= der.length ? { start, end: start + length } : undefined
}

/** Positive and in the shortest form. */
function derUnsigned(bytes: Uint8Array): bigint | undefined {
  const [first, second] = bytes
  if (first === undefined || first >= 0x80 || (first === 0 && bytes.length > 1 && (second ?? 0) < 0x80))
    return undefined
  return BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
}

function ecJwk(key: KeyObject): { crv: string; x: string; y: string } | undefined {
  if (key.asymmetricKeyType !== 'ec') return undefined
  try {
    const { crv, x, y } = key.export({ format: 'jwk' })
    return crv === undefined || x === undefined || y === undefined ? undefined : { crv, x, y }
  } catch {
    return undefined // a curve without a name in JWK
  }
}

function base64urlNumber(text: string): bigint {
  return BigInt(`0x${Buffer.from(text, 'base64url').toString('hex')}`)
}
