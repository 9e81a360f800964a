import { badIsolator } from './errors.ts'

/** What happens when an app has ended. */
export interface RestartPolicy {
  readonly policy: 'never' | 'on-failure' | 'always'
  /** How often it is started again, at most. */
  readonly limit: number
  readonly firstDelayMs: number
  /** Each delay is twice the one before it, up to this. */
  readonly longestDelayMs: number
}

const DEFAULT_LIMIT = 10
const MOST_RESTARTS = 1_000_000
const FIRST_DELAY_MS = 100
const LONGEST_DELAY_MS = 30_000

/**
 * Reads the isolator `holdfast/restart`: `{ "policy": "never" | "on-failure" | "always", "limit"?: number }`. An
 * isolator, so that policies see that an app may run more than once.
 *
 * @param value undefined where an app has none, which is `never`
 * @throws PodError POD_ISOLATOR_BAD
 */
export function readRestart(value: unknown): RestartPolicy {
  const { policy = undefined, limit = DEFAULT_LIMIT }: { policy?: unknown; limit?: unknown } =
    value === undefined ? { policy: 'never' } : typeof value === 'object' && value !== null ? value : {}
  if (policy !== 'never' && policy !== 'on-failure' && policy !== 'always') {
    throw badIsolator('holdfast/restart', '`policy` must be never, on-failure or always')
  }
  if (typeof limit !== 'number' || !Number.isInteger(limit) || limit < 0 || limit > MOST_RESTARTS) {
    throw badIsolator('holdfast/restart', `\`limit\` must be a whole number from 0 to ${MOST_RESTARTS}`)
  }
  return { policy, limit, firstDelayMs: FIRST_DELAY_MS, longestDelayMs: LONGEST_DELAY_MS }
}
