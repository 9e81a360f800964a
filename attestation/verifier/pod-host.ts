import { type Finding, finding, NodeStateError, parseNodeState } from '../appraisal/index.ts'
import type { NodeEndorsement, NodeRecord, Store } from '../store/index.ts'

/** Which pod a node is, and of which host. */
export type PodOf = NonNullable<NodeEndorsement['host']>

/**
 * A pod is never better than its host: that made its TPM, and can do with it what it likes. Asked for at its enrolment and with
 * each of its quotes.
 *
 * @returns what is told of the host; `contraindicated` where the pod is not to be believed
 */
export async function hostFinding({ node: hostId, pod }: PodOf, store: Pick<Store, 'node'>): Promise<Finding> {
  const host = await store.node(hostId)
  const fault = faultOf(host) ?? (runs(host, pod) ? undefined : 'does not run this pod any more, by its launch log')
  const named = `its host ${hostId.slice(0, 12)}`
  return fault === undefined
    ? finding('pod.host', 'affirming', 'instance-identity', `${named} is ${host?.standing} and runs pod ${pod}`)
    : finding('pod.host', 'contraindicated', 'instance-identity', `${named} ${fault}`)
}

function faultOf(host: NodeRecord | undefined): string | undefined {
  if (host === undefined) return 'is not known'
  if (host.admission !== 'admitted') return `is ${host.admission}`
  return host.standing === 'trusted' || host.standing === 'warning' ? undefined : `is ${host.standing}`
}

/** By what was proved of its launch log last. A host that was rebooted runs no pod of before. */
function runs(host: NodeRecord | undefined, pod: string): boolean {
  if (host?.state === undefined) return false
  try {
    return parseNodeState(host.state).boot?.log.pods.has(pod) === true
  } catch (err) {
    if (err instanceof NodeStateError) return false // what cannot be read speaks for nobody
    throw err
  }
}
