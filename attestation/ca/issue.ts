import { isIP } from 'node:net'
import { fromHex } from '../base/index.ts'
import { exportSpki, importSpki, KeyError, type PublicKey } from '../crypto/index.ts'
import { KEY_USAGE, TCG } from '../endorsement/index.ts'
import { type Asn1, explicit, implicit, oid, sequence, set, utf8String } from './asn1.ts'
import type { CertificateAuthority } from './authority.ts'
import {
  authorityKeyIdentifier,
  basicConstraints,
  buildCertificate,
  type ExtensionSpec,
  extKeyUsage,
  type IssuedCertificate,
  keyUsage,
  subjectAltName,
  subjectKeyIdentifier,
} from './builder.ts'
import { CaError } from './errors.ts'

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
const MIN_RSA_BITS = 2048
/** Certificates begin a little before now, so that a peer whose clock is behind takes them. */
export const CLOCK_SKEW_MS = 5 * 60_000
/** RFC 1035 §2.3.4. */
const MAX_DNS_NAME = 253
const DNS_NAME = /^(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*$/
/** A verifier answers to a handful of names. */
const MAX_NAMES = 64

// GeneralName choices, RFC 5280 §4.2.1.6
const DNS = 2
const DIRECTORY = 4
const URI = 6
const IP = 7

/** TPM attributes of an EK certificate. */
export interface TpmName {
  readonly manufacturer: string
  readonly model: string
  readonly version: string
}

export interface EkCertificateRequest {
  /** SubjectPublicKeyInfo of the EK, DER. */
  readonly publicKeyInfo: Uint8Array
  readonly tpm: TpmName
  readonly now: Date
  readonly lifetimeMs: number
}

export interface AkCertificateRequest {
  /** SubjectPublicKeyInfo of the AK, DER. Its residence in the TPM has been proved by activation. */
  readonly publicKeyInfo: Uint8Array
  /** 64 hex digits, see nodeIdOf(). */
  readonly nodeId: string
  /** As in the EK certificate, where the node has one. */
  readonly tpm?: TpmName
  readonly now: Date
  readonly lifetimeMs: number
}

export interface TlsCertificateRequest {
  readonly publicKeyInfo: Uint8Array
  readonly dnsNames: readonly string[]
  /** IPv4 or IPv6 text, without zone. */
  readonly ipAddresses: readonly string[]
  readonly now: Date
  readonly lifetimeMs: number
}

/**
 * Certifies that an AK lives in the TPM of a node: tcg-kp-AIKCertificate, digitalSignature only.
 *
 * The subject is empty and the critical SubjectAltName names the node, as TCG profiles have it, so there is one name
 * and no question which one counts. The node is a URI, `nih:sha-256;<node id>` (RFC 6920 §7): the node ID is a SHA-256,
 * the scheme says so and shows it in hex, and path validators that refuse a critical SubjectAltName with nothing but a
 * directoryName take a URI. TPM manufacturer, model and version follow as the directoryName that an EK certificate has.
 *
 * @returns a certificate that ends with the CA at the latest
 * @throws CaError CA_EXPIRED, CA_NAME_INVALID, CA_SUBJECT_KEY_INVALID
 */
export function issueAkCertificate(ca: CertificateAuthority, request: AkCertificateRequest): IssuedCertificate {
  const { nodeId, tpm } = request
  if (!/^[0-9a-f]{64}$/.test(nodeId)) {
    throw new CaError('CA_NAME_INVALID', `node ID ${JSON.stringify(nodeId.slice(0, 80))} is not 64 hex digits`)
  }
  const names = [implicit(URI, Buffer.from(nodeUri(nodeId), 'latin1'))]
  if (tpm !== undefined) names.push(tpmName(tpm))
  return issue(ca, request, subjectAltName(...names), TCG.akCertificate)
}

/**
 * Certifies the EK of a TPM as its maker would: tcg-kp-EKCertificate, keyAgreement, the TPM named in SubjectAltName
 * (TCG EK Credential Profile 2.6 §3). The verifier issues none: it is for TPMs that are made in software.
 *
 * @param request its key is on an elliptic curve
 * @returns a certificate that ends with the CA at the latest
 * @throws CaError CA_EXPIRED, CA_SUBJECT_KEY_INVALID
 */
export function issueEkCertificate(ca: CertificateAuthority, request: EkCertificateRequest): IssuedCertificate {
  return issue(ca, request, subjectAltName(tpmName(request.tpm)), TCG.ekCertificate, KEY_USAGE.keyAgreement)
}

/** The URI by which an AK certificate names a node (RFC 6920 §7). */
export function nodeUri(nodeId: string): string {
  return `nih:sha-256;${nodeId}`
}

/**
 * A TLS server certificate for the verifier itself. The subject is empty: names count in SubjectAltName only.
 *
 * @returns a certificate that ends with the CA at the latest
 * @throws CaError CA_EXPIRED, CA_NAME_INVALID (also for no name at all), CA_SUBJECT_KEY_INVALID
 */
export function issueTlsCertificate(ca: CertificateAuthority, request: TlsCertificateRequest): IssuedCertificate {
  const names = [...request.dnsNames.map(dnsName), ...request.ipAddresses.map(ipAddress)]
  if (names.length === 0 || names.length > MAX_NAMES) {
    throw new CaError('CA_NAME_INVALID', `a TLS certificate needs 1 to ${MAX_NAMES} names, got ${names.length}`)
  }
  return issue(ca, request, subjectAltName(...names), SERVER_AUTH)
}

/** GeneralName directoryName with the TPM's attributes. */
function tpmName(tpm: TpmName): Asn1 {
  const attributes = [
    [TCG.tpmManufacturer, tpm.manufacturer],
    [TCG.tpmModel, tpm.model],
    [TCG.tpmVersion, tpm.version],
  ] as const
  const rdns = attributes.map(([type, value]) => set(sequence(oid(type), utf8String(value))))
  return explicit(DIRECTORY, sequence(...rdns))
}

function issue(
  ca: CertificateAuthority,
  request: { readonly publicKeyInfo: Uint8Array; readonly now: Date; readonly lifetimeMs: number },
  names: ExtensionSpec,
  purpose: string,
  usage: number = KEY_USAGE.digitalSignature,
): IssuedCertificate {
  const publicKeyInfo = checkedKey(request.publicKeyInfo)
  const { now, lifetimeMs } = request
  const { notBefore: caStart, notAfter: caEnd, subject } = ca.certificate
  if (now < caStart || now >= caEnd) {
    throw new CaError(
      'CA_EXPIRED',
      `CA "${subject.text}" is valid from ${caStart.toISOString()} to ${caEnd.toISOString()}, now is ${now.toISOString()}: ` +
        'check the clock, or make a new CA',
    )
  }
  if (!Number.isSafeInteger(lifetimeMs) || lifetimeMs < 1000) {
    throw new RangeError(`lifetime of ${lifetimeMs} ms, wanted at least a second`)
  }
  return buildCertificate(
    {
      issuer: subject.bytes,
      subject: sequence(),
      publicKeyInfo,
      notBefore: new Date(Math.max(now.getTime() - CLOCK_SKEW_MS, caStart.getTime())),
      notAfter: new Date(Math.min(now.getTime() + lifetimeMs, caEnd.getTime())),
      extensions: [
        basicConstraints(false),
        keyUsage(usage),
        extKeyUsage(purpose),
        names,
        subjectKeyIdentifier(publicKeyInfo),
        authorityKeyIdentifier(ca.keyId),
      ],
    },
    ca.privateKey,
  )
}

/** The key in the platform's own encoding, so that nothing of the requester's bytes goes into a certificate unread. */
function checkedKey(der: Uint8Array): Uint8Array {
  let key: PublicKey
  try {
    key = importSpki(der)
  } catch (cause) {
    if (!(cause instanceof KeyError)) throw cause
    throw new CaError('CA_SUBJECT_KEY_INVALID', `key to certify: ${cause.message}`, { cause })
  }
  if (key.kind === 'rsa' && key.bits < MIN_RSA_BITS) {
    throw new CaError(
      'CA_SUBJECT_KEY_INVALID',
      `RSA key to certify has ${key.bits} bits, wanted ${MIN_RSA_BITS} or more`,
    )
  }
  return exportSpki(key)
}

function dnsName(name: string): Asn1 {
  if (name.length > MAX_DNS_NAME || !DNS_NAME.test(name) || isIP(name) !== 0) {
    throw new CaError('CA_NAME_INVALID', `${JSON.stringify(name.slice(0, 80))} is not a DNS name`)
  }
  return implicit(DNS, Buffer.from(name, 'latin1'))
}

function ipAddress(text: string): Asn1 {
  const octets =
    isIP(text) === 4 ? Uint8Array.from(text.split('.'), Number) : isIP(text) === 6 ? ipv6Octets(text) : undefined
  if (octets === undefined) {
    throw new CaError('CA_NAME_INVALID', `${JSON.stringify(text.slice(0, 80))} is not an IP address without zone`)
  }
  return implicit(IP, octets)
}

/** @returns undefined for an address with a zone, which has no place in a certificate */
function ipv6Octets(text: string): Uint8Array | undefined {
  if (text.includes('%')) return undefined
  // the URL parser gives the one canonical spelling (RFC 5952), without a dotted tail
  const canonical = new URL(`http://[${text}]`).hostname.slice(1, -1)
  const [head = '', tail] = canonical.split('::')
  const groups = (part: string) => (part === '' ? [] : part.split(':'))
  const first = groups(head)
  const last = tail === undefined ? [] : groups(tail)
  const zeros = Array<string>(8 - first.length - last.length).fill('0')
  return fromHex([...first, ...zeros, ...last].map((g) => g.padStart(4, '0')).join(''))
}
