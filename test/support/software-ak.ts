import { constants, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { coordinateBytes, leftPad } from '../../attestation/crypto/index.ts'
import {
  AK_TEMPLATE_P256,
  AK_TEMPLATE_RSA2048,
  type EccPublic,
  encodePublic,
  encodeSignature,
  type RsaPublic,
} from '../../attestation/tpm2/index.ts'

/**
 * An attestation key without a TPM: signs whatever a test puts before it, as a TPM's key would sign a true structure.
 */
export interface SoftwareAk {
  /** TPMT_PUBLIC. */
  readonly akPublic: Uint8Array
  /** TPMT_SIGNATURE over the bytes. */
  readonly sign: (bytes: Uint8Array) => Uint8Array
}

/** A TPMT_PUBLIC with its private key, e.g. an EK for openCredential(). */
export interface SoftwareKey {
  readonly public: Uint8Array
  readonly privateKey: KeyObject
}

/** A new key for that template; `unique` of the template is replaced. */
export function softwareKey(template: RsaPublic | EccPublic): SoftwareKey {
  if (template.type === 'rsa') {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: template.keyBits })
    const { n } = publicKey.export({ format: 'jwk' })
    return { public: encodePublic({ ...template, unique: fromBase64url(n) }), privateKey }
  }
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: template.curve })
  const { x, y } = publicKey.export({ format: 'jwk' })
  const size = coordinateBytes(template.curve)
  const unique = { x: leftPad(fromBase64url(x), size), y: leftPad(fromBase64url(y), size) }
  return { public: encodePublic({ ...template, unique }), privateKey }
}

/** A new attestation key; ECDSA over P-256 unless another template is given. */
export function softwareAk(template: RsaPublic | EccPublic = AK_TEMPLATE_P256): SoftwareAk {
  const key = softwareKey(template)
  return { akPublic: key.public, sign: (bytes) => signWith(key.privateKey, template.scheme, bytes) }
}

/** The same key every time, for tests that compare many cases: making an RSA key takes a while. */
export function fixedRsaAk(): SoftwareAk {
  fixed ??= softwareAk(AK_TEMPLATE_RSA2048)
  return fixed
}
let fixed: SoftwareAk | undefined

/** TPMT_SIGNATURE by that key with that scheme. */
export function signWith(
  key: KeyObject,
  scheme: RsaPublic['scheme'] | EccPublic['scheme'],
  bytes: Uint8Array,
): Uint8Array {
  switch (scheme.alg) {
    case 'ecdsa': {
      const rs = new Uint8Array(sign(scheme.hash, bytes, { key, dsaEncoding: 'ieee-p1363' }))
      const half = rs.length / 2
      return encodeSignature({ alg: 'ecdsa', hash: scheme.hash, r: rs.slice(0, half), s: rs.slice(half) })
    }
    case 'rsassa':
    case 'rsapss': {
      const padding = scheme.alg === 'rsassa' ? constants.RSA_PKCS1_PADDING : constants.RSA_PKCS1_PSS_PADDING
      const saltLength = constants.RSA_PSS_SALTLEN_DIGEST
      const options = scheme.alg === 'rsassa' ? { key, padding } : { key, padding, saltLength }
      return encodeSignature({
        alg: scheme.alg,
        hash: scheme.hash,
        sig: new Uint8Array(sign(scheme.hash, bytes, options)),
      })
    }
    default:
      throw new TypeError(`no signatures with scheme ${scheme.alg}`)
  }
}

function fromBase64url(text: string | undefined): Uint8Array {
  return new Uint8Array(Buffer.from(text ?? '', 'base64url'))
}
