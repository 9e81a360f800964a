import { readFileSync, statSync } from 'node:fs'
import { MAX_CONFIG_BYTES, parseAgentConfig } from '../config/index.ts'

/** Where the agent's configuration is unless it is told otherwise. */
export const AGENT_CONFIG_FILE = '/etc/holdfast/agent.yaml'

/**
 * What `holdfast config` shows of the agent's configuration. An enrolment token may be in it: only what is named here
 * leaves this function.
 *
 * @throws AgentConfigError AGENT_CONFIG_INVALID; the system's error where the file cannot be read
 */
export function agentSettings(file: string): Readonly<Record<string, string>> {
  if (statSync(file).size > MAX_CONFIG_BYTES) throw new RangeError('is too large for a configuration')
  const config = parseAgentConfig(readFileSync(file, 'utf8'), file)
  return {
    mode: config.mode,
    tcti: config.tcti,
    dataDirectory: config.dataDirectory,
    runDirectory: config.runDirectory,
    ...(config.verifier === undefined ? {} : { verifier: withoutPassword(config.verifier.url) }),
  }
}

function withoutPassword(text: string): string {
  const { protocol, host, pathname } = new URL(text)
  return `${protocol}//${host}${pathname}`
}
