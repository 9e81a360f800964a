import {
  appraiseEnterRequest,
  appraiseRequest,
  type BootProof,
  enterTicketSubject,
  type Finding,
  type NodeState,
  pendingTicket,
  reasonsAgainst,
  serialiseNodeState,
  ticketSubject,
  withTicket,
} from '../appraisal/index.ts'
import { toHex } from '../base/index.ts'
import { digest } from '../crypto/index.ts'
import type { LaunchPolicySet, RunningPodFacts } from '../launch-policy/index.ts'
import {
  type EnterRequest,
  isEnterRequest,
  type LaunchRequest,
  LaunchRequestError,
  parseEnterRequest,
  parseLaunchRequest,
  signTicket,
  type TicketClaims,
  ticketClaims,
} from '../protocol/index.ts'
import {
  type DecisionRecord,
  type EvidenceItem,
  isSamePod,
  kindOf,
  type NodeRecord,
  type PodTpm,
  type Store,
  type VerdictChange,
} from '../store/index.ts'
import type { VerifierConfig } from './config/index.ts'
import type { NodeAppraisal } from './evidence.ts'
import type { VerifierIdentity } from './identity.ts'
import type { NodeContext } from './node-context.ts'

/** What deciding takes. */
export interface AuthorisePorts {
  readonly config: VerifierConfig
  readonly identity: VerifierIdentity
  readonly store: Store
  readonly policies: () => LaunchPolicySet
  readonly random: (size: number) => Uint8Array
  readonly now: () => Date
}

/**
 * LAUNCH_REQUEST_*: the request could not be read (codes of protocol).
 * NODE_CONTRAINDICATED: no policy may allow anything to a node whose evidence speaks against it.
 * LAUNCH_NOT_AS_MEASURED: the request names what the proven log does not say.
 * EVIDENCE_INCOMPLETE: logs come in pieces, and what speaks against the node may be in those that have not come.
 * LAUNCH_DENIED: launch policy.
 * POD_TPM_TAKEN, POD_TPM_NESTED: the TPM of the pod is known already, or its host is a pod itself.
 */
export interface Denial {
  readonly outcome: 'denied'
  readonly code: string
  readonly reasons: readonly [string, ...string[]]
}
export type LaunchAnswer =
  | Denial
  | { readonly outcome: 'allowed'; readonly ticket: string; readonly claims: TicketClaims }

/** What may be asked for: a pod to be launched, or a program to be run inside one that was. */
type AskedFor =
  | { readonly action: 'launch'; readonly podUuid: string; readonly launch: LaunchRequest }
  | { readonly action: 'enter'; readonly podUuid: string; readonly enter: EnterRequest }

/** One launch as it was asked for, with what its quote proved. */
export interface LaunchInput {
  readonly requestBytes: Uint8Array
  readonly context: NodeContext
  /** Read for this decision: labels and admission as they are now. */
  readonly node: NodeRecord
  readonly appraisal: NodeAppraisal
  readonly change: VerdictChange | undefined
  readonly evidence: EvidenceItem
  /** What is new of the machine's logs. */
  readonly machine: { readonly machine?: string; readonly keepEvidence?: boolean }
}

/** Longest denial that the protocol carries. */
const MAX_REASONS = 64
const MAX_REASON = 2048
/** The pod of a request that cannot be read. */
const NO_POD = '00000000-0000-0000-0000-000000000000'

/**
 * Decides a launch, commits the decision, and only then signs. Whatever fails on the way authorises nothing.
 *
 * @returns the answer and the node's state that was stored with it
 * @throws StoreError when the decision cannot be kept; LaunchPolicyError when policy cannot be asked
 */
export async function authoriseLaunch(
  input: LaunchInput,
  ports: AuthorisePorts,
): Promise<{ readonly answer: LaunchAnswer; readonly state: NodeState; readonly podUuid: string }> {
  const { context, appraisal } = input
  const parsed = readRequest(input.requestBytes)
  const podUuid = 'action' in parsed ? parsed.podUuid : NO_POD
  const podTpm = 'action' in parsed && parsed.action === 'launch' ? parsed.launch.guest?.tpm : undefined
  const refusal =
    podTpm === undefined ? undefined : await podTpmRefusal({ ...podTpm, host: context.nodeId, podUuid }, context, ports)
  const decided = refusal ?? ('action' in parsed ? decide(parsed, input, ports) : parsed)
  const base = {
    nodeId: context.nodeId,
    podUuid,
    tier: appraisal.result.tier,
    request: input.requestBytes,
    requestSha256: toHex(digest('sha256', input.requestBytes)),
  }
  const save = async (decision: DecisionRecord, state: NodeState): Promise<void> =>
    await ports.store.saveDecision(decision, {
      node: context.version,
      state: serialiseNodeState(state),
      ...input.machine,
      ...(input.change !== undefined && { change: input.change }),
      evidence: input.evidence,
    })

  if ('code' in decided) {
    const revision = ports.policies().revision
    await save(
      { ...base, outcome: 'denied', code: decided.code, reasons: decided.reasons, policyRevision: revision },
      appraisal.state,
    )
    return { answer: decided, state: appraisal.state, podUuid }
  }
  const { claims } = decided
  const state = withTicket(appraisal.state, pendingTicket(claims, ports.config.launch.deadlineMs))
  const { revision, allowedBy } = claims.policy
  const allowed = { ...base, outcome: 'allowed', reasons: allowedBy, policyRevision: revision } as const
  await save({ ...allowed, ticketId: claims.jti, ...(podTpm !== undefined && { podTpm }) }, state)
  const ticket = await signTicket(claims, ports.identity.ticketKey.privateKey)
  return { answer: { outcome: 'allowed', ticket, claims }, state, podUuid }
}

