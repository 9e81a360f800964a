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
