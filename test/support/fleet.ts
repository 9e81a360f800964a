import { nodeIdOf } from '../../attestation/tpm2/index.ts'
import { AgentPeer, SoftNode } from './agent-peer.ts'
import { SoftTpm } from './soft-tpm.ts'
import { startTestVerifier, type TestVerifier, type TestVerifierOptions } from './verifier.ts'

/** A verifier that has listed the EKs of some software TPMs, and the connections a test has opened to it. */
export interface Fleet {
  readonly verifier: TestVerifier
  readonly tpms: readonly SoftTpm[]
  /** A node on the n-th TPM, its launch log begun. */
  readonly node: (n: number) => SoftNode
  readonly connect: (node: SoftNode) => Promise<AgentPeer>
  /** A node on the n-th TPM, enrolled, admitted and proven. */
  readonly proven: (n: number) => Promise<AgentPeer>
  /** Closes the connections of the last test. */
  readonly disconnect: () => Promise<void>
  readonly stop: () => Promise<void>
}

export async function startFleet(
  size: number,
  options: TestVerifierOptions & { readonly enrolment?: string; readonly tpm?: () => SoftTpm } = {},
): Promise<Fleet> {
  const tpms = Array.from({ length: size }, options.tpm ?? (() => new SoftTpm()))
  const listed = tpms.map((tpm) => nodeIdOf(tpm.ekPublic))
  const enrolment = `enrolment:\n  listed: [${listed.join(', ')}]\n  ${options.enrolment ?? 'admission: listed'}\n`
  const verifier = await startTestVerifier({ ...options, settings: `${enrolment}${options.settings ?? ''}` })
  const open: AgentPeer[] = []
  const node = (n: number): SoftNode => {
    const tpm = tpms[n]
    if (tpm === undefined) throw new RangeError(`the fleet has ${size} TPMs`)
    return new SoftNode(tpm, verifier.trust.verifierId)
  }
  const connect = async (of: SoftNode): Promise<AgentPeer> => {
    const peer = await AgentPeer.connect(of, verifier)
    open.push(peer)
    return peer
  }
  return {
    verifier,
    tpms,
    node,
    connect,
    proven: async (n) => {
      const peer = await connect(node(n))
      await peer.enrol()
      await peer.prove()
      return peer
    },
    disconnect: async () => {
      for (const peer of open.splice(0)) await peer.close()
    },
    stop: async () => {
      for (const peer of open.splice(0)) await peer.close()
      await verifier.stop()
    },
  }
}
