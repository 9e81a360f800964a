const FIRST_MS = 500
const LONGEST_MS = 60_000

/**
 * How long to wait before the next attempt to connect: exponential with full jitter, so that a fleet whose verifier comes back does not
 * come back all at once.
 *
 * @param failures in a row, 1 or more
 * @param random in [0, 1)
 * @returns milliseconds, 50 to 60,000
 */
export function reconnectDelay(failures: number, random: number): number {
  const ceiling = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(failures - 1, 10))
  return Math.max(50, Math.floor(random * ceiling))
}

/** A verifier may say to stay away for so long, and no longer: nobody would be told that it has changed its mind. */
const LONGEST_AFTER_MS = 15 * 60_000

/**
 * As reconnectDelay(), and not before the verifier wants to see this node again: a little later, by the same back-off, for others were told the same.
 *
 * @param retryAfterMs as the verifier said; undefined where it said nothing
 */
export function returnDelay(failures: number, random: number, retryAfterMs: number | undefined): number {
  return Math.min(retryAfterMs ?? 0, LONGEST_AFTER_MS) + reconnectDelay(failures, random)
}
