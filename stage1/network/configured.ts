import fs from 'node:fs'
import path from 'node:path'
import { codeOf, messageOf, toHex } from '../../attestation/base/index.ts'
import { digest } from '../../attestation/crypto/index.ts'
import { NetworkError } from './errors.ts'
import { MAX_CONFIG_BYTES, type NetworkConfig, parseNetworkConfig } from './network-config.ts'
import { readRootFile } from './root-file.ts'

/** A network of the configuration, with where it came from. */
export interface ConfiguredNetwork {
  readonly config: NetworkConfig
  readonly file: string
  /** SHA-256 of the file, hex. */
  readonly sha256: string
}

/** An administrator's own come before those of the distribution, and both before the built-in ones. */
export const NETWORK_DIRS = ['/etc/holdfast/net.d', '/usr/lib/holdfast/net.d'] as const

const ENDINGS = ['.conf', '.conflist', '.json']

/**
 * Reads every configuration. A network of an earlier directory hides those of the same name in later ones. A file that
 * cannot be used is an error whichever network is wanted: it may be meant to hide another.
 *
 * @returns by name, in the order of directories and file names
 * @throws NetworkError NETWORK_CONFIG_BAD, NETWORK_CONFIG_UNSAFE, NETWORK_CONFIG_TWICE, NETWORK_CONFIG_UNREADABLE
 */
export function readConfiguredNetworks(dirs: readonly string[]): ReadonlyMap<string, ConfiguredNetwork> {
  const found = new Map<string, ConfiguredNetwork>()
  for (const dir of dirs) {
    const here = new Map<string, ConfiguredNetwork>()
    for (const file of filesOf(dir)) {
      const read = readRootFile(file, MAX_CONFIG_BYTES)
      if (read === undefined) continue // removed since
      const config = parseNetworkConfig(read.bytes, file)
      const other = here.get(config.name)
      if (other !== undefined) {
        throw new NetworkError(
          'NETWORK_CONFIG_TWICE',
          `${file} and ${other.file} both configure the network ${config.name}`,
        )
      }
      here.set(config.name, { config, file, sha256: toHex(digest('sha256', read.bytes)) })
    }
    for (const [name, network] of here) if (!found.has(name)) found.set(name, network)
  }
  return found
}

function filesOf(dir: string): string[] {
  try {
    return fs
      .readdirSync(dir)
      .filter((name) => ENDINGS.some((ending) => name.endsWith(ending)))
      .sort()
      .map((name) => path.join(dir, name))
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return []
    throw new NetworkError('NETWORK_CONFIG_UNREADABLE', `${dir}: ${messageOf(err)}`, { cause: err })
  }
}
