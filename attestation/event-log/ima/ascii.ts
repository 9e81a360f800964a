import { concatBytes, fromHex } from '../../base/index.ts'
import { bytesText, type HashAlgorithm, hashSize } from '../../crypto/index.ts'
import { EventLogError } from '../errors.ts'
import { BANK_ORDER } from '../registers.ts'
import { detectTemplateHash } from './template-digest.ts'
import { type ImaField, imaTemplateFields, OLD_TEMPLATE } from './templates.ts'

/**
 * One line of `ascii_runtime_measurements`: PCR, template digest, template, and its fields with a space before each.
 */
const LINE = /^ ?([0-9]{1,2}) ([0-9a-f]+) ([!-~]+)(?: (.*))?$/s
const FIRST_LINE = /^ ?[0-9]{1,2} [0-9a-f]{40}/
const LINE_FEED = 0x0a
/** Longer lines are of data that the binary reader would not take either. */
const MAX_LINE_BYTES = 4 << 20

/** A binary list and the hash of its template digests. */
export interface ImaList {
  readonly bytes: Uint8Array
  readonly templateHash: HashAlgorithm
  readonly form: 'binary' | 'ascii'
}

/**
 * A list in either of its forms. A binary list is given back as it is; an ASCII list is made into the binary one that
 * the kernel would have written, so that it replays.
 *
 * @throws EventLogError for a line that is none; a binary list's entries are left to their reader
 */
export function readImaList(bytes: Uint8Array): ImaList {
  if (!FIRST_LINE.test(bytesText(bytes.subarray(0, 64)))) {
    return { bytes, templateHash: bytes.length === 0 ? 'sha1' : detectTemplateHash(bytes), form: 'binary' }
  }
  const entries: Uint8Array[] = []
  let templateHash: HashAlgorithm | undefined
  for (let at = 0; at < bytes.length; ) {
    const feed = bytes.subarray(at, at + MAX_LINE_BYTES).indexOf(LINE_FEED)
    const end = feed < 0 ? bytes.length : at + feed
    const line = bytes.subarray(at, end)
    if (line.length > 0) {
      const { entry, hash } = fromLine(line, { offset: at, recnum: entries.length })
      templateHash ??= hash
      if (hash !== templateHash) {
        throw new EventLogError(
          'EVENT_LOG_BAD_DIGEST',
          `the template digest is not a ${templateHash} as those before`,
          {
            position: { offset: at, recnum: entries.length },
          },
        )
      }
      entries.push(entry)
    }
    at = end + 1
  }
  return { bytes: concatBytes(...entries), templateHash: templateHash ?? 'sha1', form: 'ascii' }
}

type Position = { readonly offset: number; readonly recnum: number }

function fromLine(line: Uint8Array, position: Position): { entry: Uint8Array; hash: HashAlgorithm } {
  const fail = (message: string) => new EventLogError('EVENT_LOG_BAD_CONTENT', message, { position })
  if (line.length > MAX_LINE_BYTES) {
    throw new EventLogError('EVENT_LOG_TOO_LONG', `a line of ${line.length} bytes`, { position })
  }
  const [, pcr, digest, template, rest] = LINE.exec(bytesText(line)) ?? []
  if (pcr === undefined || digest === undefined || template === undefined) {
    throw fail('no line of an IMA list; a path with a line feed in it can only be read from the binary list')
  }
  const hash = BANK_ORDER.find((bank) => 2 * hashSize(bank) === digest.length)
  if (hash === undefined) throw fail(`a template digest of ${digest.length} digits`)
  const names = imaTemplateFields(template)
  if (names === undefined) throw fail(`template ${JSON.stringify(template)} is not known, nor a list of known fields`)
  const values = fieldTexts(names, rest ?? '', fail)
  const name = latin1(template)
  const head = [u32(Number(pcr)), hex(digest, 'the template digest', fail), u32(name.length), name]
  if (template === OLD_TEMPLATE) {
    const path = latin1(values[1] ?? '')
    return { entry: concatBytes(...head, oldDigest(values[0] ?? '', fail), u32(path.length), path), hash }
  }
  const fields = names.map((field, i) => fieldBytes(field, values[i] ?? '', fail))
  const data = concatBytes(...fields.flatMap((bytes) => [u32(bytes.length), bytes]))
  return { entry: concatBytes(...head, u32(data.length), data), hash }
}

type Fail = (message: string) => EventLogError

/** A name that stands last may have spaces: kernels that did not yet write `_` for them. */
function fieldTexts(names: readonly ImaField[], rest: string, fail: Fail): string[] {
  const texts = rest.split(' ')
  if (texts.length <= names.length) return texts
  const last = names.at(-1)
  if (last !== 'n' && last !== 'n-ng') throw fail(`${texts.length} fields where the template has ${names.length}`)
  return [...texts.slice(0, names.length - 1), texts.slice(names.length - 1).join(' ')]
}

function fieldBytes(field: ImaField, text: string, fail: Fail): Uint8Array {
  switch (field) {
    case 'n':
    case 'n-ng':
      return latin1(`${text}\0`)
    case 'd-ng':
    case 'd-ngv2':
    case 'd-modsig':
      return text === '' ? new Uint8Array(0) : algorithmDigest(text, fail)
    case 'iuid':
    case 'igid':
      return text === '' ? new Uint8Array(0) : u32(decimal(text, 0xffffffff, fail))
    case 'imode':
      return text === '' ? new Uint8Array(0) : u32(decimal(text, 0xffff, fail)).subarray(0, 2)
    case 'xattrnames':
      return text === '' ? new Uint8Array(0) : latin1(`${text}\0`)
    default:
      return hex(text, field, fail)
  }
}

/** `sha256:` and hex digits; in the data a NUL stands between. */
function algorithmDigest(text: string, fail: Fail): Uint8Array {
  const colon = text.lastIndexOf(':')
  return concatBytes(latin1(`${text.slice(0, colon)}:\0`), hex(text.slice(colon + 1), 'the digest', fail))
}

function oldDigest(text: string, fail: Fail): Uint8Array {
  const bytes = hex(text, 'the digest', fail)
  if (bytes.length !== 20) throw fail(`a digest of ${bytes.length} bytes where the old template has 20`)
  return bytes
}

function decimal(text: string, max: number, fail: Fail): number {
  const value = /^[0-9]{1,10}$/.test(text) ? Number(text) : Number.NaN
  if (!(value <= max)) throw fail(`${JSON.stringify(text.slice(0, 20))} is no number of at most ${max}`)
  return value
}

function hex(text: string, what: string, fail: Fail): Uint8Array {
  if (text.length % 2 !== 0 || !/^[0-9a-f]*$/.test(text)) throw fail(`${what} is not an even number of hex digits`)
  return fromHex(text)
}

function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0))
}

function u32(value: number): Uint8Array {
  return Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24)
}
