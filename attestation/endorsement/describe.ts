import { toHex } from '../base/index.ts'
import type { Certificate } from './certificate.ts'

/** How a certificate is named in messages: its subject, or where that is empty its issuer and serial number. */
export function describe(c: Pick<Certificate, 'subject' | 'issuer' | 'serial'>): string {
  if (c.subject.attributes.length > 0) return `"${c.subject.text}"`
  return `certificate ${toHex(c.serial.subarray(0, 21))} of "${c.issuer.text}"`
}

/** A time for people: ISO 8601 in UTC, to the second. */
export const iso = (time: Date): string => time.toISOString().replace('.000Z', 'Z')
