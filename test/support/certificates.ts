import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import * as asn1 from '../../attestation/ca/asn1.ts'
import { EXT, KEY, TCG } from '../../attestation/endorsement/index.ts'
import { encodePublic, type TpmPublic } from '../../attestation/tpm2/index.ts'

export type Scheme =
  | 'sha256WithRSA'
  | 'sha384WithRSA'
  | 'sha512WithRSA'
  | 'sha1WithRSA'
  | 'sha256ECDSA'
  | 'sha384ECDSA'
  | 'sha512ECDSA'
  | 'md5WithRSA'
export const SCHEMES: Readonly<Record<Scheme, readonly [string, string]>> = {
  md5WithRSA: ['1.2.840.113549.1.1.4', 'md5'],
  sha1WithRSA: ['1.2.840.113549.1.1.5', 'sha1'],
  sha256WithRSA: ['1.2.840.113549.1.1.11', 'sha256'],
  sha384WithRSA: ['1.2.840.113549.1.1.12', 'sha384'],
  sha512WithRSA: ['1.2.840.113549.1.1.13', 'sha512'],
  sha256ECDSA: ['1.2.840.10045.4.3.2', 'sha256'],
  sha384ECDSA: ['1.2.840.10045.4.3.3', 'sha384'],
  sha512ECDSA: ['1.2.840.10045.4.3.4', 'sha512'],
}

export interface KeyPair {
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
}
export const ecKey = (namedCurve = 'P-256'): KeyPair => generateKeyPairSync('ec', { namedCurve })
export const rsaKey = (modulusLength = 2048): KeyPair => generateKeyPairSync('rsa', { modulusLength })
export const spki = (key: KeyPair): Uint8Array => new Uint8Array(key.publicKey.export({ format: 'der', type: 'spki' }))

/** A Name of one CN, or empty. */
export function name(cn: string): asn1.Asn1 {
  return cn === '' ? asn1.sequence() : asn1.sequence(asn1.set(asn1.sequence(asn1.oid('2.5.4.3'), asn1.utf8String(cn))))
}

export type Extension = readonly [oid: string, critical: boolean, value: asn1.Asn1]

export interface TestCertificate {
  readonly subject: string | asn1.Asn1
  readonly key: KeyPair | { readonly spki: Uint8Array }
  readonly issuer: string | asn1.Asn1
  readonly issuerKey: KeyPair
  readonly scheme?: Scheme
  readonly version?: number
  readonly serial?: Uint8Array
  readonly notBefore?: Date
  readonly notAfter?: Date
  readonly extensions: readonly Extension[]
  /** Algorithm written outside of the signed part, when it is to differ. */
  readonly outerScheme?: Scheme
  /** NULL parameters also for ECDSA, as some vendors write. */
  readonly nullParameters?: boolean
}

/** DER of a certificate that may break any rule. */
export function makeCertificate(c: TestCertificate): Uint8Array {
  const algorithm = (scheme: Scheme): asn1.Asn1 => {
    const id = asn1.oid(SCHEMES[scheme][0])
    const withNull = c.nullParameters ?? scheme.endsWith('RSA')
    return withNull ? asn1.sequence(id, asn1.fromOwnDer(Uint8Array.of(5, 0))) : asn1.sequence(id)
  }
  const scheme = c.scheme ?? 'sha256ECDSA'
  const version = c.version ?? 3
  const tbs = asn1.sequence(
    ...(version === 1 ? [] : [asn1.explicit(0, asn1.integer(Uint8Array.of(version - 1)))]),
    asn1.integer(c.serial ?? Uint8Array.of(7)),
    algorithm(scheme),
    typeof c.issuer === 'string' ? name(c.issuer) : c.issuer,
    asn1.sequence(
      asn1.time(c.notBefore ?? new Date('2020-01-01T00:00:00Z')),
      asn1.time(c.notAfter ?? new Date('2040-01-01T00:00:00Z')),
    ),
    typeof c.subject === 'string' ? name(c.subject) : c.subject,
    asn1.fromOwnDer('spki' in c.key ? c.key.spki : spki(c.key)),
    ...(c.extensions.length === 0 ? [] : [asn1.explicit(3, asn1.sequence(...c.extensions.map(extension)))]),
  )
  const signature = sign(SCHEMES[scheme][1], asn1.toDer(tbs), c.issuerKey.privateKey)
  return asn1.toDer(asn1.sequence(tbs, algorithm(c.outerScheme ?? scheme), asn1.bitString(signature)))
}

function extension([id, critical, value]: Extension): asn1.Asn1 {
  const wrapped = asn1.octetString(asn1.toDer(value))
  return critical ? asn1.sequence(asn1.oid(id), asn1.boolean(true), wrapped) : asn1.sequence(asn1.oid(id), wrapped)
}

