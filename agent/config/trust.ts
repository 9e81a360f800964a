import { createHash, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { messageOf } from '../../attestation/base/index.ts'
import { AgentConfigError } from './errors.ts'
import { MAX_CONFIG_BYTES, unreadable, type VerifierSettings } from './parse.ts'

const MAX_CA_BYTES = 1 << 20

/** A key whose tickets are believed. */
export interface TicketKey {
  /** SHA-256 of the DER SPKI, lowercase hex: the verifier id that tickets and quotes name. */
  readonly id: string
  readonly key: KeyObject
}

/** Whom this agent believes, read once at start. */
export interface TrustedVerifier {
  readonly url: string
  /** The id that goes into quotes: that of the first ticket key. Further keys are for a change of keys. */
  readonly verifierId: string
  readonly ticketKeys: readonly TicketKey[]
  /** SHA-256 of the SPKI of the TLS certificate, lowercase hex. Empty: the certificate must chain to `ca`. */
  readonly tlsSpkiSha256: readonly string[]
  /** PEM certificates. Where pins and a CA are both given, both must hold. */
  readonly ca?: string
}

const Sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' })
const Jwk = Type.Object({ kty: Type.Literal('EC'), crv: Type.Literal('P-256'), x: Type.String(), y: Type.String() })

/** What `holdfast verifier` writes as `trust.json` for its agents. */
const TrustFileSchema = Type.Object({
  v: Type.Literal(1),
  verifierId: Sha256,
  ticketKeys: Type.Array(Jwk, { minItems: 1, maxItems: 8 }),
  tlsSpkiSha256: Type.Array(Sha256, { minItems: 1, maxItems: 8 }),
})

/**
 * Reads trust.json, ticket keys and CA that the configuration names.
 *
 * @throws AgentConfigError AGENT_CONFIG_UNREADABLE or AGENT_TRUST_INVALID, with the file and what to do
 */
export async function readTrust(settings: VerifierSettings): Promise<TrustedVerifier> {
  const trust = settings.trust === undefined ? undefined : await readTrustFile(settings.trust)
  const ticketKeys = [...(trust?.ticketKeys ?? [])]
  for (const file of settings.ticketKeys) ticketKeys.push(await readTicketKey(file))
  const first = ticketKeys[0]
  if (first === undefined) throw new AgentConfigError('AGENT_TRUST_INVALID', 'no ticket key is configured')
  const tlsSpkiSha256 = [...(trust?.tlsSpkiSha256 ?? []), ...settings.tlsSpkiSha256]
  const ca = settings.ca === undefined ? undefined : await readCa(settings.ca)
  return {
    url: settings.url,
    verifierId: trust?.verifierId ?? first.id,
    ticketKeys,
    tlsSpkiSha256,
    ...(ca === undefined ? {} : { ca }),
  }
}

async function readTrustFile(
  file: string,
): Promise<{ verifierId: string; ticketKeys: TicketKey[]; tlsSpkiSha256: string[] }> {
  const value = parseJson('verifier.trust', file, await readBounded('verifier.trust', file, MAX_CONFIG_BYTES))
  if (!Value.Check(TrustFileSchema, value)) {
    const first = Value.Errors(TrustFileSchema, value).First()
    throw invalid(
      'verifier.trust',
      file,
      `${first?.path || '/'}: ${first?.message}; copy the verifier's trust.json again`,
    )
  }
  const ticketKeys = value.ticketKeys.map((jwk) => ticketKey(file, () => createPublicKey({ key: jwk, format: 'jwk' })))
  if (!ticketKeys.some((k) => k.id === value.verifierId)) {
    throw invalid('verifier.trust', file, 'verifierId is not the SHA-256 of the SPKI of one of its ticketKeys')
  }
  return { verifierId: value.verifierId, ticketKeys, tlsSpkiSha256: value.tlsSpkiSha256 }
}

async function readTicketKey(file: string): Promise<TicketKey> {
  const text = await readBounded('verifier.ticketKeys', file, MAX_CONFIG_BYTES)
  if (text.trimStart().startsWith('{')) {
    const jwk = parseJson('verifier.ticketKeys', file, text)
    if (!Value.Check(Jwk, jwk)) throw invalid('verifier.ticketKeys', file, 'the JWK is not a public EC key on P-256')
    return ticketKey(file, () => createPublicKey({ key: jwk, format: 'jwk' }))
  }
  if (text.includes('PRIVATE KEY')) {
    throw invalid('verifier.ticketKeys', file, "it holds a private key; give the agent the verifier's public key only")
  }
  return ticketKey(file, () => createPublicKey(text))
}

function ticketKey(file: string, make: () => KeyObject): TicketKey {
  let key: KeyObject
  try {
    key = make()
  } catch (cause) {
    throw invalid('ticket key', file, `not a public key in PEM or JWK: ${messageOf(cause)}`, cause)
  }
  if (key.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
    throw invalid('ticket key', file, 'tickets are signed with ES256, so the key must be an EC key on P-256')
  }
  return {
    id: createHash('sha256')
      .update(key.export({ type: 'spki', format: 'der' }))
      .digest('hex'),
    key,
  }
}

async function readCa(file: string): Promise<string> {
  const text = await readBounded('verifier.ca', file, MAX_CA_BYTES)
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  if (blocks.length === 0) throw invalid('verifier.ca', file, 'no PEM certificate in it')
  for (const block of blocks) {
    try {
      new X509Certificate(block)
    } catch (cause) {
      throw invalid('verifier.ca', file, `a certificate in it cannot be read: ${messageOf(cause)}`, cause)
    }
  }
  return blocks.join('\n')
}

async function readBounded(setting: string, file: string, max: number): Promise<string> {
  let bytes: Buffer
  try {
    bytes = await readFile(file)
  } catch (cause) {
    throw unreadable(setting, file, cause)
  }
  if (bytes.length > max) throw invalid(setting, file, `${bytes.length} bytes, at most ${max} are read`)
  return bytes.toString('utf8')
}

function parseJson(setting: string, file: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw invalid(setting, file, `not JSON: ${messageOf(cause)}`, cause)
  }
}

function invalid(setting: string, file: string, why: string, cause?: unknown): AgentConfigError {
  return new AgentConfigError('AGENT_TRUST_INVALID', `${setting} ${file}: ${why}`, { cause })
}
