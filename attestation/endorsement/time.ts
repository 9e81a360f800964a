import { bytesText } from '../crypto/index.ts'
import { type DerElement, TAG } from './der.ts'
import { EndorsementError } from './errors.ts'

const UTC_TIME = /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?Z$/
const GENERALIZED_TIME = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.\d+)?Z$/
/** "99991231235959.999Z" and no longer. */
const MAX_TIME_BYTES = 24

/**
 * UTCTime or GeneralizedTime in UTC (RFC 5280 §4.1.2.5); seconds may be missing in the first, fractions in the second
 * are dropped. 99991231235959Z, "no well-defined expiry", comes out as that date.
 *
 * @throws EndorsementError CERT_MALFORMED, also for a day that does not exist
 */
export function decodeTime({ tag, content }: DerElement, field: string): Date {
  const text = content.length > MAX_TIME_BYTES ? '' : bytesText(content)
  const match =
    tag === TAG.utcTime ? UTC_TIME.exec(text) : tag === TAG.generalizedTime ? GENERALIZED_TIME.exec(text) : null
  if (match === null) {
    throw new EndorsementError('CERT_MALFORMED', `${field} is neither a UTCTime nor a GeneralizedTime ending in Z`)
  }
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1).map((n) => Number(n ?? 0))
  // RFC 5280 §4.1.2.5.1: two digits from 50 on are 19xx
  const fullYear = tag === TAG.generalizedTime ? year : year >= 50 ? 1900 + year : 2000 + year
  const time = new Date(0)
  time.setUTCFullYear(fullYear, month - 1, day) // not Date.UTC, which takes years below 100 for 19xx
  time.setUTCHours(hour, minute, second)
  const exists =
    time.getUTCFullYear() === fullYear &&
    time.getUTCMonth() === month - 1 &&
    time.getUTCDate() === day &&
    time.getUTCHours() === hour &&
    time.getUTCMinutes() === minute &&
    time.getUTCSeconds() === second
  if (!exists) throw new EndorsementError('CERT_MALFORMED', `${field} names a time that does not exist: ${text}`)
  return time
}
