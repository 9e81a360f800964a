import { readFileSync } from 'node:fs'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { messageOf } from '../base/index.ts'
import { SimulatorError } from './errors.ts'

/** What simulated nodes have to know of their verifier. */
export interface SimulatorTrust {
  /** SHA-256 of the SPKI of its ticket key, lowercase hex. */
  readonly verifierId: string
  /** SHA-256 of the SPKI of its TLS key, lowercase hex, any of them. */
  readonly tlsSpkiSha256: readonly string[]
}

const Sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' })
const TrustSchema = Type.Object({
  v: Type.Literal(1),
  verifierId: Sha256,
  tlsSpkiSha256: Type.Array(Sha256, { minItems: 1, maxItems: 8 }),
})

/** @throws SimulatorError SIMULATE_TRUST_INVALID */
export function readTrust(file: string): SimulatorTrust {
  let value: unknown
  try {
    value = JSON.parse(readFileSync(file, 'utf8'))
  } catch (cause) {
    throw invalid(`--trust ${file}: ${messageOf(cause)}`, cause)
  }
  if (!Value.Check(TrustSchema, value)) throw invalid(`--trust ${file} is no trust.json of a verifier`)
  return value
}

function invalid(message: string, cause?: unknown): SimulatorError {
  const hint = 'The verifier writes trust.json into its dataDirectory at its first start.'
  return new SimulatorError('SIMULATE_TRUST_INVALID', message, { cause, hint })
}
