import fs from 'node:fs'
import path from 'node:path'
import { codeOf } from '../../attestation/base/index.ts'
import type { PortMapping } from '../manifest/index.ts'
import { NetworkError } from './errors.ts'
import { NAMESPACE_DIR, PodNetworkDir } from './pod-network-dir.ts'
import { portsCollide } from './port-mappings.ts'

/**
 * UUIDs of all pods of this machine that have a network namespace now, of any data directory. After a reboot there are
 * none.
 */
export function connectedPods(): string[] {
  try {
    return fs.readdirSync(NAMESPACE_DIR)
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return []
    throw err
  }
}

/** The directory of a pod, wherever it is in its life. @returns undefined where this data directory has no such pod */
export function findPodPath(parents: readonly string[], uuid: string): string | undefined {
  return parents.map((parent) => path.join(parent, uuid)).find((p) => fs.existsSync(p))
}

/**
 * Packets of a port that two pods want would all go to the one that was first, without a word.
 *
 * @param podPaths of other pods that have networks now
 * @throws NetworkError NETWORK_PORT_TAKEN
 */
export function checkPortsFree(ports: readonly PortMapping[], podPaths: readonly string[]): void {
  if (ports.length === 0) return
  for (const podPath of podPaths) {
    const taken = new PodNetworkDir(podPath).ports().find((theirs) => ports.some((own) => portsCollide(own, theirs)))
    if (taken === undefined) continue
    const uuid = path.basename(podPath)
    throw new NetworkError(
      'NETWORK_PORT_TAKEN',
      `pod ${uuid} has port ${taken.hostPort}/${taken.protocol} of the host already`,
      {
        hint: `Stop it, or give another port: --port ${taken.name}:PORT.`,
      },
    )
  }
}
