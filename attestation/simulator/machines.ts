import { type CertificateAuthority, issueEkCertificate } from '../ca/index.ts'
import { assignBehaviours, type Shares } from './behaviour.ts'
import { type NodeIdentity, type NodeWatcher, SimulatedNode } from './node.ts'
import type { SoftKeys } from './soft-keys.ts'
import { SoftTpm } from './soft-tpm.ts'

/** TPM of no maker: the vendor ID is `HFSM`. */
const TPM_NAME = { manufacturer: 'id:4846534D', model: 'simulated', version: 'id:00010000' }
const CLOCK_MS_PER_BOOT = 1_000_000n
const EK_CERTIFICATE_LIFETIME_MS = 3652 * 86_400_000

export interface MachineOptions {
  readonly verifierId: string
  readonly shares: Shares
  /** resetCount of the first boot. */
  readonly boot: number
  /** How late a slow node answers. */
  readonly slowMs: number
  readonly random: () => number
  readonly ca?: CertificateAuthority
  /** One for each node that has yet to be admitted by it. */
  readonly tokens?: readonly string[]
}

/**
 * A node on each of these pairs of keys.
 *
 * @throws SimulatorError SIMULATE_SHARES_INVALID
 */
export function makeNodes(
  keys: readonly SoftKeys[],
  options: MachineOptions,
  watcher: NodeWatcher,
): readonly SimulatedNode[] {
  const behaviours = assignBehaviours(keys.length, options.shares, options.random)
  return keys.map((key, i) => {
    const tpm = new SoftTpm(['sha256'], key)
    // a TPM's clock goes on over its boots; with each quote of a SoftTpm it does so by a second
    tpm.clock = { ...tpm.clock, resetCount: options.boot, clockMs: BigInt(options.boot) * CLOCK_MS_PER_BOOT }
    return new SimulatedNode(identity(tpm, i, options), behaviours[i] ?? 'healthy', options, watcher)
  })
}

function identity(tpm: SoftTpm, i: number, { ca, tokens }: MachineOptions): NodeIdentity {
  const token = tokens?.[i]
  return {
    tpm,
    hostname: `simulated-${String(i).padStart(6, '0')}.example`,
    ...(ca !== undefined && { ekCertificate: once(() => ekCertificate(ca, tpm)) }),
    ...(token !== undefined && { token }),
  }
}

function ekCertificate(ca: CertificateAuthority, tpm: SoftTpm): Uint8Array {
  const request = { publicKeyInfo: tpm.ekSpki(), tpm: TPM_NAME, now: new Date() }
  return new Uint8Array(issueEkCertificate(ca, { ...request, lifetimeMs: EK_CERTIFICATE_LIFETIME_MS }).der)
}

/** It is signed when the node says hello first, and not before a fleet can start. */
function once<T>(make: () => T): () => T {
  let made: T | undefined
  return () => {
    made ??= make()
    return made
  }
}
