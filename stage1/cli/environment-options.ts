import { UsageError } from '../../attestation/base/index.ts'
import type { EnvironmentVariable } from '../manifest/index.ts'
import type { OptionSpec, OptionValues } from './option-table.ts'

/** Options about the environment of one app. */
export const APP_ENVIRONMENT_OPTIONS: readonly OptionSpec[] = [
  { name: 'environment', value: 'NAME=VALUE', several: true, of: 'app', help: ['set a variable of this app'] },
  { name: 'env-file', value: 'FILE', several: true, of: 'app', help: ['set the variables of a file, for this app'] },
]

/** Options about the environment of all apps. */
export const POD_ENVIRONMENT_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'set-env',
    value: 'NAME=VALUE',
    several: true,
    of: 'pod',
    help: ['set a variable of all apps; the launch log shows a keyed digest of its value, never the value'],
  },
  {
    name: 'set-env-file',
    value: 'FILE',
    several: true,
    of: 'pod',
    help: ['set the variables of a file, one NAME=VALUE a line; lines that begin with # say nothing'],
  },
  { name: 'inherit-env', of: 'pod', help: ["give all apps the caller's own environment; what is set wins over it"] },
]

/** Variables of apps as they were asked for; files have not been read yet. */
export interface EnvironmentOptions {
  readonly inherit: boolean
  /** As typed. */
  readonly files: readonly string[]
  /** These win over those of files. */
  readonly variables: readonly EnvironmentVariable[]
}

/** @throws UsageError */
export function podEnvironment(options: OptionValues): EnvironmentOptions {
  return {
    inherit: options.flag('inherit-env'),
    files: options.all('set-env-file'),
    variables: options.all('set-env').map((text) => parseVariable('--set-env', text)),
  }
}

/** @throws UsageError */
export function appEnvironment(options: OptionValues): EnvironmentOptions {
  return {
    inherit: false,
    files: options.all('env-file'),
    variables: options.all('environment').map((text) => parseVariable('--environment', text)),
  }
}

/** The variables of a file of `--set-env-file`. @throws UsageError naming the line, never its value */
export function parseEnvironmentFile(name: string, text: string): EnvironmentVariable[] {
  return text.split('\n').flatMap((line, i) => {
    const trimmed = line.endsWith('\r') ? line.slice(0, -1) : line
    if (trimmed.trim() === '' || trimmed.startsWith('#')) return []
    const at = trimmed.indexOf('=')
    if (at <= 0) throw new UsageError(`${name}: line ${i + 1} is not NAME=VALUE`)
    return [{ name: trimmed.slice(0, at), value: trimmed.slice(at + 1) }]
  })
}

/** What a process's environment gives, but for names that no app could have. */
export function inheritedVariables(environment: Readonly<Record<string, string | undefined>>): EnvironmentVariable[] {
  return Object.entries(environment).flatMap(([name, value]) =>
    value === undefined || name === '' ? [] : [{ name, value }],
  )
}

/** The value may be a secret, so it is in no message. */
function parseVariable(option: string, text: string): EnvironmentVariable {
  const at = text.indexOf('=')
  if (at <= 0) throw new UsageError(`${option} ${at < 0 ? text.slice(0, 40) : ''}: write NAME=VALUE`)
  return { name: text.slice(0, at), value: text.slice(at + 1) }
}
