import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { STANDINGS, type Tier } from '../appraisal/index.ts'
import { countNodes, type Store } from '../store/index.ts'

/** What the metrics are asked of when they are read. */
export interface MeteredService {
  readonly store: Store
  readonly healthy: () => boolean
  readonly connections: () => number
  readonly policyRevision: () => string
}

/**
 * The tier of the verdict; `incomplete` while logs come in pieces; `refused` where there is no verdict, since the quote
 * does not verify, answers no challenge or is over the node's share.
 */
export type RoundResult = Tier | 'incomplete' | 'refused'

/** From a hardware TPM's log of megabytes down to a round without news, in seconds. */
const ROUND_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]

/**
 * What the verifier counts, for Prometheus. No label tells of a node, a pod or an operator: their number has no bound,
 * and the API says who they are to those who may know.
 */
export class VerifierMetrics {
  readonly #registry = new Registry()
  readonly #rounds: Histogram<'purpose' | 'result'>
  readonly #launches: Counter<'outcome' | 'code'>
  readonly #verdicts: Counter<'tier'>

  constructor(service: MeteredService) {
    const registers = [this.#registry]
    collectDefaultMetrics({ register: this.#registry })
    this.#rounds = new Histogram({
      name: 'holdfast_round_seconds',
      help: 'From a quote to its answer: verified, appraised, kept',
      labelNames: ['purpose', 'result'],
      buckets: ROUND_BUCKETS,
      registers,
    })
    this.#launches = new Counter({
      name: 'holdfast_launches_total',
      help: 'Decisions about launches',
      labelNames: ['outcome', 'code'],
      registers,
    })
    this.#verdicts = new Counter({
      name: 'holdfast_verdict_changes_total',
      help: 'Verdicts that were another one than before, by what they are now',
      labelNames: ['tier'],
      registers,
    })
    new Gauge({
      name: 'holdfast_connections',
      help: 'Connections of agents to this verifier',
      registers,
      collect() {
        this.set(service.connections())
      },
    })
    new Gauge({
      name: 'holdfast_store_up',
      help: 'Whether the store could be used when it was last asked',
      registers,
      collect() {
        this.set(service.healthy() ? 1 : 0)
      },
    })
    new Gauge({
      name: 'holdfast_policy_info',
      help: 'The revision of the launch policies in force',
      labelNames: ['revision'],
      registers,
      collect() {
        this.reset()
        this.set({ revision: service.policyRevision() }, 1)
      },
    })
    new Gauge({
      name: 'holdfast_nodes',
      help: 'Nodes of the fleet, by standing',
      labelNames: ['standing'],
      registers,
      async collect() {
        this.reset()
        for (const standing of STANDINGS) this.set({ standing }, 0)
        for (const { standing, count } of await service.store.query((db) => countNodes(db, {}))) {
          this.inc({ standing }, count)
        }
      },
    })
  }

  round(purpose: 'session' | 'periodic' | 'launch', result: RoundResult, seconds: number): void {
    this.#rounds.observe({ purpose, result }, seconds)
  }

  /** @param code of a denial */
  launch(outcome: 'allowed' | 'denied', code = ''): void {
    this.#launches.inc({ outcome, code })
  }

  verdictChanged(tier: string): void {
    this.#verdicts.inc({ tier })
  }

  /** Text of Prometheus's exposition format 0.0.4. @throws StoreError */
  async text(): Promise<{ readonly type: string; readonly text: string }> {
    return { type: this.#registry.contentType, text: await this.#registry.metrics() }
  }
}
