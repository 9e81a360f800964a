import { createHash } from 'node:crypto'
import { apiTokenDigest, newApiToken, type Role } from '../../attestation/api/tokens.ts'
import { type Labels, type Store, saveApiToken } from '../../attestation/store/index.ts'

/** A node's ID by a number; in no order of the numbers. */
export function fleetNodeId(n: number): string {
  return createHash('sha256').update(`node ${n}`).digest('hex')
}

export interface FleetNode {
  readonly n: number
  readonly labels?: Labels
  readonly standing?: string
  readonly admission?: string
  readonly createdAt?: string
}

/** Puts rows of nodes into a store as enrolment leaves them, without the proofs: many at once. */
export async function seedNodes(store: Store, nodes: readonly FleetNode[]): Promise<void> {
  await store.transact(async (tx, at) => {
    for (let i = 0; i < nodes.length; i += 200) {
      const rows = nodes.slice(i, i + 200).map(({ n, ...node }) => ({
        node_id: fleetNodeId(n),
        ek_public: Buffer.from(`ek ${n}`),
        ek_certificate_sha256: null,
        endorsement: null,
        ak_public: null,
        ak_name: null,
        ak_certificate: null,
        admission: node.admission ?? 'admitted',
        admitted_by: 'operator',
        labels: JSON.stringify(node.labels ?? {}),
        attributes: JSON.stringify({ hostname: `host${n}` }),
        tier: 'affirming',
        quarantine: null,
        standing: node.standing ?? 'trusted',
        standing_since: at,
        standing_reasons: '[]',
        state: null,
        machine: null,
        generation: 1,
        created_at: node.createdAt ?? at,
        updated_at: at,
      }))
      await tx.insertInto('nodes').values(rows).execute()
    }
  })
}

/** An event of a node. */
export async function seedEvent(store: Store, n: number, to = 'trusted', message = 'looked well'): Promise<void> {
  await store.transact(async (tx, at) => {
    const reasons = JSON.stringify([{ rule: 'test', message }])
    const values = { at, node_id: fleetNodeId(n), from: 'pending', to, reasons }
    await tx.insertInto('node_events').values(values).execute()
  })
}

let launches = 0

/** A decision and a verdict of a node, with evidence of their own. @returns the digest of the evidence */
export async function seedLaunch(
  store: Store,
  n: number,
  over: { readonly outcome?: 'allowed' | 'denied'; readonly at?: string } = {},
): Promise<string> {
  const bytes = Buffer.from(`evidence of ${n}, ${launches++}`)
  const evidence_sha256 = createHash('sha256').update(bytes).digest('hex')
  const node_id = fleetNodeId(n)
  await store.transact(async (tx, now) => {
    const at = over.at ?? now
    await tx.insertInto('evidence').values({ sha256: evidence_sha256, kind: 'evidence', at, bytes }).execute()
    await tx
      .insertInto('verdicts')
      .values({ at, node_id, tier: 'affirming', findings: '[]', evidence_sha256 })
      .execute()
    await tx
      .insertInto('decisions')
      .values({
        ...{ at, node_id, evidence_sha256, tier: 'affirming', outcome: over.outcome ?? 'allowed', code: null },
        ...{ reasons: '["as the policy says"]', policy_revision: null, ticket_id: null },
        ...{ pod_uuid: podOf(n), request: Buffer.from(`{"pod":${n}}`), request_sha256: '5'.repeat(64) },
      })
      .execute()
  })
  return evidence_sha256
}

export function podOf(n: number): string {
  return `11111111-2222-4333-8444-${n.toString(16).padStart(12, '0')}`
}

/** @returns the secret of a new token */
export async function makeToken(
  store: Store,
  name: string,
  role: Role,
  over: { readonly labels?: Labels; readonly expiresAt?: Date } = {},
): Promise<string> {
  const token = newApiToken()
  const { labels = {}, expiresAt = new Date(Date.now() + 86_400_000) } = over
  await saveApiToken(store, { name, sha256: apiTokenDigest(token), role, labels, expiresAt }, 'tester')
  return token
}
