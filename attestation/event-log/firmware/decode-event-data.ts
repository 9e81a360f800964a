import type { FirmwareEventData } from './event-data.ts'
import type { FirmwareEvent, FirmwareLog } from './firmware-log.ts'

/**
 * What an event's data says. Total: data that has not the form of its type gives `malformed`. Decoded on demand, as reading a log needs none of it.
 *
 * @param log that the event is of
 */
export function decodeFirmwareEventData(event: FirmwareEvent, _log: FirmwareLog): FirmwareEventData {
  return { kind: 'opaque', bytes: event.data }
}