/** The extensions of a CA. */
export function caExtensions(options: { pathLength?: number; keyId?: number; authorityId?: number } = {}): Extension[] {
  const { pathLength, keyId, authorityId } = options
  const limit = pathLength === undefined ? [] : [asn1.integer(Uint8Array.of(pathLength))]
  return [
    [EXT.basicConstraints, true, asn1.sequence(asn1.boolean(true), ...limit)],
    [EXT.keyUsage, true, asn1.bitString(Uint8Array.of(0x06), 1)],
    ...(keyId === undefined ? [] : [skid(keyId)]),
    ...(authorityId === undefined ? [] : [aki(authorityId)]),
  ]
}

export const skid = (id: number): Extension => [
  EXT.subjectKeyIdentifier,
  false,
  asn1.octetString(new Uint8Array(20).fill(id)),
]
export const aki = (id: number): Extension => [
  EXT.authorityKeyIdentifier,
  false,
  asn1.sequence(asn1.implicit(0, new Uint8Array(20).fill(id))),
]

export type EkExtensionName = 'bc' | 'ku' | 'eku' | 'san' | 'aki'

/** The extensions of a proper EK certificate, by name so that a test can replace or drop one. */
export function ekExtensions(kind: 'rsa' | 'ec' = 'ec'): Record<EkExtensionName, Extension> {
  return {
    bc: [EXT.basicConstraints, true, asn1.sequence()],
    ku: [
      EXT.keyUsage,
      true,
      kind === 'rsa' ? asn1.bitString(Uint8Array.of(0x20), 5) : asn1.bitString(Uint8Array.of(0x08), 3),
    ],
    eku: [EXT.extKeyUsage, false, asn1.sequence(asn1.oid(TCG.ekCertificate))],
    san: [EXT.subjectAltName, true, asn1.sequence(tpmName())],
    aki: aki(1),
  }
}

/** GeneralName directoryName with the TPM attributes. */
export function tpmName(manufacturer = 'id:49465800', model = 'Model', version = 'id:00010002'): asn1.Asn1 {
  const attribute = (id: string, value: string) => asn1.set(asn1.sequence(asn1.oid(id), asn1.utf8String(value)))
  return asn1.explicit(
    4,
    asn1.sequence(
      attribute(TCG.tpmManufacturer, manufacturer),
      attribute(TCG.tpmModel, model),
      attribute(TCG.tpmVersion, version),
    ),
  )
}

/** TPMT_PUBLIC of an EK with this key, as the low-range templates have it. */
export function ekPublicOf(key: KeyPair): Uint8Array {
  const jwk = key.publicKey.export({ format: 'jwk' })
  const bytes = (text: string | undefined) => new Uint8Array(Buffer.from(text ?? '', 'base64url'))
  const common = {
    nameAlg: 'sha256',
    attributes: 0x000300b2,
    authPolicy: new Uint8Array(32),
    symmetric: { alg: 'aes', keyBits: 128, mode: 'cfb' },
    scheme: { alg: 'null' },
  } as const
  const value: unknown =
    jwk.kty === 'RSA'
      ? { ...common, type: 'rsa', keyBits: bytes(jwk.n).length * 8, exponent: 0, unique: bytes(jwk.n) }
      : { ...common, type: 'ecc', curve: jwk.crv, kdf: { alg: 'null' }, unique: { x: bytes(jwk.x), y: bytes(jwk.y) } }
  return encodePublic(value as TpmPublic) // the encoder throws on a shape that is none
}

/**
 * A 2048-bit modulus with the fingerprint of ROCA: a power of 65537 by every small odd prime. It is no product of two
 * primes, and nobody needs its factors here.
 */
export function rocaModulus(): Uint8Array {
  const primes = Array.from({ length: 83 }, (_, i) => 2 * i + 3).filter((n) =>
    [3, 5, 7, 11].every((d) => n === d || n % d),
  )
  const product = primes.reduce((p, n) => p * BigInt(n), 1n)
  let power = 1n
  for (let i = 0; i < 1000; i++) power = (power * 65537n) % product
  const multiple = (1n << 2047n) / (2n * product) + 1n
  const modulus = 2n * product * multiple + (power % 2n === 1n ? power : power + product)
  return new Uint8Array(Buffer.from(modulus.toString(16), 'hex'))
}

/** SubjectPublicKeyInfo of an RSA key of these numbers. */
export function rsaSpki(modulus: Uint8Array, exponent: Uint8Array = Uint8Array.of(1, 0, 1)): Uint8Array {
  const unsigned = (bytes: Uint8Array) => asn1.integer((bytes[0] ?? 0) >= 0x80 ? Uint8Array.of(0, ...bytes) : bytes)
  const numbers = asn1.toDer(asn1.sequence(unsigned(modulus), unsigned(exponent)))
  const algorithm = asn1.sequence(asn1.oid(KEY.rsa), asn1.fromOwnDer(Uint8Array.of(5, 0)))
  return asn1.toDer(asn1.sequence(algorithm, asn1.bitString(numbers)))
}