/** Whom a TPM belongs to is decided once. A pod does not vouch for pods of its own: its word is its host's. */
async function podTpmRefusal(
  tpm: PodTpm,
  { endorsement }: NodeContext,
  { config, store }: AuthorisePorts,
): Promise<Denial | undefined> {
  if (endorsement?.kind === 'host') return denial('POD_TPM_NESTED', ['a pod cannot vouch for the TPM of another pod'])
  const known = await store.podTpm(tpm.node)
  const free = known === undefined ? (await store.node(tpm.node)) === undefined : isSamePod(known, tpm)
  if (free && !config.enrolment.listed.has(tpm.node)) return undefined
  return denial('POD_TPM_TAKEN', [`the TPM ${tpm.node} that the pod is to have is another pod's, or a machine's`])
}

function readRequest(bytes: Uint8Array): AskedFor | Denial {
  try {
    if (isEnterRequest(bytes)) {
      const enter = parseEnterRequest(bytes)
      return { action: 'enter', podUuid: enter.pod, enter }
    }
    const launch = parseLaunchRequest(bytes)
    return { action: 'launch', podUuid: launch.pod.uuid, launch }
  } catch (err) {
    if (err instanceof LaunchRequestError) return denial(err.code, [err.message])
    throw err
  }
}

function decide(
  asked: AskedFor,
  input: LaunchInput,
  ports: AuthorisePorts,
): { readonly claims: TicketClaims } | Denial {
  const { context, appraisal, node } = input
  const boot = appraisal.proof
  if (appraisal.result.tier === 'contraindicated') {
    return denial('NODE_CONTRAINDICATED', sentences(appraisal.result.findings))
  }
  const named = {
    bytes: input.requestBytes,
    nodeId: context.nodeId,
    boot,
    unprovenRecords: appraisal.unprovenRecords,
  }
  const findings =
    asked.action === 'launch'
      ? appraiseRequest({ ...named, request: asked.launch })
      : appraiseEnterRequest({ ...named, request: asked.enter })
  const misfits = findings.filter((f) => f.tier !== 'affirming')
  if (misfits.length > 0 || boot === undefined) return denial('LAUNCH_NOT_AS_MEASURED', sentences(misfits))
  if (appraisal.more) return denial('EVIDENCE_INCOMPLETE', sentences(appraisal.result.findings))
  const policies = ports.policies()
  const { tier } = appraisal.result
  const facts = {
    id: context.nodeId,
    tier,
    admittedBy: node.admittedBy ?? 'nobody',
    labels: node.labels,
    kind: kindOf(node),
  }
  const decision =
    asked.action === 'launch'
      ? policies.decide(facts, asked.launch)
      : policies.decideEnter(facts, asked.enter, runningPod(boot, asked.podUuid))
  if (!decision.allowed) {
    return denial('LAUNCH_DENIED', [...decision.reasons, ...sentences(appraisal.result.findings)])
  }
  const state = { ...appraisal.state, boot }
  const ticket = {
    verifierId: ports.identity.verifierIdHex,
    id: toHex(ports.random(16)),
    akName: context.akName,
    policy: { revision: policies.revision, allowedBy: decision.allowedBy.map((id) => id.slice(0, 256)) },
  }
  const subject =
    asked.action === 'launch'
      ? ticketSubject({ ...named, request: asked.launch }, state, ticket)
      : enterTicketSubject({ ...named, request: asked.enter }, state, ticket)
  return { claims: ticketClaims(subject, ports.now(), ports.config.launch.ticketSeconds) }
}

/** It is in the log, or the request would not be as measured. */
function runningPod({ log }: BootProof, uuid: string): RunningPodFacts {
  const pod = log.pods.get(uuid)
  if (pod === undefined) throw new TypeError(`pod ${uuid} was there when the request was appraised`)
  return { uuid, stage1: pod.stage1, images: pod.images, unticketed: pod.unticketed }
}

function sentences(findings: readonly Finding[]): string[] {
  return reasonsAgainst(findings).map((f) => `${f.rule}: ${f.message}`)
}

function denial(code: string, reasons: readonly string[]): Denial {
  const [first = code, ...rest] = reasons.slice(0, MAX_REASONS).map((r) => r.slice(0, MAX_REASON).toWellFormed())
  return { outcome: 'denied', code, reasons: [first, ...rest] }
}
