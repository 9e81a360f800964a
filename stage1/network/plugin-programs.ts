import path from 'node:path'
import { toHex } from '../../attestation/base/index.ts'
import { digest } from '../../attestation/crypto/index.ts'
import { NetworkError } from './errors.ts'
import { readRootFile, rootFileState } from './root-file.ts'

/** A plugin's program. */
export interface PluginProgram {
  readonly path: string
  /** Of the whole content, hex. */
  readonly sha256: string
  readonly state: string
}

/** Where Debian has them, and where everybody else puts them. */
export const PLUGIN_DIRS = ['/usr/lib/cni', '/opt/cni/bin'] as const

const MAX_PROGRAM_BYTES = 256 << 20

/** @throws NetworkError NETWORK_PLUGIN_MISSING, NETWORK_CONFIG_UNSAFE, NETWORK_CONFIG_UNREADABLE */
export function findPlugin(type: string, dirs: readonly string[], network: string): PluginProgram {
  for (const dir of dirs) {
    const file = path.join(dir, type)
    const read = readRootFile(file, MAX_PROGRAM_BYTES)
    if (read !== undefined) return { path: file, sha256: toHex(digest('sha256', read.bytes)), state: read.state }
  }
  throw new NetworkError(
    'NETWORK_PLUGIN_MISSING',
    `network ${network} needs the plugin ${type}, which is not in ${dirs.join(' or ')}`,
    {
      hint: 'On Debian: apt-get install containernetworking-plugins iptables. Others go to /opt/cni/bin.',
    },
  )
}

/** @throws NetworkError NETWORK_PROGRAM_CHANGED where what was measured may not be what was run */
export function checkPluginsUnchanged(programs: readonly PluginProgram[]): void {
  const changed = programs.find((p) => rootFileState(p.path) !== p.state)
  if (changed === undefined) return
  throw new NetworkError('NETWORK_PROGRAM_CHANGED', `${changed.path} was changed after it was measured`, {
    hint: 'Nothing was started. Find out who writes to it, then launch again.',
  })
}
