import { fromUtf8, type JsonValue, toHex } from '../../base/index.ts'
import { parseLaunchLogContent } from '../launch-log/launch-log-schema.ts'
import { CEL_CONTENT, type CelRecord } from './cel.ts'
import { decodePcClientEvent } from './content.ts'

const INDEX_NAMES = { pcr: 'pcr', nv: 'nv_index', ccmr: 'ccmr' } as const

/**
 * A record as CEL-JSON (TCG Canonical Event Log Format 1.0, JSON encoding), for people and for other tools. Launch-log content is
 * shown as the JSON it is, so that its RFC 8785 form gives the hashed bytes again; content types without a reader are shown in hex.
 *
 * @throws EventLogError for content that has not the form of its type
 */
export function toCelJson(record: CelRecord): JsonValue {
  return {
    recnum: record.recnum,
    [INDEX_NAMES[record.index.kind]]: record.index.value,
    digests: record.digests.map((d) => ({ hashAlg: d.bank ?? d.alg, digest: toHex(d.bytes) })),
    ...contentJson(record),
  }
}

function contentJson(record: CelRecord): { content_type: string | number; content: JsonValue } {
  switch (record.contentType) {
    case CEL_CONTENT.holdfast:
      parseLaunchLogContent(record.content) // its checks; the text itself is what is shown
      return { content_type: 'holdfast', content: JSON.parse(fromUtf8(record.content)) }
    case CEL_CONTENT.pcclientStd: {
      const event = decodePcClientEvent(record)
      return {
        content_type: 'pcclient_std',
        content: { event_type: event.claimedEventType, event_data: toHex(event.eventData) },
      }
    }
    default:
      return { content_type: record.contentType, content: toHex(record.content) }
  }
}
