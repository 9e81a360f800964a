import type { Logger } from 'pino'
import { appraiseSilence, type Finding, finding, NodeStateError, serialiseNodeState } from '../appraisal/index.ts'
import { type AppraisalPolicySet, type Labels, selectPolicy } from '../appraisal-policy/index.ts'
import type { RootStore } from '../endorsement/index.ts'
import type { LaunchPolicySet } from '../launch-policy/index.ts'
import { type NodeRecord, type NodeVersion, type Store, StoreError } from '../store/index.ts'
import type { VerifierConfig } from './config/index.ts'
import type { KnownNode } from './enrolment.ts'
import { SessionError } from './errors.ts'
import type { PolicyChoice } from './evidence.ts'
import type { VerifierIdentity } from './identity.ts'
import { VerifierMetrics } from './metrics.ts'
import { NodeBudgets } from './node-budgets.ts'
import { NodeContext } from './node-context.ts'

/** How soon an operator's act is noticed by connections that wait; decisions look for themselves. */
const POLL_MS = 500
/** One that works, one that is dead and not yet noticed, and a few that others open in its name. */
const MAX_CONNECTIONS_PER_NODE = 8

/** A connection, as far as the service needs to know. */
export interface LiveSession {
  end(reason: SessionError): void
  /** As `end`, when the messages that have come are answered. */
  endInOrder(reason: SessionError): void
  /** An operator has written something: is this node still what it was? */
  recheck(): Promise<void>
  /** Roots or CRLs have changed: is this node's EK still endorsed? */
  recheckEndorsement(): Promise<void>
  /** The appraisal policies have been replaced. */
  judgeAnew(): void
  /** The verdict of this node is another one. */
  hostChanged(nodeId: string): void
}

export interface ServiceParts {
  readonly config: VerifierConfig
  readonly identity: VerifierIdentity
  readonly store: Store
  readonly policies: LaunchPolicySet
  /** Undefined where the verifier has none. */
  readonly appraisalPolicies: AppraisalPolicySet | undefined
  readonly roots: RootStore
  readonly log: Logger
  readonly random: (size: number) => Uint8Array
  readonly now: () => Date
  /** Who issues attestation results (EAR's verifier id). */
  readonly build: { readonly developer: string; readonly build: string }
}

/** What all connections share: configuration, keys, store, the nodes in memory, and the clockwork. */
export class VerifierService {
  readonly config: VerifierConfig
  readonly identity: VerifierIdentity
  readonly store: Store
  readonly random: (size: number) => Uint8Array
  readonly now: () => Date
  readonly build: ServiceParts['build']
  readonly budgets: NodeBudgets
  readonly metrics: VerifierMetrics
  readonly #log: Logger
  readonly #contexts = new Map<string, NodeContext>()
  readonly #sessions = new Set<LiveSession>()
  /** The connection of each node that has proved itself last. */
  readonly #active = new Map<string, LiveSession>()
  readonly #claims = new Map<string, number>()
  #policies: LaunchPolicySet
  #appraisalPolicies: AppraisalPolicySet | undefined
  #roots: RootStore
  #timer: NodeJS.Timeout | undefined
  #dataVersion: number | undefined
  #ticking: Promise<void> | undefined
  #storeFailed = false
  /** Trusted nodes and their revisions, as they were at the last look for absent ones. */
  #trusted: ReadonlyMap<string, number> | undefined
  #lookedForAbsentMs = Number.NEGATIVE_INFINITY
  #absentLooks = 0
  #endorsementsDue = false
  #operatorActed = false
  #stopping = false

  constructor(parts: ServiceParts) {
    this.config = parts.config
    this.identity = parts.identity
    this.store = parts.store
    this.random = parts.random
    this.now = parts.now
    this.build = parts.build
    this.budgets = new NodeBudgets(parts.config.limits)
    this.#log = parts.log
    this.#policies = parts.policies
    this.#appraisalPolicies = parts.appraisalPolicies
    this.#roots = parts.roots
    this.metrics = new VerifierMetrics({
      store: parts.store,
      healthy: this.healthy,
      connections: () => this.#sessions.size,
      policyRevision: () => this.#policies.revision,
    })
  }

  policies = (): LaunchPolicySet => this.#policies
  appraisalPolicies = (): AppraisalPolicySet | undefined => this.#appraisalPolicies
  /** An operator has acted through this process itself, of which dataVersion() says nothing. */
  operatorActed = (): void => {
    this.#operatorActed = true
  }
  roots = (): RootStore => this.#roots
  healthy = (): boolean => !this.#storeFailed
  /** Whether agents had better be sent here. */
  ready = (): boolean => !this.#storeFailed && !this.#stopping

