import type { VerifierConfig } from './config/index.ts'
import { SessionError } from './errors.ts'
import { KeyedRateLimit } from './rate-limit.ts'

/**
 * A node decides when its verdict becomes better, and each change is kept, with its evidence, and told to webhooks: so many at once, and then one in ten
 * seconds. Becoming worse has no limit.
 */
const RECOVERIES = { burst: 32, perSecond: 0.1 } as const

/** Nodes that have used something lately: each is an admitted one, for only those that have proved themselves are counted. */
const MAX_NODES = 50_000

const KIB = 1024
const MIB = 1024 * KIB

/**
 * What one admitted node may cost the verifier. By node ID and not by connection, so that another connection is no way around it. Without I/O; every
 * time is of a clock that never goes back, in milliseconds.
 */
export class NodeBudgets {
  /** Messages: each quote costs a signature's verification. */
  readonly #messages: KeyedRateLimit
  /** Bytes of logs and requests: each is replayed and judged. */
  readonly #logs: KeyedRateLimit
  readonly #launches: KeyedRateLimit
  /** Bytes that are kept in the store, and never go from there by themselves. */
  readonly #kept: KeyedRateLimit
  readonly #recoveries: KeyedRateLimit

  constructor(limits: VerifierConfig['limits']) {
    const keyed = (perSecond: number, burst: number): KeyedRateLimit => new KeyedRateLimit(perSecond, burst, MAX_NODES)
    this.#messages = keyed(limits.messagesPerSecond, 2 * limits.messagesPerSecond)
    this.#logs = keyed(limits.logKilobytesPerSecond * KIB, limits.logMegabytesAtOnce * MIB)
    this.#launches = keyed(limits.launchesPerSecond, 2 * limits.launchesPerSecond)
    this.#kept = keyed(limits.keptKilobytesPerSecond * KIB, limits.keptMegabytesAtOnce * MIB)
    this.#recoveries = keyed(RECOVERIES.perSecond, RECOVERIES.burst)
  }

  /**
   * Counts one message, and the logs in it.
   * @throws SessionError NODE_OVER_BUDGET with the time after which the node may come again
   */
  message(nodeId: string, logBytes: number, nowMs: number): void {
    const logsMs = logBytes > 0 ? this.logsWaitMs(nodeId, nowMs) : 0
    if (logsMs > 0) throw overBudget('sends more logs than limits.logKilobytesPerSecond', logsMs)
    const messagesMs = this.#messages.waitMs(nodeId, nowMs)
    if (messagesMs > 0) throw overBudget('sends more messages than limits.messagesPerSecond', messagesMs)
    this.#messages.charge(nodeId, nowMs, 1)
    if (logBytes > 0) this.#logs.charge(nodeId, nowMs, logBytes)
  }

  /** How long this node is not to be asked for more of its logs. */
  logsWaitMs(nodeId: string, nowMs: number): number {
    return this.#logs.waitMs(nodeId, nowMs)
  }

  /**
   * Counts one launch, whose decision is going to be kept.
   * @returns why it is denied without being looked at; undefined when it is within the limits
   */
  launch(
    nodeId: string,
    keptBytes: number,
    nowMs: number,
  ): { readonly code: string; readonly reason: string } | undefined {
    if (!this.#launches.take(nodeId, nowMs)) {
      return { code: 'LAUNCH_TOO_MANY', reason: 'the node asks for more launches than limits.launchesPerSecond' }
    }
    const waitMs = this.#kept.waitMs(nodeId, nowMs)
    if (waitMs > 0) {
      const { message } = overBudget('makes the verifier keep more evidence than limits.keptKilobytesPerSecond', waitMs)
      return { code: 'NODE_OVER_BUDGET', reason: message }
    }
    this.#kept.charge(nodeId, nowMs, keptBytes)
    return undefined
  }

  /** @returns whether evidence that could as well be left out may be kept; it is counted if it may */
  keep(nodeId: string, keptBytes: number, nowMs: number): boolean {
    return this.#kept.take(nodeId, nowMs, keptBytes)
  }

  /** Counts a verdict that becomes worse: it is kept, whatever that costs. */
  worsened(nodeId: string, keptBytes: number, nowMs: number): void {
    this.#kept.charge(nodeId, nowMs, keptBytes)
  }

  /**
   * Counts a verdict that becomes better.
   * @param keptBytes 0 where they have been counted already
   * @throws SessionError NODE_OVER_BUDGET: the worse one stands then
   */
  recovered(nodeId: string, keptBytes: number, nowMs: number): void {
    const keptMs = keptBytes === 0 ? 0 : this.#kept.waitMs(nodeId, nowMs)
    const waitMs = Math.max(this.#recoveries.waitMs(nodeId, nowMs), keptMs)
    if (waitMs > 0) throw overBudget('had its verdict changed too often: the worse one stands meanwhile', waitMs)
    this.#recoveries.charge(nodeId, nowMs, 1)
    if (keptBytes > 0) this.#kept.charge(nodeId, nowMs, keptBytes)
  }
}

function overBudget(what: string, waitMs: number): SessionError {
  const message = `this node ${what}; it may go on in ${Math.ceil(waitMs / 1000)} s`
  return new SessionError('NODE_OVER_BUDGET', message, { retry: true, retryAfterMs: Math.ceil(waitMs) })
}
