import { EventLogError } from '../errors.ts'
import type { CelRecord } from './cel.ts'

/** How a writer numbers its records: through the whole log as CEL 1.0 has it, or for each register apart. */
export type CelNumbering = 'log' | 'register'

/**
 * Numbers must rise by one from the first, which can be any.
 * @throws EventLogError EVENT_LOG_BAD_RECNUM
 */
export function checkNumbering(records: readonly CelRecord[], numbering: CelNumbering): void {
  const next = new Map<string, number>()
  for (const [i, { recnum, index }] of records.entries()) {
    const sequence = numbering === 'log' ? 'log' : `${index.kind} ${index.value}`
    const expected = next.get(sequence)
    if (expected !== undefined && recnum !== expected) {
      throw new EventLogError('EVENT_LOG_BAD_RECNUM', `record ${i} is numbered ${recnum}, expected ${expected}`)
    }
    next.set(sequence, recnum + 1)
  }
}
