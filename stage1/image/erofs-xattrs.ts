import { XATTR_ENTRY_BYTES, XATTR_HEADER_BYTES, XATTR_PREFIXES } from './erofs-format.ts'

const PREFIXES = Object.entries(XATTR_PREFIXES).map(([number, text]) => ({ number: Number(number), text }))

/**
 * Extended attributes as they lie behind an inode: a header that says that none is shared, then each with the lengths
 * of name and value, the number of the name's prefix, the rest of the name, the value, and zeros up to 4 bytes.
 * A text is what costs the least memory: an image may have a million of these.
 *
 * @returns one character for each byte; '' for none
 * @throws RangeError for a name or value that cannot be held
 */
export function encodeXattrs(xattrs: ReadonlyMap<string, Buffer>): string {
  if (xattrs.size === 0) return ''
  const parts = [Buffer.alloc(XATTR_HEADER_BYTES)]
  for (const [name, value] of xattrs) {
    const prefix = PREFIXES.find(({ text }) => name.startsWith(text))
    const rest = prefix === undefined ? '' : name.slice(prefix.text.length)
    if (prefix === undefined || rest === '' || rest.length > 0xff || value.length > 0xffff) {
      throw new RangeError(`an extended attribute of ${value.length} bytes, '${name.slice(0, 300)}', cannot be held`)
    }
    const bytes = XATTR_ENTRY_BYTES + rest.length + value.length
    const entry = Buffer.alloc(Math.ceil(bytes / 4) * 4)
    entry.writeUInt8(rest.length, 0)
    entry.writeUInt8(prefix.number, 1)
    entry.writeUInt16LE(value.length, 2)
    entry.write(rest, XATTR_ENTRY_BYTES, 'latin1')
    entry.set(value, XATTR_ENTRY_BYTES + rest.length)
    parts.push(entry)
  }
  return Buffer.concat(parts).toString('latin1')
}
