import type { Kysely } from 'kysely'
import { StoreError } from './errors.ts'
import type { Database } from './schema.ts'

/** The TPM of a pod, as the launch request has it that was allowed. */
export interface PodTpmClaim {
  /** Node ID that it has when it comes. */
  readonly node: string
  /** SHA-256 of its EK certificate, hex. */
  readonly certificate: string
  /** SHA-256 of the public key of who issued that, a CA of the host, hex. */
  readonly authority: string
}

/** With whom it belongs to. */
export interface PodTpm extends PodTpmClaim {
  /** Node ID of the host. */
  readonly host: string
  readonly podUuid: string
}

/**
 * Within a transaction: a TPM belongs to one pod of one host, for good. Asked for again, it is there already.
 *
 * @throws StoreError STORE_CONFLICT when a node has this ID, or another pod this TPM
 */
export async function recordPodTpm(tx: Kysely<Database>, at: string, tpm: PodTpm): Promise<void> {
  const known = await readPodTpm(tx, tpm.node)
  if (known !== undefined && isSamePod(known, tpm)) return
  const node = await tx.selectFrom('nodes').select('node_id').where('node_id', '=', tpm.node).executeTakeFirst()
  if (known !== undefined || node !== undefined) {
    throw new StoreError('STORE_CONFLICT', `the TPM ${tpm.node} is another pod's, or a machine's`)
  }
  await tx
    .insertInto('pod_tpms')
    .values({
      node_id: tpm.node,
      certificate_sha256: tpm.certificate,
      authority_sha256: tpm.authority,
      host: tpm.host,
      pod_uuid: tpm.podUuid,
      at,
    })
    .execute()
}

/** Whether two say the same of whom a TPM belongs to. */
export function isSamePod(a: PodTpm, b: PodTpm): boolean {
  return (
    a.node === b.node &&
    a.certificate === b.certificate &&
    a.authority === b.authority &&
    a.host === b.host &&
    a.podUuid === b.podUuid
  )
}

export async function readPodTpm(db: Kysely<Database>, nodeId: string): Promise<PodTpm | undefined> {
  const row = await db.selectFrom('pod_tpms').selectAll().where('node_id', '=', nodeId).executeTakeFirst()
  return (
    row && {
      node: row.node_id,
      certificate: row.certificate_sha256,
      authority: row.authority_sha256,
      host: row.host,
      podUuid: row.pod_uuid,
    }
  )
}
