import { canonicalJson, toHex, utf8 } from '../base/index.ts'
import { digest } from '../crypto/index.ts'
import type { EnterRequest, LaunchRequest } from '../protocol/index.ts'
import { cedar } from './cedar.ts'
import { LaunchPolicyError } from './errors.ts'
import {
  type CedarRecord,
  enterContext,
  type NodeFacts,
  nodeAttributes,
  podAttributes,
  type RunningPodFacts,
  runningPodAttributes,
} from './facts.ts'
import { LAUNCH_SCHEMA } from './schema.ts'
import { type PolicyAction, type PolicyFiles, type PolicySource, parsePolicies, readPolicyFiles } from './source.ts'

/** The answer to one launch. `reasons` are sentences for the person who asked. */
export type LaunchDecision =
  | { readonly allowed: true; readonly allowedBy: readonly string[] }
  | { readonly allowed: false; readonly deniedBy: readonly string[]; readonly reasons: readonly [string, ...string[]] }

/** Policy ids in a ticket; see TicketClaims. */
const MAX_NAMED = 64
const PREPARSED_SCHEMA = 'holdfast-launch'

/** A checked set of launch policies. It never changes; a reload makes a new one. */
export class LaunchPolicySet {
  /** SHA-256 of `canonical`, hex: names exactly these files and this schema. */
  readonly revision: string
  /** RFC 8785 JSON of schema and files, to be kept under its digest so that a decision can be made again. */
  readonly canonical: Uint8Array
  readonly policies: readonly PolicySource[]
  readonly #byId: ReadonlyMap<string, PolicySource>

  /** @throws LaunchPolicyError LAUNCH_POLICY_INVALID */
  constructor(files: PolicyFiles) {
    this.policies = parsePolicies(files)
    this.#byId = new Map(this.policies.map((p) => [p.id, p]))
    // The exact text, not Cedar's JSON of it: that would round large integers and give two policies one revision.
    this.canonical = utf8(canonicalJson({ v: 1, schema: LAUNCH_SCHEMA, policies: Object.fromEntries(files) }))
    this.revision = toHex(digest('sha256', this.canonical))
    for (const action of ['launch', 'enter'] as const) {
      const about = this.policies.filter((p) => p.actions.includes(action))
      const staticPolicies = Object.fromEntries(about.map((p) => [p.id, p.text]))
      prepare(cedar.preparsePolicySet(`${this.revision} ${action}`, { staticPolicies }))
    }
    prepare(cedar.preparseSchema(PREPARSED_SCHEMA, LAUNCH_SCHEMA))
  }