  /** Takes over policies and roots that have been read and checked. Decisions under way keep the old ones. */
  replace(policies: LaunchPolicySet, appraisalPolicies: AppraisalPolicySet | undefined, roots: RootStore): void {
    this.#policies = policies
    this.#appraisalPolicies = appraisalPolicies
    this.#roots = roots
    this.#endorsementsDue = true
    for (const session of [...this.#sessions]) session.judgeAnew()
  }

  /** The appraisal policy for a node with these labels, as it is now. */
  policyFor(labels: Labels): PolicyChoice {
    const set = this.#appraisalPolicies
    const policy = set === undefined ? undefined : selectPolicy(set, labels)
    return { policy, unmeant: set !== undefined && policy === undefined }
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#ticking ??= this.#tick()
        .then(() => {
          this.#storeFailed = false
        })
        .catch((err) => {
          if (!this.#storeFailed) this.#log.error({ err }, 'the store cannot be used')
          this.#storeFailed = true
        })
        .finally(() => {
          this.#ticking = undefined
        })
    }, POLL_MS)
  }

  /**
   * Ends all connections, each when what it has asked is answered; resolves when nothing of ours uses the store any
   * more.
   */
  async stop(): Promise<void> {
    this.#stopping = true
    clearInterval(this.#timer)
    for (const session of [...this.#sessions]) {
      session.endInOrder(new SessionError('VERIFIER_STOPPING', 'the verifier is stopping', { retry: true }))
    }
    await this.#ticking
    await Promise.all([...this.#contexts.values()].map((context) => context.exclusively(async () => {})))
  }

  /** @returns whether one more connection may speak in this node's name; then it is counted */
  claimConnection(nodeId: string): boolean {
    const count = this.#claims.get(nodeId) ?? 0
    if (count >= MAX_CONNECTIONS_PER_NODE) return false
    this.#claims.set(nodeId, count + 1)
    return true
  }

  releaseConnection(nodeId: string): void {
    const count = this.#claims.get(nodeId) ?? 0
    if (count > 1) this.#claims.set(nodeId, count - 1)
    else this.#claims.delete(nodeId)
  }

  sessionStarted(session: LiveSession): void {
    this.#sessions.add(session)
  }

  sessionEnded(session: LiveSession, nodeId: string | undefined): void {
    this.#sessions.delete(session)
    if (nodeId !== undefined && this.#active.get(nodeId) === session) this.#active.delete(nodeId)
  }

  /** Pods are never better than their host: those of it that are connected are asked at once. */
  hostChanged(nodeId: string): void {
    for (const session of [...this.#sessions]) session.hostChanged(nodeId)
  }

  /** A node has proved itself on this connection: an older one of the same node is a dead one. */
  loggedIn(session: LiveSession, context: NodeContext): void {
    const previous = this.#active.get(context.nodeId)
    this.#active.set(context.nodeId, session)
    if (previous !== undefined && previous !== session) {
      previous.end(
        new SessionError('NODE_CHANGED', 'this node has proved itself on another connection', { retry: true }),
      )
    }
  }

  /** The node's one context; connections of the same node share it. @throws SessionError when its stored state is unreadable */
  context(known: KnownNode): NodeContext {
    const { node, ak } = known
    const had = this.#contexts.get(node.nodeId)
    // what was read may be older than what another connection of this node has kept meanwhile
    if (had !== undefined && had.generation === node.generation && had.revision >= node.revision) {
      had.labels = node.labels // nobody looked while it was not connected
      return had
    }
    const context = this.#newContext(node, ak)
    this.#contexts.set(node.nodeId, context)
    return context
  }

  #newContext(node: NodeRecord, ak: KnownNode['ak']): NodeContext {
    try {
      return new NodeContext(node, ak, performance.now())
    } catch (err) {
      if (!(err instanceof NodeStateError)) throw err
      this.#log.error({ err, nodeId: node.nodeId, code: err.code }, 'what is stored of this node cannot be read')
      throw SessionError.from(err)
    }
  }

  /** What is held of a node is no longer what the store has. */
  forget(context: NodeContext): void {
    if (this.#contexts.get(context.nodeId) === context) this.#contexts.delete(context.nodeId)
  }

  async #tick(): Promise<void> {
    const version = await this.store.dataVersion()
    if (version !== this.#dataVersion || this.#operatorActed) {
      this.#dataVersion = version
      this.#operatorActed = false
      for (const session of [...this.#sessions]) await session.recheck()
    }
    if (this.#endorsementsDue) {
      this.#endorsementsDue = false
      for (const session of [...this.#sessions]) await session.recheckEndorsement()
    }
    for (const context of [...this.#contexts.values()]) await this.#look(context)
    await this.#markAbsent()
  }

  /** Deadlines of tickets, and silence. */
  async #look(context: NodeContext): Promise<void> {
    if (this.#isLate(context) || this.#isNewlySilent(context)) {
      await context.exclusively(async () => {
        // what was begun before has ended, and may have been the evidence that was waited for
        if (this.#isLate(context)) await this.#overdue(context)
        else if (this.#isNewlySilent(context)) await this.#fallSilent(context)
      })
    }
    const waits = context.state?.tickets.some((t) => !t.overdue) ?? false
    // A connection that has yet to prove itself holds the context too: a second one beside it would not know of its tickets.
    if (this.#isSilent(context) && !waits && !this.#claims.has(context.nodeId)) this.forget(context)
  }

  #isLate({ state }: NodeContext): boolean {
    const nowMs = this.now().getTime()
    return state?.tickets.some((t) => !t.overdue && nowMs >= t.deadlineMs) ?? false
  }

  #isSilent({ lastEvidenceMs }: NodeContext): boolean {
    return performance.now() - lastEvidenceMs > this.config.attestation.silentAfterMs
  }

  #isNewlySilent(context: NodeContext): boolean {
    return this.#isSilent(context) && (context.tier === 'affirming' || context.tier === 'warning')
  }

  async #overdue(context: NodeContext): Promise<void> {
    if (context.state === undefined) return
    const { state, findings, overdue } = appraiseSilence(context.state, this.now())
    if (overdue.length === 0) return
    if (!(await this.#verdict(context.version, 'contraindicated', findings, serialiseNodeState(state)))) return
    context.revision++
    context.state = state
    context.tier = 'contraindicated'
  }

  async #fallSilent(context: NodeContext): Promise<void> {
    if (!(await this.#silent(context.version))) return
    context.revision++
    context.tier = 'none'
    context.silent = true
  }

  async #silent(node: NodeVersion): Promise<boolean> {
    const message = `no evidence for ${this.config.attestation.silentAfterMs / 1000} s; the last verdict is void`
    return await this.#verdict(node, 'none', [finding('node.silent', 'none', 'instance-identity', message)], undefined)
  }

  /** @returns whether it was kept: whoever has changed the node in between knows better */
  async #verdict(
    node: NodeVersion,
    tier: 'none' | 'contraindicated',
    findings: readonly Finding[],
    state: string | undefined,
  ): Promise<boolean> {
    const { nodeId } = node
    try {
      const change = { tier, findings: JSON.stringify(findings), ...(tier === 'none' && { silent: true }) }
      await this.store.saveVerdict(node, change, state)
    } catch (err) {
      // what is in the store now is looked at with the next message or tick
      if (err instanceof StoreError && err.code === 'STORE_CONFLICT') {
        this.#contexts.delete(nodeId)
        return false
      }
      throw err
    }
    this.#log.warn({ nodeId, tier, findings }, 'verdict changed')
    this.metrics.verdictChanged(tier)
    this.hostChanged(nodeId)
    return true
  }

  /**
   * Nodes that were trusted when their verifier went away and have not come back to any: two looks, as far apart as
   * silence may last, find the same revision. No clock of another machine is asked. Where no other verifier can be,
   * this is so after a start only.
   */
  async #markAbsent(): Promise<void> {
    if (performance.now() - this.#lookedForAbsentMs < this.config.attestation.silentAfterMs) return
    if (this.#absentLooks === 2 && !this.store.shared) return
    this.#lookedForAbsentMs = performance.now()
    this.#absentLooks = Math.min(this.#absentLooks + 1, 2)
    const nodes = await this.store.trustedNodes()
    const before = this.#trusted
    this.#trusted = new Map(nodes.map(({ nodeId, revision }) => [nodeId, revision]))
    for (const node of nodes) {
      const unmoved = before?.get(node.nodeId) === node.revision
      if (unmoved && !this.#contexts.has(node.nodeId)) await this.#silent(node)
    }
  }
}
