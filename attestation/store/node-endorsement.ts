/**
 * What was proved of a node's EK when its AK was bound. Text and JSON of our own making; names in it come from
 * certificates that were verified, or are quoted in messages of refusal.
 */
export interface NodeEndorsement {
  /** ISO 8601, UTC. */
  readonly at: string
  /**
   * `chain`: its EK certificate led to a root of the operator's store. `listed`: the operator vouched for it. `host`: it is
   * the TPM of a pod, and its host has measured the certificate.
   */
  readonly kind: 'chain' | 'listed' | 'host'
  /** Where a host vouched for it: node ID, and the pod's UUID. */
  readonly host?: { readonly node: string; readonly pod: string }
  /** Validity policy in force then. */
  readonly validity: string
  /** EK certificate first, root last; empty when listed. The certificates are in the evidence, by these digests. */
  readonly path: readonly { readonly subject: string; readonly fingerprint: string }[]
  /** As the EK certificate says. */
  readonly tpm?: {
    readonly vendor?: string
    readonly manufacturer?: string
    readonly model?: string
    readonly version?: string
  }
  /** Warnings of that time. */
  readonly findings: readonly { readonly rule: string; readonly message: string }[]
  /** What became of the platform certificate, where the node had one. */
  readonly platform?: NodePlatform
}

export type NodePlatform =
  | {
      readonly state: 'bound'
      readonly manufacturer?: string
      readonly model?: string
      readonly version?: string
      readonly serial?: string
      readonly root: { readonly subject: string; readonly fingerprint: string }
    }
  | { readonly state: 'refused'; readonly code: string; readonly message: string }

/** A pod is a node that its host vouches for. */
export function kindOf({ endorsement }: { readonly endorsement?: NodeEndorsement }): 'machine' | 'pod' {
  return endorsement?.kind === 'host' ? 'pod' : 'machine'
}

/**
 * Fingerprints of the CAs that a node relies on: its root and the intermediates that led there, the platform's root
 * too.
 */
export function reliedOn(endorsement: NodeEndorsement): readonly string[] {
  const platform = endorsement.platform?.state === 'bound' ? [endorsement.platform.root.fingerprint] : []
  return [...endorsement.path.slice(1).map((c) => c.fingerprint), ...platform]
}
