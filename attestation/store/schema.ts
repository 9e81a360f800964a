import type { Generated } from 'kysely'

/** Times are ISO 8601 UTC text, digests lowercase hex, `json` columns JSON text. */
export interface Database {
  nodes: NodesTable
  enrolment_tokens: TokensTable
  decisions: DecisionsTable
  verdicts: VerdictsTable
  evidence: EvidenceTable
  operator_acts: OperatorActsTable
  node_events: NodeEventsTable
  webhooks: WebhooksTable
  pod_tpms: PodTpmsTable
  settings: SettingsTable
  api_tokens: ApiTokensTable
}

/** One machine: EK, node ID and AK belong together until an operator says otherwise. */
export interface NodesTable {
  node_id: string
  ek_public: Uint8Array
  ek_certificate_sha256: string | null
  /** NodeEndorsement as JSON; null for a node that was bound before this was kept. */
  endorsement: string | null
  ak_public: Uint8Array | null
  ak_name: string | null
  ak_certificate: Uint8Array | null
  admission: string
  admitted_by: string | null
  labels: string
  attributes: string
  tier: string
  quarantine: string | null
  standing: string
  standing_since: string
  standing_reasons: string
  state: string | null
  machine: string | null
  /** Grows with each operator's act that changes what the verifier holds in memory of the node. */
  generation: number
  /** Grows with each appraisal that is kept. */
  revision: Generated<number>
  created_at: string
  updated_at: string
}

export interface TokensTable {
  token_sha256: string
  labels: string
  created_at: string
  expires_at: string
  used_at: string | null
  used_by: string | null
}

export interface DecisionsTable {
  id: Generated<number>
  at: string
  node_id: string
  pod_uuid: string
  outcome: string
  code: string | null
  reasons: string
  policy_revision: string | null
  ticket_id: string | null
  tier: string
  request_sha256: string
  request: Uint8Array
  evidence_sha256: string
}

export interface VerdictsTable {
  id: Generated<number>
  at: string
  node_id: string
  tier: string
  findings: string
  evidence_sha256: string | null
}

export interface EvidenceTable {
  sha256: string
  kind: string
  at: string
  bytes: Uint8Array
}

export interface OperatorActsTable {
  id: Generated<number>
  at: string
  operator: string
  act: string
  node_id: string | null
  detail: string
}

/** TPMs of pods, of launches that were allowed: whom they belong to is never another one. */
export interface PodTpmsTable {
  node_id: string
  certificate_sha256: string
  authority_sha256: string
  host: string
  pod_uuid: string
  at: string
}

/** Changes of standing, for webhooks and history. */
export interface NodeEventsTable {
  id: Generated<number>
  at: string
  node_id: string
  from: string
  to: string
  reasons: string
}

/** How far each receiver of webhooks has come. */
export interface WebhooksTable {
  receiver: string
  event_id: number
  acknowledged_at: string | null
}

/** Who may use the verifier's API. A name is never used again: it stands in the records of what was done by it. */
export interface ApiTokensTable {
  name: string
  token_sha256: string
  role: string
  labels: string
  created_at: string
  created_by: string
  expires_at: string
  revoked_at: string | null
  last_used_at: string | null
}

export interface SettingsTable {
  name: string
  value: string
}
