import { codeOf, messageOf } from '../../attestation/base/index.ts'
import type { HashAlgorithm } from '../../attestation/crypto/index.ts'
import { type Complain, parseSettings, type SettingsRules } from '../../attestation/settings/index.ts'
import { type PcrIndex, pcrIndex } from '../../attestation/tpm2/index.ts'
import type { MachineLogPaths } from '../machine-logs/index.ts'
import { AgentConfigError } from './errors.ts'
import { type AgentConfigFile, AgentConfigSchema } from './schema.ts'

/** A configuration is a page of text; more than this is some other file. */
export const MAX_CONFIG_BYTES = 64 << 10

export type EnforcementMode = 'enforce' | 'audit' | 'off'

/** The verifier as the file names it; `trust.ts` reads what the paths lead to. */
export interface VerifierSettings {
  readonly url: string
  readonly trust?: string
  readonly tlsSpkiSha256: readonly string[]
  readonly ca?: string
  readonly ticketKeys: readonly string[]
}

export interface AgentConfig {
  readonly tcti: string
  readonly pcr: PcrIndex
  /** What the operator expects the TPM to have allocated; absent: whatever is allocated. All allocated banks are extended. */
  readonly banks?: readonly HashAlgorithm[]
  readonly mode: EnforcementMode
  readonly dataDirectory: string
  readonly runDirectory: string
  readonly socketGroup: string
  readonly machineLogs: MachineLogPaths
  /** Present unless the mode is off. */
  readonly verifier?: VerifierSettings
  readonly enrolmentToken?: string
  readonly enrolmentTokenFile?: string
  readonly launchTimeoutMs: number
  /** Absent: pods outlive any silence of the verifier. */
  readonly stopPodsAfterSilenceMs?: number
  readonly logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal'
}

/**
 * @param text the YAML of config/agent.yaml
 * @param file its name, for messages
 * @returns the settings, with defaults filled in
 * @throws AgentConfigError AGENT_CONFIG_INVALID with every mistake at once, one `file:line:col: message` a line
 */
export function parseAgentConfig(text: string, file: string): AgentConfig {
  return withDefaults(parseSettings(RULES, text, file))
}

const RULES: SettingsRules<typeof AgentConfigSchema> = {
  schema: AgentConfigSchema,
  single: checkPcr,
  together: checkMeaning,
  error: (mistakes) => new AgentConfigError('AGENT_CONFIG_INVALID', mistakes),
}

function checkPcr(value: unknown, complain: Complain): void {
  if (typeof value !== 'object' || value === null || !('pcr' in value) || typeof value.pcr !== 'number') return
  const refused = whyNotPcr(value.pcr)
  if (refused !== undefined) complain(['pcr'], `PCR ${value.pcr} cannot hold the launch log: ${refused}`)
}

function checkMeaning(c: AgentConfigFile, complain: Complain): void {
  const mode = c.mode ?? 'enforce'
  const v = c.verifier
  if (v === undefined) {
    if (mode !== 'off')
      complain([], `the setting 'verifier' is missing; mode ${mode} asks a verifier before each launch`)
  } else {
    if (!URL.canParse(v.url)) complain(['verifier', 'url'], `'verifier.url' is not a URL: ${v.url}`)
    if (v.trust === undefined && v.ticketKeys === undefined) {
      complain(['verifier'], "'verifier' names neither 'trust' nor 'ticketKeys': no ticket could be believed")
    }
    if (v.trust === undefined && v.tlsSpkiSha256 === undefined && v.ca === undefined) {
      complain(['verifier'], "'verifier' names none of 'trust', 'tlsSpkiSha256', 'ca': no verifier could be recognised")
    }
  }
  if (c.stopPodsAfterSilenceSeconds !== undefined && mode !== 'enforce') {
    const why = `would end pods that mode ${mode} starts without a verifier; remove it, or set mode: enforce`
    complain(['stopPodsAfterSilenceSeconds'], `'stopPodsAfterSilenceSeconds' ${why}`)
  }
  if (c.enrolmentToken !== undefined && c.enrolmentTokenFile !== undefined) {
    complain(['enrolmentTokenFile'], "'enrolmentToken' and 'enrolmentTokenFile' are both set; keep one")
  }
}

/** @returns the reason why a PCR cannot carry the launch log; undefined where it can */
function whyNotPcr(pcr: number): string | undefined {
  if (pcr < 0 || pcr > 23) return undefined // the schema has said so
  if (pcr <= 7) return 'it belongs to the firmware, and extending it would lock keys that are sealed to the boot'
  if (pcr === 10) return 'the kernel (IMA) extends it'
  if (pcr === 16 || pcr === 23) return 'anyone on the node may reset it, so it proves nothing; use 15'
  if (pcr >= 17) return 'it belongs to a dynamic launch (DRTM) and cannot be extended from the operating system; use 15'
  return undefined
}

function withDefaults(c: AgentConfigFile): AgentConfig {
  const { verifier: v, banks, enrolmentToken, enrolmentTokenFile } = c
  return {
    tcti: c.tcti,
    pcr: pcrIndex(c.pcr ?? 15),
    ...(banks === undefined ? {} : { banks }),
    mode: c.mode ?? 'enforce',
    dataDirectory: c.dataDirectory ?? '/var/lib/holdfast',
    runDirectory: c.runDirectory ?? '/run/holdfast',
    socketGroup: c.socketGroup ?? 'holdfast',
    machineLogs: {
      firmware: c.machineLogs?.firmware ?? '/sys/kernel/security/tpm0/binary_bios_measurements',
      systemd: c.machineLogs?.systemd ?? '/run/log/systemd/tpm2-measure.log',
      ima: c.machineLogs?.ima ?? '/sys/kernel/security/ima/binary_runtime_measurements',
    },
    ...(v === undefined
      ? {}
      : {
          verifier: {
            url: v.url,
            ...(v.trust === undefined ? {} : { trust: v.trust }),
            ...(v.ca === undefined ? {} : { ca: v.ca }),
            tlsSpkiSha256: (v.tlsSpkiSha256 ?? []).map((pin) => pin.toLowerCase()),
            ticketKeys: v.ticketKeys ?? [],
          },
        }),
    ...(enrolmentToken === undefined ? {} : { enrolmentToken }),
    ...(enrolmentTokenFile === undefined ? {} : { enrolmentTokenFile }),
    launchTimeoutMs: Math.round((c.launchTimeoutSeconds ?? 10) * 1000),
    ...(c.stopPodsAfterSilenceSeconds === undefined
      ? {}
      : { stopPodsAfterSilenceMs: Math.round(c.stopPodsAfterSilenceSeconds * 1000) }),
    logLevel: c.logLevel ?? 'info',
  }
}

/** @returns an error that says which file could not be read and why */
export function unreadable(what: string, file: string, cause: unknown): AgentConfigError {
  const reason = codeOf(cause) === 'ENOENT' ? 'there is no such file' : messageOf(cause)
  return new AgentConfigError('AGENT_CONFIG_UNREADABLE', `${what} ${file}: ${reason}`, { cause })
}
