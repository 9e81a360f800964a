import type { Selectable } from 'kysely'
import type { Standing } from '../appraisal/index.ts'
import type { NodeEndorsement } from './node-endorsement.ts'
import { type StandingReason, standingOfRow } from './node-events.ts'
import type { PodTpmClaim } from './pod-tpms.ts'
import type { NodesTable } from './schema.ts'

export type Admission = 'pending' | 'admitted' | 'refused'
export type AdmittedBy = 'operator' | 'token' | 'listed' | 'host'
export type Labels = Readonly<Record<string, string>>

/** An attestation key that has proved, by activation, to live beside the node's EK. */
export interface BoundAk {
  /** TPMT_PUBLIC as the node sent it. */
  readonly public: Uint8Array
  /** TPM name, lowercase hex. */
  readonly name: string
  /** DER. */
  readonly certificate: Uint8Array
}

/** What a verifier has read of a node and writes back only where nobody was faster. */
export interface NodeVersion {
  readonly nodeId: string
  /** Grows with each operator's act on the node (labels apart). */
  readonly generation: number
  /** Grows with each appraisal of the node that is kept, whichever verifier it was. */
  readonly revision: number
}

/** What the store knows of one node. */
export interface NodeRecord extends NodeVersion {
  /** SHA-256 name of the EK public area, hex without the algorithm. */
  readonly nodeId: string
  readonly ekPublic: Uint8Array
  readonly ekCertificateSha256?: string
  /** Absent for a node that was bound before this was kept. */
  readonly endorsement?: NodeEndorsement
  /** Absent after `nodes rebind`, until an AK is activated again. */
  readonly ak?: BoundAk
  readonly admission: Admission
  readonly admittedBy?: AdmittedBy
  readonly labels: Labels
  /** What the node says of itself (host name, agent version): for people, never for decisions. */
  readonly attributes: Labels
  /** Last appraisal: affirming, warning, contraindicated or none. */
  readonly tier: string
  /** Why the node is in quarantine; absent when it is not. */
  readonly quarantine?: string
  readonly standing: Standing
  /** ISO 8601, UTC. */
  readonly standingSince: string
  readonly standingReasons: readonly StandingReason[]
  /** The appraisal's own memory of this node, as JSON. */
  readonly state?: string
  /** What is kept of the machine's own logs, as JSON. */
  readonly machine?: string
  readonly createdAt: string
  readonly updatedAt: string
}

export function nodeFromRow(row: Selectable<NodesTable>): NodeRecord {
  return {
    nodeId: row.node_id,
    ekPublic: new Uint8Array(row.ek_public),
    ...(row.ek_certificate_sha256 !== null && { ekCertificateSha256: row.ek_certificate_sha256 }),
    ...(row.endorsement !== null && { endorsement: JSON.parse(row.endorsement) }),
    ...(row.ak_public !== null &&
      row.ak_name !== null &&
      row.ak_certificate !== null && {
        ak: {
          public: new Uint8Array(row.ak_public),
          name: row.ak_name,
          certificate: new Uint8Array(row.ak_certificate),
        },
      }),
    admission: row.admission as Admission, // the table's check constraint allows these words only
    ...(row.admitted_by !== null && { admittedBy: row.admitted_by as AdmittedBy }), // written by this folder only
    labels: JSON.parse(row.labels),
    attributes: JSON.parse(row.attributes),
    tier: row.tier,
    ...(row.quarantine !== null && { quarantine: row.quarantine }),
    standing: standingOfRow(row),
    standingSince: row.standing_since === '' ? row.created_at : row.standing_since,
    standingReasons: JSON.parse(row.standing_reasons),
    ...(row.state !== null && { state: row.state }),
    ...(row.machine !== null && { machine: row.machine }),
    generation: row.generation,
    revision: row.revision,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}

/** Bytes kept under the SHA-256 of themselves. */
export interface EvidenceItem {
  readonly sha256: string
  readonly kind: 'evidence' | 'policy-set' | 'appraisal-policy' | 'certificate'
  readonly bytes: Uint8Array
}

/** A change of verdict. `findings` is the appraisal's list as JSON. */
export interface VerdictChange {
  readonly tier: string
  readonly findings: string
  /** When set, the node is quarantined for this reason until an operator releases it. */
  readonly quarantine?: string
  /** It is silence that led to it, no evidence. */
  readonly silent?: boolean
}

/** One launch, allowed or denied, with what is needed to decide it again. */
export interface DecisionRecord {
  readonly nodeId: string
  readonly podUuid: string
  readonly outcome: 'allowed' | 'denied'
  readonly code?: string
  readonly reasons: readonly string[]
  readonly policyRevision?: string
  readonly ticketId?: string
  readonly tier: string
  readonly request: Uint8Array
  readonly requestSha256: string
  /** Of an allowed pod that has a TPM of its own. */
  readonly podTpm?: PodTpmClaim
}
