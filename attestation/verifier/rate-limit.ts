/** A token bucket: `burst` at once, then `perSecond`. */
export class RateLimit {
  readonly #perSecond: number
  readonly #burst: number
  #tokens: number
  #atMs: number

  constructor(perSecond: number, burst: number, nowMs: number) {
    this.#perSecond = perSecond
    this.#burst = burst
    this.#tokens = burst
    this.#atMs = nowMs
  }

  /** @returns whether one more is within the limit; it is counted if it is */
  take(nowMs: number): boolean {
    this.#tokens = Math.min(this.#burst, this.#tokens + ((nowMs - this.#atMs) / 1000) * this.#perSecond)
    this.#atMs = nowMs
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }

  /** Whether nothing has been taken for so long that this limit need not be remembered. */
  isFull(nowMs: number): boolean {
    return this.#tokens + ((nowMs - this.#atMs) / 1000) * this.#perSecond >= this.#burst
  }
}

/** How many addresses are remembered at most. Beyond that, newcomers share one limit. */
const MAX_ADDRESSES = 10_000

/** One limit for each key, such as a peer's address; bounded in memory. */
export class KeyedRateLimit {
  readonly #limits = new Map<string, RateLimit>()
  readonly #perSecond: number
  readonly #burst: number

  constructor(perSecond: number, burst: number) {
    this.#perSecond = perSecond
    this.#burst = burst
  }

  take(key: string, nowMs: number): boolean {
    if (!this.#limits.has(key) && this.#limits.size >= MAX_ADDRESSES) {
      for (const [old, limit] of this.#limits) if (limit.isFull(nowMs)) this.#limits.delete(old)
    }
    const shared = !this.#limits.has(key) && this.#limits.size >= MAX_ADDRESSES ? '' : key
    let limit = this.#limits.get(shared)
    if (limit === undefined) {
      limit = new RateLimit(this.#perSecond, this.#burst, nowMs)
      this.#limits.set(shared, limit)
    }
    return limit.take(nowMs)
  }
}
