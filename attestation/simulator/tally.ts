import { createHistogram } from 'node:perf_hooks'
import { type Behaviour, DESERTS, MISBEHAVIOURS } from './behaviour.ts'
import type { NodeWatcher, SimulatedNode } from './node.ts'

/** So many false verdicts are told one by one; all of them are counted. */
const MAX_TOLD = 20
const MICROSECONDS = 1000

/** A verdict that a node did not deserve. */
export interface FalseVerdict {
  readonly nodeId: string
  readonly behaviour: Behaviour
  /** A tier, or the code that it was refused with. */
  readonly verdict: string
}

/** Nodes of one behaviour, by how the verifier stands to them. */
export interface BehaviourCount {
  readonly behaviour: Behaviour
  /** What a verifier has to come to. */
  readonly deserves: string
  readonly nodes: number
  readonly deserved: number
  /** Nodes by last tier, `refused`, `pending` or `unknown`. */
  readonly verdicts: Readonly<Record<string, number>>
}

export interface Summary {
  readonly nodes: number
  readonly enrolled: number
  /** Quotes that were answered with a result. */
  readonly rounds: number
  readonly seconds: number
  readonly roundsPerSecond: number
  /** From the quote to its result; undefined before the first. */
  readonly latencyMs: { readonly p50: number; readonly p99: number; readonly max: number } | undefined
  readonly connectionsLost: number
  readonly dialsFailed: number
  readonly refusals: Readonly<Record<string, number>>
  readonly behaviours: readonly BehaviourCount[]
  readonly falseVerdicts: number
  readonly falseVerdictsTold: readonly FalseVerdict[]
  readonly allDeserved: boolean
}

/** Counts what becomes of nodes. */
export class Tally implements NodeWatcher {
  connectionsLost = 0
  dialsFailed = 0
  readonly #startedMs = performance.now()
  readonly #latency = createHistogram({ lowest: 1, highest: 3_600_000_000, figures: 3 })
  readonly #refusals = new Map<string, number>()
  readonly #told: FalseVerdict[] = []
  #enrolled = 0
  rounds = 0
  #false = 0

  enrolled(): void {
    this.#enrolled++
  }

  result(node: SimulatedNode, tier: string, latencyMs: number, isFalse: boolean): void {
    this.rounds++
    this.#latency.record(Math.max(1, Math.round(latencyMs * MICROSECONDS)))
    if (isFalse) this.#falseVerdict(node, tier)
  }

  refused(node: SimulatedNode, code: string, isFalse: boolean): void {
    this.#refusals.set(code, (this.#refusals.get(code) ?? 0) + 1)
    if (isFalse) this.#falseVerdict(node, code)
  }

  /** Latencies from here on; what was before, such as enrolment, is not in them. */
  resetLatency(): void {
    this.#latency.reset()
  }

  summary(nodes: readonly SimulatedNode[]): Summary {
    const seconds = (performance.now() - this.#startedMs) / 1000
    const behaviours = (['healthy', ...MISBEHAVIOURS] as const)
      .map((behaviour) => countOf(behaviour, nodes))
      .filter((count) => count.nodes > 0)
    return {
      nodes: nodes.length,
      enrolled: this.#enrolled,
      rounds: this.rounds,
      seconds,
      roundsPerSecond: this.rounds / seconds,
      latencyMs: this.#latencies(),
      connectionsLost: this.connectionsLost,
      dialsFailed: this.dialsFailed,
      refusals: Object.fromEntries(this.#refusals),
      behaviours,
      falseVerdicts: this.#false,
      falseVerdictsTold: [...this.#told],
      allDeserved: behaviours.every((count) => count.deserved === count.nodes),
    }
  }

  #latencies(): Summary['latencyMs'] {
    if (this.#latency.count === 0) return undefined
    const at = (percent: number): number => this.#latency.percentile(percent) / MICROSECONDS
    return { p50: at(50), p99: at(99), max: this.#latency.max / MICROSECONDS }
  }

  #falseVerdict({ nodeId, behaviour }: SimulatedNode, verdict: string): void {
    this.#false++
    if (this.#told.length < MAX_TOLD) this.#told.push({ nodeId, behaviour, verdict })
  }
}

function countOf(behaviour: Behaviour, all: readonly SimulatedNode[]): BehaviourCount {
  const nodes = all.filter((node) => node.behaviour === behaviour)
  const verdicts: Record<string, number> = {}
  for (const node of nodes) {
    const verdict = verdictOf(node)
    verdicts[verdict] = (verdicts[verdict] ?? 0) + 1
  }
  const deserved = nodes.filter((node) => node.deserved).length
  return { behaviour, deserves: DESERTS[behaviour].verdict, nodes: nodes.length, deserved, verdicts }
}

function verdictOf({ seen }: SimulatedNode): string {
  switch (seen.by) {
    case 'nothing':
      return 'unknown'
    case 'status':
      return seen.admission
    case 'result':
      return seen.tier
    case 'refusal':
      return 'refused'
    default:
      return seen satisfies never
  }
}
