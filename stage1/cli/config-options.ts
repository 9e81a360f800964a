import path from 'node:path'
import { type ConfigDirectories, DEFAULT_CONFIG } from '../signatures/index.ts'
import type { OptionSpec, OptionValues } from './option-table.ts'

/** Where what decides about images is: for every command that fetches or launches. */
export const CONFIG_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'local-config',
    value: 'DIRECTORY',
    of: 'command',
    help: [`image-policy.json and trustedkeys of this machine (default ${DEFAULT_CONFIG.local})`],
  },
  {
    name: 'system-config',
    value: 'DIRECTORY',
    of: 'command',
    help: [`the same, as they came with the system (default ${DEFAULT_CONFIG.system})`],
  },
]

/** As typed: relative paths are relative to the caller's directory. @throws UsageError */
export function readConfigOptions(o: OptionValues): ConfigDirectories {
  return {
    local: o.last('local-config') ?? DEFAULT_CONFIG.local,
    system: o.last('system-config') ?? DEFAULT_CONFIG.system,
  }
}

export function configAt({ local, system }: ConfigDirectories, cwd: string): ConfigDirectories {
  return { local: path.resolve(cwd, local), system: path.resolve(cwd, system) }
}
