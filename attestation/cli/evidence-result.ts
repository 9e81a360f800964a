import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto'
import { CodedError, fromUtf8, messageOf, UsageError } from '../base/index.ts'
import {
  type Paint,
  type ResultSignature,
  resultJson,
  resultText,
  uncheckedSignature,
} from '../evidence-report/index.ts'
import { type ResultToken, readResultToken, verifyEarJwt, verifyEatJwt } from '../results/index.ts'
import { readEvidenceBytes } from './evidence-io.ts'

export interface ShowResultOptions {
  /** File with the key that signs results. */
  readonly key?: string
  readonly json?: true
}

/**
 * What an attestation result says, as text or JSON.
 * @throws ResultError also RESULT_SIGNATURE, RESULT_EXPIRED where a key is given: then nothing is shown
 */
export async function shownResult(bytes: Uint8Array, { key, json }: ShowResultOptions, paint: Paint): Promise<string> {
  const result = readResultToken(bytes)
  const signature = key === undefined ? uncheckedSignature(result) : await verifiedBy(result, key)
  const opened = { result, sizeBytes: bytes.length }
  return json === true ? resultJson(opened, signature) : resultText(opened, signature, paint)
}

async function verifiedBy(result: ResultToken, file: string): Promise<ResultSignature> {
  if (result.form !== 'jwt') {
    throw new UsageError('--key: these are bare claims, which nobody signed; only a JWT has a signature to check')
  }
  const keys = readKeys(file)
  let refusal: unknown
  for (const key of keys) {
    try {
      await (result.kind === 'ear' ? verifyEarJwt : verifyEatJwt)(result.token, key, new Date())
      return 'verified'
    } catch (err) {
      if (!(err instanceof CodedError) || err.code !== 'RESULT_SIGNATURE') throw err
      refusal = err
    }
  }
  throw refusal
}

/** Public keys of a file: PEM, a JWK, a JWK set, or a verifier's trust.json. At least one. @throws UsageError */
function readKeys(file: string): KeyObject[] {
  const text = textOf(file)
  try {
    const keys = text.trimStart().startsWith('{') ? jwksOf(JSON.parse(text)).map(importJwk) : [createPublicKey(text)]
    if (keys.length > 0) return keys
  } catch (err) {
    throw new UsageError(`--key ${file}: no public key in PEM, JWK or trust.json: ${messageOf(err)}`)
  }
  throw new UsageError(`--key ${file}: there is no key in it`)
}

function textOf(file: string): string {
  try {
    return fromUtf8(readEvidenceBytes(file))
  } catch (err) {
    throw new UsageError(`--key ${file}: ${messageOf(err)}`)
  }
}

function jwksOf(value: object): readonly JsonWebKey[] {
  for (const member of ['ticketKeys', 'keys']) {
    const listed: unknown = (value as Readonly<Record<string, unknown>>)[member] // any JSON object
    if (Array.isArray(listed)) return listed
  }
  return [value as JsonWebKey] // createPublicKey() refuses what is none
}

function importJwk(jwk: JsonWebKey): KeyObject {
  return createPublicKey({ key: jwk, format: 'jwk' })
}
