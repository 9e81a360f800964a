import { NodeStateError, parseNodeState, releaseNode, serialiseNodeState } from '../appraisal/index.ts'
import { StoreError } from './errors.ts'
import { recordStanding } from './node-events.ts'
import type { Labels, NodeRecord } from './records.ts'
import type { Store } from './store.ts'

/** Shortest beginning of a node ID that names a node on the command line. */
const MIN_PREFIX = 4

/**
 * @param name a node ID, or the beginning of one, or a host name
 * @throws StoreError STORE_NODE_UNKNOWN when none or several answer to it
 */
export async function findNode(store: Store, name: string): Promise<NodeRecord> {
  const all = await store.nodes()
  const wanted = name.toLowerCase()
  const byId = wanted.length >= MIN_PREFIX ? all.filter((n) => n.nodeId.startsWith(wanted)) : []
  const found = byId.length > 0 ? byId : all.filter((n) => n.attributes['hostname'] === name)
  const [node] = found
  if (node === undefined) {
    throw new StoreError('STORE_NODE_UNKNOWN', `no node is called ${name}; see: holdfast nodes list`)
  }
  if (found.length > 1) {
    throw new StoreError('STORE_NODE_UNKNOWN', `${found.length} nodes answer to ${name}; give more of the node ID`)
  }
  return node
}

/** What an operator may do to a node. Each act is kept with the name of who did it. */
export type OperatorAct =
  | { readonly act: 'admit' }
  | { readonly act: 'refuse' }
  /** Ends quarantine, and forgives violations and overdue tickets. */
  | { readonly act: 'release' }
  /** Takes the AK away, so that the next one activated beside the same EK becomes the node's. */
  | { readonly act: 'rebind' }
  | { readonly act: 'label'; readonly set: Labels; readonly remove: readonly string[] }

/** Carries out an act on a node and keeps it, in one commit. */
export async function operate(store: Store, nodeId: string, act: OperatorAct, operator: string): Promise<void> {
  await store.transact(async (tx, at) => {
    const row = await tx
      .selectFrom('nodes')
      .select(['labels', 'state'])
      .where('node_id', '=', nodeId)
      .executeTakeFirst()
    if (!row) throw new StoreError('STORE_NODE_UNKNOWN', `no node ${nodeId}`)
    await tx
      .updateTable('nodes')
      .set((eb) => ({
        updated_at: at,
        ...changes(act, row),
        ...(act.act !== 'label' && { generation: eb('generation', '+', 1) }),
      }))
      .where('node_id', '=', nodeId)
      .execute()
    await recordStanding(
      tx,
      at,
      nodeId,
      [{ rule: `operator.${act.act}`, message: `${operator} said ${act.act}` }],
      undefined,
    )
    const { act: word, ...detail } = act
    await tx
      .insertInto('operator_acts')
      .values({ at, operator, act: word, node_id: nodeId, detail: JSON.stringify(detail) })
      .execute()
  })
}

function changes(act: OperatorAct, row: { readonly labels: string; readonly state: string | null }) {
  switch (act.act) {
    case 'admit':
      return { admission: 'admitted', admitted_by: 'operator' }
    case 'refuse':
      return { admission: 'refused', admitted_by: null, tier: 'none' }
    case 'release':
      return { quarantine: null, state: releasedState(row.state), machine: null, tier: 'none' }
    case 'rebind':
      return { ak_public: null, ak_name: null, ak_certificate: null, state: null, machine: null, tier: 'none' }
    case 'label': {
      const labels: Labels = JSON.parse(row.labels)
      const kept = Object.entries({ ...labels, ...act.set }).filter(([k]) => !act.remove.includes(k))
      return { labels: JSON.stringify(Object.fromEntries(kept)) }
    }
    default:
      return act satisfies never
  }
}

/** A state that cannot be read is what a release is for: the node starts anew, as at first contact. */
function releasedState(text: string | null): string | null {
  if (text === null) return null
  try {
    const state = releaseNode(parseNodeState(text))
    return state === undefined ? null : serialiseNodeState(state)
  } catch (err) {
    if (err instanceof NodeStateError) return null
    throw err
  }
}

/** Keeps the digest of a new one-time token; the token itself is shown once and stored nowhere. */
export async function saveToken(
  store: Store,
  token: { readonly sha256: string; readonly labels: Labels; readonly expiresAt: Date },
  operator: string,
): Promise<void> {
  await store.transact(async (tx, at) => {
    await tx
      .insertInto('enrolment_tokens')
      .values({
        token_sha256: token.sha256,
        labels: JSON.stringify(token.labels),
        created_at: at,
        expires_at: token.expiresAt.toISOString(),
        used_at: null,
        used_by: null,
      })
      .execute()
    await tx
      .insertInto('operator_acts')
      .values({
        at,
        operator,
        act: 'create-token',
        node_id: null,
        detail: JSON.stringify({ tokenSha256: token.sha256, labels: token.labels }),
      })
      .execute()
  })
}
