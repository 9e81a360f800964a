import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { AgentConfigError } from './errors.ts'
import { type AgentConfig, parseAgentConfig, unreadable } from './parse.ts'
import { readTrust, type TrustedVerifier } from './trust.ts'

/** A configuration with everything it names read from disk. */
export interface LoadedConfig {
  readonly config: AgentConfig
  /** SHA-256 of the configuration file's bytes, lowercase hex; it is measured. */
  readonly sha256: string
  /** Present unless the mode is off and no verifier is configured. */
  readonly trust?: TrustedVerifier
  readonly enrolmentToken?: string
}

/** @throws AgentConfigError */
export async function loadAgentConfig(file: string): Promise<LoadedConfig> {
  let bytes: Buffer
  try {
    bytes = await readFile(file)
  } catch (cause) {
    throw unreadable('configuration', file, cause)
  }
  const config = parseAgentConfig(bytes.toString('utf8'), file)
  const trust = config.verifier === undefined ? undefined : await readTrust(config.verifier)
  const token = await enrolmentToken(config)
  return {
    config,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    ...(trust === undefined ? {} : { trust }),
    ...(token === undefined ? {} : { enrolmentToken: token }),
  }
}

async function enrolmentToken(config: AgentConfig): Promise<string | undefined> {
  const file = config.enrolmentTokenFile
  if (file === undefined) return config.enrolmentToken
  let text: string
  try {
    text = (await readFile(file, 'utf8')).trim()
  } catch (cause) {
    throw unreadable('enrolmentTokenFile', file, cause)
  }
  if (text.length === 0 || text.length > 256) {
    throw new AgentConfigError('AGENT_TRUST_INVALID', `enrolmentTokenFile ${file}: wants 1 to 256 characters`)
  }
  return text
}

/**
 * @param groupFile text of /etc/group (group(5)); groups of a directory service are not looked up
 * @returns the number of the group
 * @throws AgentConfigError AGENT_GROUP_UNKNOWN
 */
export function findGroup(groupFile: string, name: string): number {
  for (const line of groupFile.split('\n')) {
    const [group, , gid] = line.split(':')
    if (group === name && gid !== undefined && /^\d+$/.test(gid)) return Number(gid)
  }
  throw new AgentConfigError(
    'AGENT_GROUP_UNKNOWN',
    `/etc/group has no group '${name}'; make it with: groupadd --system ${name}`,
  )
}
