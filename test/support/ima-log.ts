import { concatBytes, fromHex, utf8 } from '../../attestation/base/index.ts'
import { digest, type HashAlgorithm, hashSize } from '../../attestation/crypto/index.ts'

/** An entry to be written into a list; what is left out is made so that the entry is good. */
export interface ImaEntrySpec {
  readonly template?: string
  readonly pcr?: number
  /** Fields in the template's order, as bytes. */
  readonly fields: readonly Uint8Array[]
  readonly violation?: boolean
  readonly templateDigest?: Uint8Array
}

export const u32 = (value: number): Uint8Array => Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24)

/** `sha256:` NUL digest. */
export function digestField(algorithm: string, value: Uint8Array): Uint8Array {
  return concatBytes(utf8(`${algorithm}:\0`), value)
}

/** A file with a name and a content, measured as `ima-ng`, or with a signature as `ima-sig`. */
export function fileEntry(path: string, content: string | Uint8Array, signature?: Uint8Array): ImaEntrySpec {
  const bytes = typeof content === 'string' ? utf8(content) : content
  const fields = [digestField('sha256', digest('sha256', bytes)), utf8(`${path}\0`)]
  return signature === undefined ? { fields } : { template: 'ima-sig', fields: [...fields, signature] }
}

/** A measured buffer: `ima-buf`. */
export function bufferEntry(name: string, buffer: Uint8Array): ImaEntrySpec {
  return { template: 'ima-buf', fields: [digestField('sha256', digest('sha256', buffer)), utf8(`${name}\0`), buffer] }
}

export function violationEntry(path: string): ImaEntrySpec {
  return { violation: true, fields: [digestField('sha256', new Uint8Array(32)), utf8(`${path}\0`)] }
}

/** The bytes that the template digest is over. */
export function templateData({ template = 'ima-ng', fields }: ImaEntrySpec): Uint8Array {
  if (template !== 'ima') return concatBytes(...fields.flatMap((field) => [u32(field.length), field]))
  const [old = new Uint8Array(20), name = new Uint8Array(0)] = fields
  const padded = new Uint8Array(276)
  padded.set(old)
  padded.set(name, 20)
  return padded
}

/** Bytes of one entry in a binary list whose template digests are of `hash`. */
export function encodeEntry(spec: ImaEntrySpec, hash: HashAlgorithm = 'sha1'): Uint8Array {
  const { template = 'ima-ng', pcr = 10, fields, violation = false } = spec
  const data = templateData(spec)
  const logged = spec.templateDigest ?? (violation ? new Uint8Array(hashSize(hash)) : digest(hash, data))
  const head = [u32(pcr), logged, u32(template.length), utf8(template)]
  if (template !== 'ima') return concatBytes(...head, u32(data.length), data)
  const [old = new Uint8Array(20), name = new Uint8Array(0)] = fields
  return concatBytes(...head, old, u32(name.length), name)
}

/** A binary list. */
export function encodeList(entries: readonly ImaEntrySpec[], hash: HashAlgorithm = 'sha1'): Uint8Array {
  return concatBytes(...entries.map((entry) => encodeEntry(entry, hash)))
}

/** What the entries leave in a register, extended as the kernel does. */
export function registerAfter(
  entries: readonly ImaEntrySpec[],
  bank: HashAlgorithm,
  rule: 'template-data' | 'sha1-padded' = 'template-data',
  start: Uint8Array = new Uint8Array(hashSize(bank)),
): Uint8Array {
  let value = start
  for (const entry of entries) {
    if ((entry.pcr ?? 10) !== 10) continue
    const event = new Uint8Array(hashSize(bank))
    if (entry.violation) event.fill(0xff)
    else event.set(digest(rule === 'sha1-padded' ? 'sha1' : bank, templateData(entry)))
    value = digest(bank, value, event)
  }
  return value
}

/** The first entry of a list, over PCR 0 to 9 of SHA-256. */
export function bootAggregateEntry(value: Uint8Array = fromHex('5a'.repeat(32))): ImaEntrySpec {
  return { fields: [digestField('sha256', value), utf8('boot_aggregate\0')] }
}
