import { fromUtf8, printable, toHex } from '../../base/index.ts'
import { type HashAlgorithm, digest as hash, hashSize } from '../../crypto/index.ts'
import type { Coverage, EventDigests, LogEvent } from '../event.ts'
import { type ImaCursor, imaCursor, isViolation, nextEntry } from './cursor.ts'
import { imaFields } from './entry.ts'
import { type ImaFileDigest, type ImaMeasurement, imaMeasurement } from './measurement.ts'
import type { ImaExtendRule } from './replay-state.ts'
import { detectTemplateHash, hashedBytes, isTemplateDigest } from './template-digest.ts'

const MAX_SHOWN = 240

export interface ImaEventOptions {
  /** Banks whose digests the events get. */
  readonly banks: readonly HashAlgorithm[]
  /** By bank where it is not `template-data`; a replay tells. */
  readonly rules?: { readonly [bank in HashAlgorithm]?: ImaExtendRule }
}

/**
 * A binary list as events, made one by one: for timelines and for people. Verdicts come from a scan (replayIma), not
 * from here.
 * @throws EventLogError for the first entry that is none; those before it were yielded
 */
export function* imaEvents(bytes: Uint8Array, options: ImaEventOptions): Generator<LogEvent> {
  const c = imaCursor(bytes, bytes.length === 0 ? 'sha1' : detectTemplateHash(bytes))
  while (nextEntry(c)) yield eventAt(c, options)
}

function eventAt(c: ImaCursor, options: ImaEventOptions): LogEvent {
  const { template, fields } = imaFields(c)
  const measurement = imaMeasurement(fields)
  const violation = isViolation(c)
  const hashed = hashedBytes(c)
  const [coverage, why] = coverageOf(c, violation, hashed, measurement)
  return {
    source: 'ima',
    index: c.index,
    register: { kind: 'pcr', index: c.pcr },
    digests: extended(violation, hashed, options),
    type: template,
    coverage,
    why,
    text: describeImaMeasurement(measurement, violation),
  }
}

function coverageOf(
  c: ImaCursor,
  violation: boolean,
  hashed: Uint8Array,
  measurement: ImaMeasurement,
): [Coverage, string] {
  if (violation) return ['digest', 'a violation extends all ones, so its entry can say anything']
  if (!isTemplateDigest(c, hashed)) return ['mismatch', 'the template digest is not that of the template data']
  const { buffer, digest } = measurement
  if (buffer !== undefined && digest !== undefined && isBufferDigest(digest, buffer) === false) {
    return [
      'data',
      'the digest is that of the template data; the buffer in them is not the one that its digest field names',
    ]
  }
  return ['data', "the digest is that of the template data; the template's name is not in them"]
}

/** Whether a digest field is the one of a measured buffer; undefined where its algorithm is not known here. */
export function isBufferDigest(field: ImaFileDigest, buffer: Uint8Array): boolean | undefined {
  switch (field.algorithm) {
    case 'sha1':
    case 'sha256':
    case 'sha384':
    case 'sha512':
      return toHex(hash(field.algorithm, buffer)) === toHex(field.bytes)
    default:
      return undefined
  }
}

/** What the kernel extends, by bank. */
function extended(violation: boolean, hashed: Uint8Array, { banks, rules }: ImaEventOptions): EventDigests {
  const digests: { [bank in HashAlgorithm]?: Uint8Array } = {}
  for (const bank of banks) {
    const size = hashSize(bank)
    if (violation) digests[bank] = new Uint8Array(size).fill(0xff)
    else if (rules?.[bank] === 'sha1-padded') {
      const padded = new Uint8Array(size)
      padded.set(hash('sha1', hashed))
      digests[bank] = padded
    } else digests[bank] = hash(bank, hashed)
  }
  return digests
}

/** One line for people: what was measured. Total. */
function describeImaMeasurement(measurement: ImaMeasurement, violation: boolean): string {
  const { digest, name, signature, buffer, appended, evmSignature, owner } = measurement
  const parts = [printableName(name ?? '(no name)')]
  if (violation) parts.push('measured while it could be written: what was read may not be what the digest says')
  else if (digest !== undefined)
    parts.push(`${digest.of === 'verity' ? 'fs-verity ' : ''}${digest.algorithm}:${toHex(digest.bytes)}`)
  if (buffer !== undefined) parts.push(describeBuffer(name ?? '', buffer))
  if (signature !== undefined) parts.push('signed')
  if (evmSignature !== undefined) parts.push('metadata signed')
  if (appended?.signature !== undefined) parts.push('signature appended')
  if (owner !== undefined)
    parts.push(`owner ${owner.uid ?? '?'}:${owner.gid ?? '?'} mode ${owner.mode?.toString(8) ?? '?'}`)
  return parts.join(' ')
}

/** Critical data are text (device mapper, kernel command line) or bytes: a key's certificate, a hash. */
function describeBuffer(name: string, buffer: Uint8Array): string {
  const text = asText(buffer)
  if (text !== undefined) return `"${printable(text, MAX_SHOWN)}"`
  return name.startsWith('.') ? `key of ${buffer.length} bytes` : `${buffer.length} bytes`
}

/** The device mapper puts NULs between its fields where a hash is absent; other text has none. */
function asText(buffer: Uint8Array): string | undefined {
  try {
    const text = fromUtf8(buffer).replaceAll('\0', '')
    return text.length > 0 && /^[^\p{Cc}]*$/u.test(text.replaceAll('\n', ' ')) ? text.replaceAll('\n', ' ') : undefined
  } catch {
    return undefined
  }
}

/** A binary string as a line of text: what is not UTF-8 or would move the cursor is escaped. */
export function printableName(binary: string): string {
  let text = binary
  try {
    text = fromUtf8(Uint8Array.from(binary, (character) => character.charCodeAt(0)))
  } catch {
    // not UTF-8: each byte as the character of its number
  }
  return printable(text, MAX_SHOWN)
}
