import type { Coverage } from '../event.ts'
import type { FirmwareEvent, FirmwareLog } from './firmware-log.ts'

export interface FirmwareEventCoverage {
  readonly coverage: Coverage
  /** One line for people: which rule the digests fulfil, or why none can be applied. */
  readonly why: string
}

/**
 * What an event's digests say of its data, by the rule of its type. Every bank that the event has must agree.
 */
export function firmwareEventCoverage(_event: FirmwareEvent, _log: FirmwareLog): FirmwareEventCoverage {
  return { coverage: 'digest', why: 'no rule is known for this type' }
}
