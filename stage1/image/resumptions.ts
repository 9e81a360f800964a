import { setTimeout as wait } from 'node:timers/promises'
import { LIMITS } from './limits.ts'

const FIRST_DELAY_MS = 100

/**
 * Whether a transfer that broke is taken up again: a few times, each after a longer wait, and only while each got
 * further than all before it.
 */
export class Resumptions {
  #furthest: number
  #taken = 0

  /** @param startBytes what was there before the first transfer */
  constructor(startBytes: number) {
    this.#furthest = startBytes
  }

  /**
   * Waits until the next one may begin.
   * @param sizeBytes what is there now
   * @returns false when there is to be none
   */
  async next(sizeBytes: number, signal?: AbortSignal): Promise<boolean> {
    if (sizeBytes <= this.#furthest || this.#taken >= LIMITS.resumptions) return false
    this.#furthest = sizeBytes
    await wait(FIRST_DELAY_MS * 2 ** this.#taken++, undefined, signal && { signal })
    return true
  }
}