  /**
   * Evaluates one launch. Without a policy that permits it, it is denied; a policy that cannot be evaluated denies it
   * too (Cedar alone would leave that policy out, and it may be a `forbid`).
   *
   * @throws LaunchPolicyError LAUNCH_POLICY_FAILED when Cedar refuses the question itself
   */
  decide(node: NodeFacts, request: LaunchRequest): LaunchDecision {
    return this.#ask(
      {
        action: 'launch',
        node: [node.id, nodeAttributes(node, request)],
        resource: ['Pod', request.pod.uuid, podAttributes(request)],
        context: {},
      },
      () => [nodeText(node, request), ...podTexts(request)],
    )
  }

  /** As decide, for a program that is to be run inside a running app. @throws LaunchPolicyError LAUNCH_POLICY_FAILED */
  decideEnter(node: NodeFacts, request: EnterRequest, pod: RunningPodFacts): LaunchDecision {
    return this.#ask(
      {
        action: 'enter',
        node: [node.id, nodeAttributes(node, request)],
        resource: ['RunningPod', pod.uuid, runningPodAttributes(pod)],
        context: enterContext(request),
      },
      () => [
        nodeText(node, request),
        `enter: app ${request.app} of pod ${pod.uuid}, program ${request.program}, user ${request.by.uid}, group ${request.by.gid}`,
      ],
    )
  }

  #ask(question: Question, describe: () => readonly string[]): LaunchDecision {
    const [nodeId, attributes] = question.node
    const [type, id, resourceAttributes] = question.resource
    const principal = { type: 'Node', id: nodeId }
    const resource = { type, id }
    const answer = cedar.statefulIsAuthorized({
      principal,
      action: { type: 'Action', id: question.action },
      resource,
      context: question.context,
      preparsedSchemaName: PREPARSED_SCHEMA,
      preparsedPolicySetId: `${this.revision} ${question.action}`,
      validateRequest: true,
      entities: [
        { uid: principal, attrs: attributes, parents: [] },
        { uid: resource, attrs: resourceAttributes, parents: [] },
      ],
    })
    if (answer.type === 'failure') {
      throw new LaunchPolicyError('LAUNCH_POLICY_FAILED', answer.errors.map((e) => e.message).join('; '))
    }
    const { decision, diagnostics } = answer.response
    const decidedBy = [...diagnostics.reason].sort()
    const [failed, ...alsoFailed] = diagnostics.errors.map(
      (e) => `policy ${this.#name(e.policyId)} could not be evaluated: ${e.error.message}`,
    )
    if (failed !== undefined) {
      return { allowed: false, deniedBy: diagnostics.errors.map((e) => e.policyId), reasons: [failed, ...alsoFailed] }
    }
    if (decision === 'allow') return { allowed: true, allowedBy: decidedBy.slice(0, MAX_NAMED) }
    const [forbid, ...alsoForbid] = decidedBy.slice(0, MAX_NAMED).map((id) => `forbidden by policy ${this.#name(id)}`)
    if (forbid !== undefined) return { allowed: false, deniedBy: decidedBy, reasons: [forbid, ...alsoForbid] }
    return { allowed: false, deniedBy: [], reasons: this.#nothingPermits(question.action, describe()) }
  }

  #name(id: string): string {
    const policy = this.#byId.get(id)
    if (policy === undefined) return id
    const place = policy.id === `${policy.file}:${policy.line}` ? '' : ` (${policy.file}:${policy.line})`
    return `"${id}"${place}${policy.description === undefined ? '' : `: ${policy.description}`}`
  }

  /** What a person needs to find out which permit was meant to match. */
  #nothingPermits(action: PolicyAction, facts: readonly string[]): readonly [string, ...string[]] {
    const permits = this.policies.filter((p) => p.effect === 'permit' && p.actions.includes(action))
    return [
      permits.length === 0
        ? action === 'launch'
          ? 'no launch policy permits anything: there is no policy, so there is no launch'
          : 'no launch policy permits entering pods: that takes a permit with action == Action::"enter"'
        : `no permit policy matched (${permits.length} looked at: ${permits
            .slice(0, 8)
            .map((p) => p.id)
            .join(', ')})`,
      ...facts,
    ]
  }
}

interface Question {
  readonly action: PolicyAction
  readonly node: readonly [id: string, attributes: CedarRecord]
  readonly resource: readonly [type: 'Pod' | 'RunningPod', id: string, attributes: CedarRecord]
  readonly context: CedarRecord
}

function nodeText(node: NodeFacts, { mode }: Pick<LaunchRequest, 'mode'>): string {
  const labels = Object.entries(node.labels).map(([k, v]) => `${k}=${v}`)
  return `node: tier ${node.tier}, mode ${mode}, admitted by ${node.admittedBy}, labels ${labels.join(' ') || 'none'}`
}

function podTexts(request: LaunchRequest): string[] {
  const { stage1, images, volumes, network } = request
  const relaxed = podAttributes(request)['relaxed']
  return [
    `stage1: ${stage1.flavour} ${stage1.name} ${stage1.id} tree ${stage1.tree}`,
    ...images
      .slice(0, 16)
      .map(
        (i) => `image: ${i.name} ${i.id} tree ${i.tree} signed by ${i.signers.map((s) => s.key).join(' ') || 'nobody'}`,
      ),
    `pod: network ${network}, ${volumes.length} volumes, relaxed ${
      Array.isArray(relaxed) && relaxed.length > 0 ? relaxed.join(' ') : 'nothing'
    }`,
  ]
}

/**
 * Reads, checks and prepares the policies of a directory.
 *
 * @throws LaunchPolicyError LAUNCH_POLICY_UNREADABLE, LAUNCH_POLICY_INVALID
 */
export function loadLaunchPolicies(directory: string): LaunchPolicySet {
  return new LaunchPolicySet(readPolicyFiles(directory))
}

function prepare(answer: { type: 'success' } | { type: 'failure'; errors: { message: string }[] }): void {
  if (answer.type === 'failure') {
    throw new LaunchPolicyError('LAUNCH_POLICY_INVALID', answer.errors.map((e) => e.message).join('\n'))
  }
}
