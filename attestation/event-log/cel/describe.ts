import { fromUtf8, printable, toHex } from '../../base/index.ts'
import type { HashAlgorithm } from '../../crypto/index.ts'
import { EventLogError } from '../errors.ts'
import type { LogEvent, Register } from '../event.ts'
import { eventTypeName } from '../firmware/event-types.ts'
import { parseLaunchLogContent } from '../launch-log/launch-log-schema.ts'
import type { CelIndex, CelRecord } from './cel.ts'
import { celCoverage } from './content.ts'
import { COS_TYPES, IMA_TLV_FIELDS, STATE_TRANSITIONS, SYSTEMD_TYPES } from './names.ts'
import { type CelContent, type CelManagement, decodeCelContent } from './typed-content.ts'

const MAX_TEXT = 240
const SHOWN_BYTES = 24

/**
 * Events of a CEL log for a timeline, in the log's order.
 * @throws EventLogError for a record whose content has not the form of its type, or that no register can have
 */
export function* celEvents(records: Iterable<CelRecord>): Generator<LogEvent> {
  let index = 0
  for (const record of records) {
    const content = decodeCelContent(record)
    const digests: { [bank in HashAlgorithm]?: Uint8Array } = {}
    for (const d of record.digests) if (d.bank !== undefined) digests[d.bank] = d.bytes
    yield {
      source: content.kind === 'holdfast' ? 'launch-log' : 'cel',
      index: index++,
      register: celRegister(record.index),
      digests,
      type: celTypeName(content),
      ...celCoverage(record, content),
      text: describeCelContent(content),
    }
  }
}

/**
 * The register of a record. Confidential VMs number their measurement registers from MRTD, 0, so RTMR 0 is CCMR 1.
 * @throws EventLogError EVENT_LOG_BAD_NUMBER for MRTD, which no event extends
 */
function celRegister({ kind, value }: CelIndex): Register {
  if (kind !== 'ccmr') return { kind, index: value }
  if (value === 0) throw new EventLogError('EVENT_LOG_BAD_NUMBER', 'ccmr 0 is MRTD, which no event extends')
  return { kind: 'rtmr', index: value - 1 }
}

/** The format's own name of an event. */
function celTypeName(content: CelContent): string {
  switch (content.kind) {
    case 'mgmt':
      return content.events.map((e) => (e.type === 'unknown' ? `cel ${e.number}` : e.type)).join(', ')
    case 'pcclient_std':
      return eventTypeName(content.claimedEventType)
    case 'ima_template':
      return printable(content.name, MAX_TEXT)
    case 'systemd':
      return SYSTEMD_TYPES[content.event.eventType] ?? `systemd ${content.event.eventType}`
    case 'systemd_string':
      return 'systemd'
    case 'cos':
      return COS_TYPES[content.type] ?? `cos ${content.type}`
    case 'holdfast':
      return launchLogType(content.bytes)
    case 'unknown':
      return `content ${content.contentType}`
    default:
      return content.kind
  }
}

/** Launch-log content that this program does not know is shown all the same; its own reader judges it. */
function launchLogType(bytes: Uint8Array): string {
  try {
    return parseLaunchLogContent(bytes).record
  } catch (err) {
    if (!(err instanceof EventLogError)) throw err
    return 'holdfast'
  }
}

/** One line for people: what the content says. Control characters are escaped, the length is bounded. */
function describeCelContent(content: CelContent): string {
  return printable(describe(content), MAX_TEXT)
}

function describe(content: CelContent): string {
  switch (content.kind) {
    case 'mgmt':
      return content.events.map(describeManagement).join('; ')
    case 'pcclient_std':
      return textOrHex(content.eventData)
    case 'ima_template':
      return `${content.data.length} bytes of template data: ${textOrHex(content.data)}`
    case 'ima_tlv':
      return content.fields
        .map((f) => `${IMA_TLV_FIELDS[f.type] ?? `field ${f.type}`} ${textOrHex(f.value)}`)
        .join(', ')
    case 'systemd':
      return content.event.string ?? 'a secret'
    case 'cos':
      return textOrHex(content.value)
    case 'systemd_string':
    case 'holdfast':
    case 'unknown':
      return textOrHex(content.bytes)
  }
}

function describeManagement(event: CelManagement): string {
  switch (event.type) {
    case 'cel_version':
      return `the log is of CEL version ${event.major}.${event.minor}`
    case 'firmware_end':
      return 'the events of the firmware end here'
    case 'cel_timestamp':
      return `time ${event.value}`
    case 'state_trans':
      return `the machine went through ${STATE_TRANSITIONS[event.value] ?? `a change of state ${event.value}`}`
    case 'unknown':
      return `event ${event.number} of the log itself: ${textOrHex(event.value)}`
  }
}

/** Text where the bytes are text without control characters, else the beginning in hexadecimal. */
function textOrHex(bytes: Uint8Array): string {
  try {
    const text = fromUtf8(bytes.subarray(0, 4 * MAX_TEXT))
    if (text.length > 0 && !/\p{Cc}/u.test(text)) return text
  } catch {
    // not text
  }
  const more = bytes.length > SHOWN_BYTES ? `... (${bytes.length} bytes)` : ''
  return `${toHex(bytes.subarray(0, SHOWN_BYTES))}${more}`
}
