import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { equalBytes } from '../base/index.ts'
import { type Certificate, EndorsementError, KEY_USAGE, parseCertificateBundle } from '../endorsement/index.ts'
import { oid, sequence, set, toDer, utf8String } from './asn1.ts'
import { basicConstraints, buildCertificate, keyIdentifier, keyUsage, subjectKeyIdentifier } from './builder.ts'
import { CaError } from './errors.ts'

/** Ten years: longer than a fleet's hardware, short enough that a lost key does not outlive it. */
const CA_LIFETIME_MS = 3652 * 86_400_000
/** ub-common-name of RFC 5280 appendix A. */
const MAX_NAME_CHARACTERS = 64
const COMMON_NAME = '2.5.4.3'

/** The verifier's CA, ready to issue. */
export interface CertificateAuthority {
  readonly certificate: Certificate
  readonly privateKey: KeyObject
  /** What issued certificates name as their authority key. */
  readonly keyId: Uint8Array
}

/**
 * Makes a new CA with a P-256 key. It may issue end-entity certificates only (path length 0).
 *
 * @param name common name, 1 to 64 characters, e.g. `Holdfast verifier CA (fleet-eu)`
 * @returns PEM texts; the key is PKCS #8 and unencrypted: write it with mode 0600
 * @throws CaError CA_NAME_INVALID
 */
export function createCa(name: string, now: Date): { readonly certPem: string; readonly keyPem: string } {
  if (name.length === 0 || [...name].length > MAX_NAME_CHARACTERS || /\p{C}/u.test(name)) {
    throw new CaError(
      'CA_NAME_INVALID',
      `CA name ${JSON.stringify(name.slice(0, 80))} must have 1 to ${MAX_NAME_CHARACTERS} printable characters`,
    )
  }
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const publicKeyInfo = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }))
  const subject = sequence(set(sequence(oid(COMMON_NAME), utf8String(name))))
  const { pem } = buildCertificate(
    {
      issuer: toDer(subject),
      subject,
      publicKeyInfo,
      notBefore: now,
      notAfter: new Date(now.getTime() + CA_LIFETIME_MS),
      extensions: [
        basicConstraints({ pathLength: 0 }),
        keyUsage(KEY_USAGE.keyCertSign, KEY_USAGE.cRLSign),
        subjectKeyIdentifier(publicKeyInfo),
      ],
    },
    privateKey,
  )
  return { certPem: pem, keyPem: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString() }
}

/**
 * @param certPem exactly one certificate
 * @param keyPem unencrypted PKCS #8 or SEC 1 key
 * @throws CaError CA_CERT_INVALID, CA_KEY_INVALID, CA_KEY_MISMATCH
 */
export function loadCa(certPem: string, keyPem: string): CertificateAuthority {
  const certificate = readCaCertificate(certPem)
  let privateKey: KeyObject
  try {
    privateKey = createPrivateKey(keyPem)
  } catch (cause) {
    throw new CaError('CA_KEY_INVALID', 'CA key is no unencrypted PEM private key', { cause })
  }
  if (privateKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
    throw new CaError(
      'CA_KEY_INVALID',
      `CA key is ${privateKey.asymmetricKeyType ?? 'of unknown type'}, wanted EC P-256`,
    )
  }
  const own = new Uint8Array(createPublicKey(privateKey).export({ format: 'der', type: 'spki' }))
  if (!equalBytes(own, certificate.publicKeyInfo)) {
    throw new CaError('CA_KEY_MISMATCH', `CA key is not the key of the CA certificate "${certificate.subject.text}"`)
  }
  return { certificate, privateKey, keyId: certificate.extensions.subjectKeyId ?? keyIdentifier(own) }
}

function readCaCertificate(certPem: string): Certificate {
  const { certificates, problems } = readBundle(certPem)
  const [certificate, ...more] = certificates
  if (certificate === undefined || more.length > 0 || problems.length > 0) {
    const why = problems[0]?.message ?? `${certificates.length} certificates`
    throw new CaError('CA_CERT_INVALID', `CA certificate file must hold exactly one certificate: ${why}`)
  }
  const { basicConstraints: constraints, keyUsage: usage } = certificate.extensions
  if (constraints?.ca !== true || usage?.has('keyCertSign') !== true || certificate.subject.attributes.length === 0) {
    throw new CaError(
      'CA_CERT_INVALID',
      `certificate "${certificate.subject.text}" is no CA: it needs a name, CA=true and keyCertSign`,
    )
  }
  return certificate
}

function readBundle(certPem: string): ReturnType<typeof parseCertificateBundle> {
  try {
    return parseCertificateBundle(Buffer.from(certPem, 'utf8'))
  } catch (cause) {
    if (!(cause instanceof EndorsementError)) throw cause
    throw new CaError('CA_CERT_INVALID', `CA certificate cannot be read: ${cause.message}`, { cause })
  }
}
