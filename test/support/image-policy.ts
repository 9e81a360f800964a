import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Every image is admitted, signed or not: for tests that are about something else. */
const ACCEPT_ANYTHING = { default: [{ type: 'insecureAcceptAnything' }] }

/** Options of `holdfast fetch`, `run` and others that make them use a configuration directory. */
export function configOptions(directory: string): readonly string[] {
  return ['--local-config', directory, '--system-config', join(directory, 'system')]
}

/** Writes an image policy into a configuration directory. @returns configOptions() of it */
export function writeImagePolicy(directory: string, policy: unknown = ACCEPT_ANYTHING): readonly string[] {
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, 'image-policy.json'), JSON.stringify(policy))
  return configOptions(directory)
}
