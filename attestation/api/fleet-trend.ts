import { STANDINGS, type Standing } from '../appraisal/index.ts'
import { BUCKETS, type Bucket, type BucketCount, type StandingChanges } from '../store/index.ts'

/** How the fleet stood at the end of a bucket of time, and what was decided in it. */
export interface TrendPoint {
  /** Beginning of the bucket, ISO 8601, UTC. */
  readonly at: string
  readonly standing: Readonly<Record<Standing, number>>
  readonly launches: { readonly allowed: number; readonly denied: number }
}

const BUCKET_MS: Readonly<Record<Bucket, number>> = { 'ten-minutes': 600_000, hour: 3_600_000, day: 86_400_000 }

export const PERIODS = {
  day: { bucket: 'ten-minutes', buckets: 144 },
  week: { bucket: 'hour', buckets: 168 },
  month: { bucket: 'day', buckets: 30 },
} as const satisfies Readonly<Record<string, { readonly bucket: Bucket; readonly buckets: number }>>
export type Period = keyof typeof PERIODS

/** Beginnings of the buckets of a period that ends now, oldest first. */
export function bucketsOf(period: Period, now: Date): string[] {
  const { bucket, buckets } = PERIODS[period]
  const size = BUCKET_MS[bucket]
  const last = now.getTime() - (now.getTime() % size)
  return Array.from({ length: buckets }, (_, i) => new Date(last - (buckets - 1 - i) * size).toISOString())
}

/**
 * Counts of now, and back from there with each change undone. A node that came in a bucket was pending first.
 */
export function trend(
  buckets: readonly string[],
  bucket: Bucket,
  now: ReadonlyMap<Standing, number>,
  changes: readonly StandingChanges[],
  arrived: readonly BucketCount[],
  launches: readonly BucketCount[],
): TrendPoint[] {
  const counts = new Map(now)
  const add = (standing: string, count: number): void => {
    const word = standing as Standing // the store writes no other
    counts.set(word, (counts.get(word) ?? 0) + count)
  }
  const changed = byBucket(changes)
  const came = byBucket(arrived)
  const decided = byBucket(launches)
  const points: TrendPoint[] = []
  for (const at of [...buckets].reverse()) {
    const key = at.slice(0, BUCKETS[bucket])
    const of = (outcome: string): number => (decided.get(key) ?? []).find(({ what }) => what === outcome)?.count ?? 0
    points.push({
      at,
      // a change of which only one end was kept would count below nothing
      standing: Object.fromEntries(
        STANDINGS.map((s) => [s, Math.max(0, counts.get(s) ?? 0)]),
      ) as TrendPoint['standing'],
      launches: { allowed: of('allowed'), denied: of('denied') },
    })
    for (const { from, to, count } of changed.get(key) ?? []) {
      add(to, -count)
      add(from, count)
    }
    for (const { count } of came.get(key) ?? []) add('pending', -count)
  }
  return points.reverse()
}

function byBucket<T extends { readonly bucket: string }>(rows: readonly T[]): Map<string, T[]> {
  const map = new Map<string, T[]>()
  for (const row of rows) {
    const rest = map.get(row.bucket) ?? []
    rest.push(row)
    map.set(row.bucket, rest)
  }
  return map
}
