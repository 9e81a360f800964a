import { DataReader } from './data-reader.ts'
import type { WindowsEvent, WindowsEventData } from './event-data.ts'
import { utf16Text, withoutNuls } from './text.ts'
import { WINDOWS_EVENT_NAMES, WINDOWS_SWITCH_EVENTS, WINDOWS_TEXT_EVENTS } from './windows-event-ids.ts'

const HEAD_BYTES = 8
const CONTAINER_BIT = 0x40000000
/** Windows nests twice: modules in a trust boundary. */
const MAX_DEPTH = 4
/** A boot with a hundred drivers has a thousand. */
const MAX_EVENTS = 1 << 14

/** True for data that begins like a SIPA event: an identifier that wbcl.h has, and a size that fits. */
export function isWindowsEvent(data: Uint8Array): boolean {
  if (data.length < HEAD_BYTES) return false
  const view = new DataView(data.buffer, data.byteOffset, HEAD_BYTES)
  return WINDOWS_EVENT_NAMES.has(view.getUint32(0, true)) && view.getUint32(4, true) <= data.length - HEAD_BYTES
}

/**
 * SIPA events one after another, little-endian: identifier u32, size u32, data; a container's data is further events.
 *
 * @throws EventLogError EVENT_LOG_BAD_CONTENT
 */
export function decodeWindowsEvents(bytes: Uint8Array): WindowsEventData {
  let left = MAX_EVENTS
  const readAll = (data: Uint8Array, depth: number): WindowsEvent[] => {
    const r = new DataReader(data, 'SIPA event')
    if (depth > MAX_DEPTH) throw r.error('nesting', `more than ${MAX_DEPTH} deep`)
    const events: WindowsEvent[] = []
    while (r.remaining > 0) {
      if (left-- === 0) throw r.error('events', `more than ${MAX_EVENTS}`)
      const id = r.u32('identifier')
      const content = r.bytesOf('data', r.u32('size'))
      const name = WINDOWS_EVENT_NAMES.get(id)
      const value: WindowsEvent['value'] =
        (id & CONTAINER_BIT) !== 0
          ? { form: 'container', events: readAll(content, depth + 1) }
          : plainValue(name, content)
      events.push({ id, ...(name !== undefined && { name }), data: content, value })
    }
    return events
  }
  return { kind: 'windows', events: readAll(bytes, 1) }
}

function plainValue(name: string | undefined, data: Uint8Array): WindowsEvent['value'] {
  if (name === undefined) return { form: 'bytes' }
  if (WINDOWS_TEXT_EVENTS.has(name)) return { form: 'text', text: withoutNuls(utf16Text(data)) }
  if (data.length === 1 && WINDOWS_SWITCH_EVENTS.has(name)) return { form: 'switch', on: data[0] !== 0 }
  if (![1, 2, 4, 8].includes(data.length)) return { form: 'bytes' }
  let number = 0n
  for (let i = data.length - 1; i >= 0; i--) number = (number << 8n) | BigInt(data[i] as number) // i is inside
  return { form: 'number', number }
}

/** All events in order, containers and then what is in them. */
export function* flatWindowsEvents(events: readonly WindowsEvent[]): Generator<WindowsEvent> {
  for (const event of events) {
    yield event
    if (event.value.form === 'container') yield* flatWindowsEvents(event.value.events)
  }
}
