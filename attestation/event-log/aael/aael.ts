import { fromHex, fromUtf8, printable } from '../../base/index.ts'
import { digest, type HashAlgorithm, hashSize } from '../../crypto/index.ts'
import { EventLogError } from '../errors.ts'
import type { LogEvent, Register } from '../event.ts'
import { BANK_ORDER } from '../registers.ts'

/** One line of an AAEL: what a guest component of a confidential VM says it did. */
export interface AaelEvent {
  readonly index: number
  readonly offset: number
  readonly domain: string
  readonly operation: string
  /**
   * JSON in its RFC 8785 form where the writer keeps to the format; not checked, because the whole line is what was
   * hashed.
   */
  readonly content: string
  /** Hash of the line without its line feed: what was extended. */
  readonly digest: Uint8Array
}

/** Attestation Agent event log of Confidential Containers. Read, not believed. */
export interface AaelLog {
  /** Hash of the lines and of the register. */
  readonly bank: HashAlgorithm
  /** The register as the writer found it. */
  readonly start: Uint8Array
  readonly events: readonly AaelEvent[]
}

const MAX_AAEL_BYTES = 16 << 20
const MAX_LINE_BYTES = 1 << 20
const MAX_EVENTS = 65_536
const LINE_FEED = 0x0a
const FIRST = /^INIT\/([a-z0-9]{1,16}) ([0-9a-fA-F]*)$/
const LINE = /^([!-~]{1,256}) ([!-~]{1,256}) (.*)$/su
const MAX_SHOWN = 240

/**
 * Reads an AAEL: `INIT/sha256 HEX`, then a line `DOMAIN OPERATION CONTENT` for each event.
 * Source: confidential-containers guest-components, attestation-agent/docs, "AA event log".
 *
 * @throws EventLogError EVENT_LOG_UNKNOWN_FORMAT, EVENT_LOG_TOO_LONG, EVENT_LOG_BAD_DIGEST, EVENT_LOG_BAD_CONTENT,
 * EVENT_LOG_TRUNCATED
 */
export function readAael(bytes: Uint8Array): AaelLog {
  if (bytes.length > MAX_AAEL_BYTES) {
    throw new EventLogError('EVENT_LOG_TOO_LONG', `${bytes.length} bytes, at most ${MAX_AAEL_BYTES} are read`)
  }
  const [first, ...lines] = linesOf(bytes)
  const [, name, hex] = FIRST.exec(first === undefined ? '' : textOf(first)) ?? []
  const bank = BANK_ORDER.find((candidate) => candidate === name)
  if (hex === undefined) throw new EventLogError('EVENT_LOG_UNKNOWN_FORMAT', 'an AAEL starts with INIT/ and a hash')
  if (bank === undefined) throw new EventLogError('EVENT_LOG_UNKNOWN_FORMAT', `hash ${name} is not known here`)
  if (hex.length !== 2 * hashSize(bank)) {
    throw new EventLogError('EVENT_LOG_BAD_DIGEST', `a ${bank} register of ${hex.length} digits`)
  }
  return { bank, start: fromHex(hex), events: lines.map((line, index) => readLine(line, index, bank)) }
}

interface Line {
  readonly offset: number
  readonly bytes: Uint8Array
}

function linesOf(bytes: Uint8Array): Line[] {
  const lines: Line[] = []
  for (let offset = 0; offset < bytes.length; ) {
    const position = { offset, recnum: lines.length }
    const end = bytes.indexOf(LINE_FEED, offset)
    if (end < 0) throw new EventLogError('EVENT_LOG_TRUNCATED', 'the last line has no line feed', { position })
    if (end - offset > MAX_LINE_BYTES || lines.length > MAX_EVENTS) {
      throw new EventLogError('EVENT_LOG_TOO_LONG', `more than ${MAX_EVENTS} lines, or one of ${end - offset} bytes`, {
        position,
      })
    }
    lines.push({ offset, bytes: bytes.subarray(offset, end) })
    offset = end + 1
  }
  return lines
}

function readLine(line: Line, index: number, bank: HashAlgorithm): AaelEvent {
  const [, domain, operation, content] = LINE.exec(textOf(line)) ?? []
  if (domain === undefined || operation === undefined || content === undefined) {
    throw new EventLogError('EVENT_LOG_BAD_CONTENT', 'no domain, operation and content', {
      position: { offset: line.offset, recnum: index },
    })
  }
  return { index, offset: line.offset, domain, operation, content, digest: digest(bank, line.bytes) }
}

function textOf({ bytes, offset }: Line): string {
  try {
    return fromUtf8(bytes)
  } catch (cause) {
    throw new EventLogError('EVENT_LOG_BAD_CONTENT', 'a line is not UTF-8', { position: { offset }, cause })
  }
}

/**
 * The lines as events of the register that the platform keeps for them; the log does not say which.
 * What they say is what was hashed, so who proves the register proves it.
 */
export function* aaelEvents(log: AaelLog, register: Register): Generator<LogEvent> {
  for (const { index, domain, operation, content, digest: bytes } of log.events) {
    yield {
      source: 'aael',
      index,
      register,
      digests: { [log.bank]: bytes },
      type: printable(operation, MAX_SHOWN),
      coverage: 'data',
      why: 'the digest is that of the line',
      text: printable(`${domain} ${operation} ${content}`, MAX_SHOWN),
    }
  }
}
