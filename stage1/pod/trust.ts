import { createPublicKey, type KeyObject } from 'node:crypto'
import { messageOf, toHex, utf8 } from '../../attestation/base/index.ts'
import { digest } from '../../attestation/crypto/index.ts'
import type { TrustedTicketKeys } from '../../attestation/protocol/index.ts'
import { parseJson, ShapeReader } from '../manifest/index.ts'
import type { NodeTrust } from './answer-check.ts'
import { PodError } from './errors.ts'
import { readRootsFile } from './roots-file.ts'

/** The file that `holdfast verifier` writes for its nodes; stage0 uses its ticket keys. */
export const DEFAULT_TRUST_FILE = '/etc/holdfast/trust.json'
/** The agent's configuration, of which stage0 reads the mode alone. */
export const DEFAULT_AGENT_CONFIG = '/etc/holdfast/agent.yaml'
const MAX_KEYS = 8

/** @param agentConfig the agent's configuration, which need not be there */
export function nodeTrust(trustFile: string, agentConfig: string): NodeTrust {
  // few nodes need it, and then only once a launch
  const configuredMode = async () => (await import('./agent-mode.ts')).readConfiguredMode(agentConfig)
  return { ticketKeys: () => readTicketKeys(trustFile), configuredMode }
}

/**
 * The keys whose tickets this stage0 believes, by verifier id. It reads them itself: the agent's word is not enough.
 * @throws PodError LAUNCH_TICKET_BAD when the file cannot be read or holds no P-256 key
 */
function readTicketKeys(file: string): TrustedTicketKeys {
  let bytes: Uint8Array
  try {
    bytes = utf8(readRootsFile(file))
  } catch (cause) {
    throw unusable(file, messageOf(cause), cause)
  }
  const keys = new Map<string, KeyObject>()
  try {
    const r = new ShapeReader(file)
    const o = r.object(parseJson(bytes, file), '$')
    if (o['v'] !== 1) r.complain('$.v', 'must be 1')
    for (const [i, value] of r.list(o['ticketKeys'], '$.ticketKeys', MAX_KEYS).entries()) {
      const jwk = r.object(value, `$.ticketKeys[${i}]`)
      const x = r.string(jwk['x'], `$.ticketKeys[${i}].x`)
      const y = r.string(jwk['y'], `$.ticketKeys[${i}].y`)
      if (jwk['kty'] !== 'EC' || jwk['crv'] !== 'P-256') r.complain(`$.ticketKeys[${i}]`, 'must be a P-256 key')
      r.finish()
      const key = createPublicKey({ key: { kty: 'EC', crv: 'P-256', x, y }, format: 'jwk' })
      keys.set(toHex(digest('sha256', new Uint8Array(key.export({ type: 'spki', format: 'der' })))), key)
    }
    r.finish()
  } catch (cause) {
    throw unusable(file, messageOf(cause), cause)
  }
  if (keys.size === 0) throw unusable(file, 'it holds no ticket key')
  return keys
}

function unusable(file: string, why: string, cause?: unknown): PodError {
  return new PodError('LAUNCH_TICKET_BAD', `no ticket can be checked: the trust file ${file} is unusable: ${why}`, {
    cause,
    hint: "Copy the verifier's trust.json there, or name it with --trust.",
  })
}
