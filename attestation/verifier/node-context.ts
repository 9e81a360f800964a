import { type NodeState, parseNodeState, type Tier, tierFromText } from '../appraisal/index.ts'
import { messageOf, toHex } from '../base/index.ts'
import { type MachineState, parseMachineState, withoutLogs } from '../machine/index.ts'
import type { Labels, NodeEndorsement, NodeRecord, NodeVersion } from '../store/index.ts'
import { objectName, type QualifiedParent, qualifiedName, TPM_RH_ENDORSEMENT, type VerifiedAk } from '../tpm2/index.ts'

/**
 * What the verifier holds in memory of one node, for as long as it is connected or tickets of it are out. Everything that
 * changes it goes through `exclusively`, whichever connection it comes by.
 */
export class NodeContext {
  readonly nodeId: string
  readonly ak: VerifiedAk
  /** The EK: the AK is its child, so each quote's qualifiedSigner names the EK, and with it the endorsement hierarchy. */
  readonly akParent: QualifiedParent
  readonly akName: string
  /** Of the stored record; what was read under an older one is not written back. */
  readonly generation: number
  /** Of the stored record, and grows with each result of ours that is kept. */
  revision: number
  readonly ekCertified: boolean
  readonly endorsement: NodeEndorsement | undefined
  /** TPM vendor, of the EK certificate. */
  readonly manufacturer: string | undefined
  /** As stored. Replaced only after the commit of the new one. */
  state: NodeState | undefined
  machine: MachineState | undefined
  /** As an operator gave them; they change while the node is connected. */
  labels: Labels
  tier: Tier
  /** Whether its silence has been kept as its standing. */
  silent: boolean
  /** performance.now() of the last verified evidence. */
  lastEvidenceMs: number
  /** Wall clock of it, milliseconds since 1970. */
  lastEvidenceAt = 0
  #queue: Promise<unknown> = Promise.resolve()

  /** @throws NodeStateError when the stored state cannot be read: it is never taken for none */
  constructor(node: NodeRecord, ak: VerifiedAk, nowMs: number) {
    this.nodeId = node.nodeId
    this.ak = ak
    this.akParent = { qualifiedName: qualifiedName({ hierarchy: TPM_RH_ENDORSEMENT }, objectName(node.ekPublic)) }
    this.akName = toHex(ak.name)
    this.generation = node.generation
    this.revision = node.revision
    this.ekCertified = node.ekCertificateSha256 !== undefined
    this.endorsement = node.endorsement
    this.manufacturer = node.endorsement?.tpm?.manufacturer
    this.state = node.state === undefined ? undefined : parseNodeState(node.state)
    const machine = node.machine === undefined ? undefined : parseMachineState(node.machine)
    // with another AK the TPM may have been cleared, and by its counters alone the agent could not tell which logs are asked for
    this.machine = machine !== undefined && this.state?.anotherAk ? withoutLogs(machine) : machine
    this.labels = node.labels
    this.tier = tierFromText(node.tier)
    this.silent = node.standing === 'stale'
    this.lastEvidenceMs = nowMs
  }

  /** That the store has, unless somebody else has changed the node. */
  get version(): NodeVersion {
    return { nodeId: this.nodeId, generation: this.generation, revision: this.revision }
  }

  /** Whether a record that was read now is the one that this is made from, with what was kept since. */
  isOf(node: NodeVersion): boolean {
    return node.generation === this.generation && node.revision === this.revision
  }

  /** Runs `work` when everything begun before it has ended. */
  exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work)
    this.#queue = result.catch(messageOf) // the caller has the error; the next in line does not need it
    return result
  }
}
