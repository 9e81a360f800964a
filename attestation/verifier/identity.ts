import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { exportJWK } from 'jose'
import { fromHex, messageOf } from '../base/index.ts'
import { type CertificateAuthority, createCa, issueTlsCertificate, loadCa } from '../ca/index.ts'
import type { VerifierConfig } from './config/index.ts'
import { VerifierError } from './config/index.ts'
import {
  loadOrCreateKey,
  makeDataDirectory,
  readPrivateFile,
  type SigningKey,
  signingKey,
  writeFileDurably,
} from './keys.ts'

/** Ten years: what the CA itself has. Agents recognise the key, and a new certificate is issued at each start. */
const TLS_LIFETIME_MS = 3652 * 86_400_000

/** Who this verifier is: what it signs with, and what agents recognise it by. */
export interface VerifierIdentity {
  /** SHA-256 of the ticket key's SPKI. */
  readonly verifierId: Uint8Array
  readonly verifierIdHex: string
  /** Signs tickets and attestation results (ES256). */
  readonly ticketKey: SigningKey
  readonly ca: CertificateAuthority
  /** PEM. */
  readonly tls: { readonly certificate: string; readonly key: string }
  /** What was written to trust.json. */
  readonly trust: TrustFile
}

/** `trust.json`: all that an agent needs to know of a verifier. Nothing in it is secret; its way to the node must be trusted. */
export interface TrustFile {
  readonly v: 1
  readonly verifierId: string
  readonly ticketKeys: readonly object[]
  readonly tlsSpkiSha256: readonly string[]
}

/**
 * Loads the verifier's keys from its data directory, makes what is missing, and writes trust.json.
 *
 * @throws VerifierError VERIFIER_KEY_EXPOSED, VERIFIER_KEY_INVALID, VERIFIER_CONFIG_UNREADABLE; CaError
 */
export async function loadIdentity(config: VerifierConfig, now: Date): Promise<VerifierIdentity> {
  const { dataDirectory } = config
  makeDataDirectory(dataDirectory)
  const ticketKey = loadOrCreateKey(join(dataDirectory, 'ticket-key.pem'))
  const { ca, certPem } = loadOrCreateCa(dataDirectory, ticketKey.spkiSha256, now)
  const tls =
    config.tls.kind === 'files' ? ownTls(config.tls) : issuedTls(dataDirectory, ca, certPem, config.tls.names, now)
  const trust: TrustFile = {
    v: 1,
    verifierId: ticketKey.spkiSha256,
    ticketKeys: [{ ...(await exportJWK(ticketKey.publicKey)), alg: 'ES256', use: 'sig', kid: ticketKey.spkiSha256 }],
    tlsSpkiSha256: [tls.spkiSha256],
  }
  writeFileDurably(join(dataDirectory, 'trust.json'), `${JSON.stringify(trust, null, 2)}\n`, 0o644)
  return { verifierId: fromHex(ticketKey.spkiSha256), verifierIdHex: ticketKey.spkiSha256, ticketKey, ca, tls, trust }
}

/** Key and certificate are one file, so that a start that is cut off leaves both or neither; `ca.pem` is a copy to hand out. */
function loadOrCreateCa(
  directory: string,
  verifierId: string,
  now: Date,
): { ca: CertificateAuthority; certPem: string } {
  const file = join(directory, 'ca-key.pem')
  let both = readPrivateFile(file)
  if (both === undefined) {
    const made = createCa(`Holdfast verifier CA ${verifierId.slice(0, 16)}`, now)
    both = made.keyPem + made.certPem
    writeFileDurably(file, both, 0o600)
  }
  const certPem = both.slice(Math.max(0, both.indexOf('-----BEGIN CERTIFICATE-----')))
  const ca = loadCa(certPem, both)
  writeFileDurably(join(directory, 'ca.pem'), certPem, 0o644)
  return { ca, certPem }
}

interface TlsIdentity {
  readonly certificate: string
  readonly key: string
  readonly spkiSha256: string
}

function issuedTls(
  directory: string,
  ca: CertificateAuthority,
  caPem: string,
  names: readonly string[],
  now: Date,
): TlsIdentity {
  const key = loadOrCreateKey(join(directory, 'tls-key.pem'))
  const certificate = issueTlsCertificate(ca, {
    publicKeyInfo: key.spki,
    dnsNames: names.filter((name) => isIP(name) === 0),
    ipAddresses: names.filter((name) => isIP(name) !== 0),
    now,
    lifetimeMs: TLS_LIFETIME_MS,
  })
  return {
    certificate: certificate.pem + caPem,
    key: key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    spkiSha256: key.spkiSha256,
  }
}

function ownTls(files: { readonly certificate: string; readonly key: string }): TlsIdentity {
  const certificate = readPublicFile(files.certificate)
  const key = readPrivateFile(files.key)
  if (key === undefined)
    throw new VerifierError('VERIFIER_CONFIG_UNREADABLE', `tls.key ${files.key}: there is no such file`)
  let parsed: X509Certificate
  let pair: SigningKey
  try {
    parsed = new X509Certificate(certificate)
    pair = signingKey(createPrivateKey(key))
  } catch (cause) {
    throw new VerifierError('VERIFIER_KEY_INVALID', `tls.certificate or tls.key cannot be read: ${messageOf(cause)}`, {
      cause,
    })
  }
  if (!parsed.checkPrivateKey(pair.privateKey)) {
    throw new VerifierError('VERIFIER_KEY_INVALID', `${files.key} is not the key of ${files.certificate}`)
  }
  return { certificate, key, spkiSha256: pair.spkiSha256 }
}

function readPublicFile(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new VerifierError('VERIFIER_CONFIG_UNREADABLE', `${file}: ${messageOf(cause)}`, { cause })
  }
}
