import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  type AkKind,
  KeyDirectory,
  makeNodes,
  parseShares,
  readTrust,
  SimulatedFleet,
  type SimulatedNode,
  type Summary,
  seededRandom,
  Tally,
} from '../../../attestation/simulator/index.ts'
import { nodeIdOf } from '../../../attestation/tpm2/index.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { startTestVerifier, type TestVerifier } from '../../support/verifier.ts'

export const QUICK = `attestation:\n  periodSeconds: 1\n  silentAfterSeconds: 3\nlimits:\n  connectionsPerAddressPerSecond: 1000\n`

/** Keys in a directory of its own, and a verifier that lists them. */
export interface Simulated {
  readonly directory: KeyDirectory
  readonly path: string
  readonly verifier: TestVerifier
  readonly trustFile: string
  readonly stop: () => Promise<void>
}

export async function startSimulated(count: number, ak: AkKind = 'p256'): Promise<Simulated> {
  const dir = tempDir()
  try {
    const directory = new KeyDirectory(join(dir.path, 'keys'))
    const keys = await directory.keys(ak, count, () => {})
    const listed = keys.map(({ ek }) => nodeIdOf(ek.public)).join(', ')
    const verifier = await startTestVerifier({
      settings: `enrolment:\n  admission: listed\n  listed: [${listed}]\n${QUICK}`,
    })
    const trustFile = join(dir.path, 'trust.json')
    writeFileSync(trustFile, JSON.stringify(verifier.trust))
    const stop = async () => {
      await verifier.stop()
      dir.remove()
    }
    return { directory, path: join(dir.path, 'keys'), verifier, trustFile, stop }
  } catch (err) {
    dir.remove()
    throw err
  }
}

/** Runs a fleet until `enough` says so, and ends it. */
export async function simulate(
  { directory, verifier, trustFile }: Simulated,
  options: { readonly count: number; readonly ak?: AkKind; readonly shares?: string },
  enough: (nodes: readonly SimulatedNode[], tally: Tally, fleet: SimulatedFleet) => boolean,
): Promise<{ readonly nodes: readonly SimulatedNode[]; readonly summary: Summary }> {
  const { verifierId, tlsSpkiSha256 } = readTrust(trustFile)
  const random = seededRandom(1)
  const tally = new Tally()
  const keys = await directory.keys(options.ak ?? 'p256', options.count, () => {})
  const shares = options.shares === undefined ? new Map() : parseShares(options.shares)
  const nodes = makeNodes(keys, { verifierId, shares, random, boot: directory.nextBoot(), slowMs: 300 }, tally)
  const address = { host: '127.0.0.1', port: verifier.port, tlsSpkiSha256 }
  const fleet = new SimulatedFleet(nodes, { verifier: address, dialsAtOnce: 8, random }, tally)
  try {
    await fleet.start()
    while (!enough(nodes, tally, fleet)) await new Promise((resolve) => setTimeout(resolve, 50))
    return { nodes, summary: tally.summary(nodes) }
  } finally {
    await fleet.stop()
  }
}
