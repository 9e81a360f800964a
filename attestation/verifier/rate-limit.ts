/**
 * A token bucket that may be overdrawn once: what is asked for is given while anything is left, and what it took beyond that is owed. So a single
 * thing may be larger than the bucket, and in the long run no more than `perSecond` goes through.
 */
export class RateLimit {
  readonly #perSecond: number
  readonly #burst: number
  #tokens: number
  #atMs: number

  /** @param burst what may be taken at once */
  constructor(perSecond: number, burst: number, nowMs: number) {
    this.#perSecond = perSecond
    this.#burst = burst
    this.#tokens = burst
    this.#atMs = nowMs
  }

  /** @returns whether it was within the limit; `amount` is taken if it was */
  take(nowMs: number, amount = 1): boolean {
    if (this.waitMs(nowMs) > 0) return false
    this.charge(nowMs, amount)
    return true
  }

  /** Takes `amount`, whatever is left. */
  charge(nowMs: number, amount: number): void {
    this.#refill(nowMs)
    this.#tokens -= amount
  }

  /** @returns milliseconds until something may be taken; 0 when that is now */
  waitMs(nowMs: number): number {
    this.#refill(nowMs)
    return this.#tokens > 0 ? 0 : Math.ceil((-this.#tokens / this.#perSecond) * 1000) + 1
  }

  /** Whether nothing has been taken for so long that this limit need not be remembered. */
  isFull(nowMs: number): boolean {
    this.#refill(nowMs)
    return this.#tokens >= this.#burst
  }

  #refill(nowMs: number): void {
    this.#tokens = Math.min(this.#burst, this.#tokens + ((nowMs - this.#atMs) / 1000) * this.#perSecond)
    this.#atMs = nowMs
  }
}

/** How many keys are remembered at most. Beyond that, newcomers share one limit. */
const MAX_KEYS = 10_000
/** From so many on, those that need not be remembered are looked for, and then not again for this long. */
const SWEEP_KEYS = 1000
const SWEEP_MS = 1000
/** No key is this: it is that of all newcomers together. */
const SHARED = ''

/** One limit for each key, such as a peer's address or a node's ID; bounded in memory. */
export class KeyedRateLimit {
  readonly #limits = new Map<string, RateLimit>()
  readonly #perSecond: number
  readonly #burst: number
  readonly #maxKeys: number
  #sweptMs = Number.NEGATIVE_INFINITY

  constructor(perSecond: number, burst: number, maxKeys = MAX_KEYS) {
    this.#perSecond = perSecond
    this.#burst = burst
    this.#maxKeys = maxKeys
  }

  /** As of RateLimit. */
  take(key: string, nowMs: number, amount = 1): boolean {
    return this.#limit(key, nowMs).take(nowMs, amount)
  }

  charge(key: string, nowMs: number, amount: number): void {
    this.#limit(key, nowMs).charge(nowMs, amount)
  }

  waitMs(key: string, nowMs: number): number {
    const place = this.#limits.has(key) || this.#limits.size < this.#maxKeys ? key : SHARED
    return this.#limits.get(place)?.waitMs(nowMs) ?? 0
  }

  #limit(key: string, nowMs: number): RateLimit {
    const known = this.#limits.get(key)
    if (known !== undefined) return known
    if (this.#limits.size >= SWEEP_KEYS && nowMs - this.#sweptMs >= SWEEP_MS) {
      this.#sweptMs = nowMs
      for (const [old, limit] of this.#limits) if (limit.isFull(nowMs)) this.#limits.delete(old)
    }
    const place = this.#limits.size >= this.#maxKeys ? SHARED : key
    let limit = this.#limits.get(place)
    if (limit === undefined) {
      limit = new RateLimit(this.#perSecond, this.#burst, nowMs)
      this.#limits.set(place, limit)
    }
    return limit
  }
}
