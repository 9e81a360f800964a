import { canonicalJson, toHex, utf8 } from '../base/index.ts'
import { digest } from '../crypto/index.ts'
import type { LaunchRequest } from '../protocol/index.ts'
import { cedar } from './cedar.ts'
import { LaunchPolicyError } from './errors.ts'
import { type NodeFacts, nodeAttributes, podAttributes } from './facts.ts'
import { LAUNCH_SCHEMA } from './schema.ts'
import { type PolicyFiles, type PolicySource, parsePolicies, readPolicyFiles } from './source.ts'

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
    prepare(
      cedar.preparsePolicySet(this.revision, {
        staticPolicies: Object.fromEntries(this.policies.map((p) => [p.id, p.text])),
      }),
    )
    prepare(cedar.preparseSchema(PREPARSED_SCHEMA, LAUNCH_SCHEMA))
  }

  /**
   * Evaluates one launch. Without a policy that permits it, it is denied; a policy that cannot be evaluated denies it
   * too (Cedar alone would leave that policy out, and it may be a `forbid`).
   *
   * @throws LaunchPolicyError LAUNCH_POLICY_FAILED when Cedar refuses the question itself
   */
  decide(node: NodeFacts, request: LaunchRequest): LaunchDecision {
    const principal = { type: 'Node', id: node.id }
    const resource = { type: 'Pod', id: request.pod.uuid }
    const answer = cedar.statefulIsAuthorized({
      principal,
      action: { type: 'Action', id: 'launch' },
      resource,
      context: {},
      preparsedSchemaName: PREPARSED_SCHEMA,
      preparsedPolicySetId: this.revision,
      validateRequest: true,
      entities: [
        { uid: principal, attrs: nodeAttributes(node, request), parents: [] },
        { uid: resource, attrs: podAttributes(request), parents: [] },
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
    return { allowed: false, deniedBy: [], reasons: this.#nothingPermits(node, request) }
  }

  #name(id: string): string {
    const policy = this.#byId.get(id)
    if (policy === undefined) return id
    const place = policy.id === `${policy.file}:${policy.line}` ? '' : ` (${policy.file}:${policy.line})`
    return `"${id}"${place}${policy.description === undefined ? '' : `: ${policy.description}`}`
  }

  /** What a person needs to find out which permit was meant to match. */
  #nothingPermits(node: NodeFacts, request: LaunchRequest): readonly [string, ...string[]] {
    const permits = this.policies.filter((p) => p.effect === 'permit')
    const labels = Object.entries(node.labels).map(([k, v]) => `${k}=${v}`)
    const relaxed = podAttributes(request)['relaxed']
    return [
      permits.length === 0
        ? 'no launch policy permits anything: there is no policy, so there is no launch'
        : `no permit policy matched (${permits.length} looked at: ${permits
            .slice(0, 8)
            .map((p) => p.id)
            .join(', ')})`,
      `node: tier ${node.tier}, mode ${request.mode}, admitted by ${node.admittedBy}, labels ${labels.join(' ') || 'none'}`,
      `stage1: ${request.stage1.flavour} ${request.stage1.name} ${request.stage1.id} tree ${request.stage1.tree}`,
      ...request.images
        .slice(0, 16)
        .map(
          (i) =>
            `image: ${i.name} ${i.id} tree ${i.tree} signed by ${i.signers.map((s) => s.key).join(' ') || 'nobody'}`,
        ),
      `pod: network ${[request.network, ...(request.networks ?? []).map((n) => n.name)].join(' ')}, ${request.volumes.length} volumes, relaxed ${
        Array.isArray(relaxed) && relaxed.length > 0 ? relaxed.join(' ') : 'nothing'
      }`,
    ]
  }
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
