import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { codeOf, messageOf, utf8 } from '../../attestation/base/index.ts'
import { SignatureError } from './errors.ts'
import { type ImagePolicy, parseImagePolicy } from './policy.ts'
import type { ConfigDirectories } from './trust-store.ts'

/** The policy that is in force, and which it is. */
export interface LoadedPolicy {
  readonly policy: ImagePolicy
  /** The file, or `the built-in image policy`. */
  readonly where: string
  /** Hex SHA-256 of its bytes. */
  readonly sha256: string
}

const FILE = 'image-policy.json'
const MAX_BYTES = 1 << 20

/**
 * What goes where nobody wrote a policy: an ACI has to be signed by a key of the trust store, as in rkt, and nothing
 * else is admitted, as nothing says whose images these would be. config/image-policy.json is the same text.
 */
export const BUILT_IN_POLICY = `{
  "default": [{ "type": "reject" }],
  "transports": {
    "aci": { "": [{ "type": "signedByTrustedKey" }] }
  }
}
`

/** Hex SHA-256 of it. */
export const BUILT_IN_POLICY_SHA256 = hexDigest(utf8(BUILT_IN_POLICY))

/** Stands for the scope of the stage1 that came with an installation: no policy is asked about it. */
export const INSTALLATION_SCOPE = 'installation'

/**
 * Reads the policy: the local one, or the system's, or the built-in one. They are not merged: what holds is in one
 * place.
 *
 * @throws SignatureError IMAGE_POLICY_BAD
 */
export function loadImagePolicy(config: ConfigDirectories): LoadedPolicy {
  for (const directory of [config.local, config.system]) {
    const where = path.join(directory, FILE)
    const bytes = readIfThere(where)
    if (bytes !== undefined) return { policy: parseImagePolicy(bytes, where), where, sha256: hexDigest(bytes) }
  }
  const bytes = utf8(BUILT_IN_POLICY)
  const where = 'the built-in image policy'
  return { policy: parseImagePolicy(bytes, where), where, sha256: BUILT_IN_POLICY_SHA256 }
}

function readIfThere(file: string): Uint8Array | undefined {
  try {
    const { size } = fs.statSync(file)
    if (size > MAX_BYTES) throw new RangeError(`has ${size} bytes, at most ${MAX_BYTES} are read`)
    return new Uint8Array(fs.readFileSync(file))
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return undefined
    throw new SignatureError('IMAGE_POLICY_BAD', `cannot read ${file}: ${messageOf(cause)}`, { cause })
  }
}

function hexDigest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
