/** One measured target, in the form that `npm run -s bench -- --only NAME --json` prints. */
export interface BenchRow {
  readonly name: string
  /** Median of our own runs, in `unit`. */
  readonly ours: number
  /** Median of the peer or the physical limit, measured in the same run. */
  readonly reference: number
  readonly referenceWhat: string
  readonly unit: string
  /** ours / reference. */
  readonly ratio: number
  /** In words: 'at most 1.6', 'at least 40 times faster', or 'shown only'. */
  readonly target: string
  readonly met: boolean
}

/** The middle value; the mean of the two middle ones for an even count. @throws RangeError for no values */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const upper = sorted[Math.floor(sorted.length / 2)]
  const lower = sorted[Math.floor((sorted.length - 1) / 2)]
  if (upper === undefined || lower === undefined) throw new RangeError('no values, no median')
  return (lower + upper) / 2
}

/** Ratio of ours to the reference as a row; `atMost` is the largest ratio that meets the target. */
export function ratioRow(
  row: Pick<BenchRow, 'name' | 'ours' | 'reference' | 'referenceWhat' | 'unit'>,
  atMost: number,
): BenchRow {
  const ratio = row.ours / row.reference
  const target = atMost < 1 ? `at least ${Math.round(1 / atMost)} times faster` : `at most ${atMost}`
  return { ...row, ratio, target, met: ratio <= atMost }
}
