import fs from 'node:fs'
import path from 'node:path'
import { Command, Option } from 'commander'
import { codeOf, EXIT_HOLDFAST_FAILED, formatTable, messageOf } from '../../attestation/base/index.ts'
import { DEFAULT_REGISTRIES_FILE, readRegistrySettings } from '../image/index.ts'
import { NETWORK_DIRS, PLUGIN_DIRS, readConfiguredNetworks } from '../network/index.ts'
import { allTrustedKeys, DEFAULT_CONFIG, loadImagePolicy } from '../signatures/index.ts'
import { DEFAULT_DIR, installation } from './installation.ts'

interface ConfigOptions {
  readonly dir: string
  readonly localConfig: string
  readonly systemConfig: string
  readonly registries?: string
  readonly agentConfig: string
  readonly legend: boolean
  readonly format: 'table' | 'json'
}

/** What `config` shows of the agent's file; throws as files do. It is given by who may know of the agent. */
export interface AgentSettingsSource {
  readonly defaultFile: string
  readonly read: (file: string) => Readonly<Record<string, string>>
}

/** One thing that is configured, or could be. */
interface Setting {
  readonly setting: string
  /** Of several of a kind: a registry, a network. */
  readonly name?: string
  /** File or directory. */
  readonly from: string
  readonly state: 'in force' | 'missing' | 'not readable' | 'bad'
  readonly details: Readonly<Record<string, string | number | boolean | readonly string[]>>
}

/** `holdfast config` */
export function configCommand(agent: AgentSettingsSource): Command {
  return new Command('config')
    .description('Print what is configured on this machine, and from where: never a password, token or key.')
    .option('--local-config <directory>', 'image policy and trusted keys of this machine', DEFAULT_CONFIG.local)
    .option('--system-config <directory>', 'the same, as they came with the system', DEFAULT_CONFIG.system)
    .option('--registries <file>', `settings of registries (default: ${DEFAULT_REGISTRIES_FILE})`)
    .option('--agent-config <file>', "the agent's configuration", agent.defaultFile)
    .option('--dir <directory>', 'images and pods', DEFAULT_DIR)
    .option('--no-legend', 'no header line')
    .addOption(new Option('--format <format>', 'how to print').choices(['table', 'json']).default('table'))
    .addHelpText('after', EXAMPLES)
    .action((options: ConfigOptions) => show(options, agent))
}

const EXAMPLES = `
A file that is not there is shown as missing, as what goes without it then holds; one that this user may not read as not readable.
Exit status 254 means that a file is bad: commands that need it will refuse to work.

Examples:
  holdfast config
  holdfast config --format=json | jq -r '.[] | select(.setting == "image-policy").details.sha256'
`

function show(o: ConfigOptions, agent: AgentSettingsSource): void {
  const settings = [
    ...directory('data-directory', o.dir),
    ...imagePolicy(o),
    ...trustedKeys(o),
    ...registries(o),
    ...networks(),
    ...PLUGIN_DIRS.flatMap((dir) => directory('network-plugins', dir)),
    ...reading('agent', o.agentConfig, agent.read, (details) => [
      { setting: 'agent', from: o.agentConfig, state: 'in force', details },
    ]),
  ]
  process.stdout.write(o.format === 'json' ? `${JSON.stringify(settings, undefined, 2)}\n` : table(settings, o.legend))
  if (settings.some(({ state }) => state === 'bad')) process.exitCode = EXIT_HOLDFAST_FAILED
}

function imagePolicy({ localConfig, systemConfig }: ConfigOptions): readonly Setting[] {
  const config = { local: localConfig, system: systemConfig }
  return reading(
    'image-policy',
    localConfig,
    () => loadImagePolicy(config),
    ({ where, sha256 }) => [{ setting: 'image-policy', from: where, state: 'in force', details: { sha256 } }],
  )
}

function trustedKeys({ localConfig, systemConfig }: ConfigOptions): readonly Setting[] {
  const config = { local: localConfig, system: systemConfig }
  return reading(
    'trusted-keys',
    localConfig,
    () => allTrustedKeys(config),
    (keys) =>
      (['local', 'system'] as const).flatMap((from) => {
        const count = keys.filter((key) => key.from === from).length
        return directory('trusted-keys', path.join(config[from], 'trustedkeys'), { keys: count })
      }),
  )
}

function registries({ registries: named }: ConfigOptions): readonly Setting[] {
  const file = named ?? DEFAULT_REGISTRIES_FILE
  return reading(
    'registry',
    file,
    () => {
      fs.statSync(file) // readRegistrySettings does not tell a file that is missing from a certificate that is
      return readRegistrySettings(file)
    },
    (found) =>
      [...found].map(([name, { http, certificateAuthorities, mirrors }]): Setting => {
        const own = { http, ownCertificates: certificateAuthorities !== undefined }
        const places = mirrors.map((m) => `${m.host}/${m.prefix}${m.tags ? ' (tags)' : ''}`)
        return { setting: 'registry', name, from: file, state: 'in force', details: { ...own, mirrors: places } }
      }),
  )
}

/** As a launch finds them; of what is in their files there may be passwords of plugins. */
function networks(): readonly Setting[] {
  const dirs = [...NETWORK_DIRS, installation().networks]
  return reading(
    'network',
    dirs.join(', '),
    () => readConfiguredNetworks(dirs),
    (found) =>
      [...found].map(([name, { file, sha256 }]) => ({
        ...{ setting: 'network', name, from: file, state: 'in force', details: { sha256 } },
      })),
  )
}

function directory(setting: string, from: string, details: Setting['details'] = {}): readonly Setting[] {
  return reading(setting, from, fs.statSync, () => [{ setting, from, state: 'in force', details }])
}

/** Of these an error tells its code alone: messages quote what they complain of, and there may be secrets in it. */
const SECRET = ['agent', 'network']

function reading<T>(
  setting: string,
  from: string,
  read: (file: string) => T,
  shown: (found: T) => readonly Setting[],
): readonly Setting[] {
  try {
    return shown(read(from))
  } catch (err) {
    const code = codeOf(err)
    if (code === 'ENOENT') return [{ setting, from, state: 'missing', details: {} }]
    if (isClosed(err)) return [{ setting, from, state: 'not readable', details: {} }]
    if (code === undefined && !(err instanceof RangeError)) throw err
    const problem = SECRET.includes(setting) ? (code ?? 'RangeError') : messageOf(err)
    return [{ setting, from, state: 'bad', details: { problem } }]
  }
}

/** Whether it is because of this user's rights, or something behind it is. */
function isClosed(err: unknown): boolean {
  return codeOf(err) === 'EACCES' || (err instanceof Error && err.cause !== undefined && isClosed(err.cause))
}

function table(settings: readonly Setting[], legend: boolean): string {
  const rows = settings.map(({ setting, name, state, from, details }) => [
    ...[setting, name ?? '-', state, from],
    Object.entries(details)
      .filter(([, value]) => !Array.isArray(value) || value.length > 0)
      .map(([key, value]) => `${key}=${Array.isArray(value) ? value.join(',') : String(value)}`)
      .join(' '),
  ])
  return formatTable(legend ? ['SETTING', 'NAME', 'STATE', 'FROM', 'DETAILS'] : undefined, rows)
}
