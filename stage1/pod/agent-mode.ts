import fs from 'node:fs'
import { parse } from 'yaml'
import { messageOf } from '../../attestation/base/index.ts'
import type { LaunchMode } from './answer-check.ts'
import { PodError } from './errors.ts'
import { readRootsFile } from './roots-file.ts'

/**
 * What root has written that this node's agent may do without the verifier. The agent says so too, in what it measures;
 * but it runs as a user of its own, and whoever took it over would say `off`.
 *
 * @returns `enforce` where there is no such file, or where it says nothing of it
 * @throws PodError LAUNCH_MODE_UNKNOWN when the file cannot be believed
 */
export function readConfiguredMode(file: string): LaunchMode {
  if (!fs.existsSync(file)) return 'enforce'
  try {
    const mode: unknown = parse(readRootsFile(file))?.mode ?? 'enforce'
    if (mode !== 'enforce' && mode !== 'audit' && mode !== 'off') throw new TypeError('its mode is none')
    return mode
  } catch (cause) {
    throw new PodError(
      'LAUNCH_MODE_UNKNOWN',
      `whether this node may launch without a ticket: ${file}: ${messageOf(cause)}`,
      {
        cause,
        hint: "Make it root's alone to write, or name the agent's configuration with --agent-config.",
      },
    )
  }
}
