import { ImageError } from './errors.ts'
import { decimal, malformed, paxTime } from './tar-numbers.ts'

/** What PAX records say of the entry that follows, over its own header. Texts hold one character for each byte. */
export interface PaxFields {
  path?: string
  linkPath?: string
  size?: number
  uid?: number
  gid?: number
  mtime?: { readonly seconds: number; readonly nanoseconds: number }
  /** By name; the last of two is taken, as POSIX says of records. */
  xattrs?: Map<string, Buffer>
}

const NEWLINE = 0x0a
const MAX_KEYWORD = 512
/** Keywords of a sparse file in one of GNU's and star's ways: the data would not be the file's. */
const SPARSE = /^(GNU\.sparse\.|SCHILY\.realsize$)/
const XATTR = 'SCHILY.xattr.'
const LIBARCHIVE_XATTR = 'LIBARCHIVE.xattr.'
/** In a global header these would change every file that follows; nobody needs that, and readers disagree about it. */
const NOT_GLOBAL = /^(path|linkpath|size|uid|gid|mtime|hdrcharset)$|^(SCHILY|LIBARCHIVE)\.xattr\./

/**
 * Reads the records of a PAX extended header (POSIX.1-2017 pax, "pax Header Block"): `LENGTH KEYWORD=VALUE\n`, where
 * LENGTH counts the whole record. Bytes stay bytes: neither UTF-8 nor hdrcharset is interpreted.
 *
 * @param data the header's data, without padding
 * @param global whether it is a global header: then nothing in it may concern a file
 * @throws ImageError IMAGE_LAYER_BAD for a malformed record and IMAGE_UNSUPPORTED for a sparse file
 */
export function parsePax(data: Buffer, global: boolean): PaxFields {
  const fields: PaxFields = {}
  for (let at = 0; at < data.length; ) {
    const space = data.indexOf(0x20, at)
    if (space < 0 || space - at > 8) throw malformed('PAX record without a length')
    const length = decimal(data.toString('latin1', at, space), 'length of a PAX record')
    const end = at + length
    if (end > data.length || end < space + 3) throw malformed('length of a PAX record is wrong')
    if (data[end - 1] !== NEWLINE) throw malformed('PAX record does not end in a newline')
    const equals = data.indexOf(0x3d, space + 1)
    if (equals < 0 || equals >= end || equals === space + 1 || equals - space > MAX_KEYWORD) {
      throw malformed('PAX record without a keyword')
    }
    const keyword = data.toString('latin1', space + 1, equals)
    if (keyword.includes('\0')) throw malformed('NUL in a PAX keyword')
    if (global && NOT_GLOBAL.test(keyword)) throw malformed(`global PAX header sets ${keyword} for all files`)
    applyRecord(fields, keyword, data.subarray(equals + 1, end - 1))
    at = end
  }
  return fields
}

function applyRecord(fields: PaxFields, keyword: string, value: Buffer): void {
  if (SPARSE.test(keyword)) throw sparse()
  if (keyword.startsWith(XATTR)) {
    setXattr(fields, keyword.slice(XATTR.length), Buffer.from(value))
    return
  }
  if (keyword.startsWith(LIBARCHIVE_XATTR)) {
    setLibarchiveXattr(fields, keyword, value)
    return
  }
  const text = value.toString('latin1', 0, value.length)
  switch (keyword) {
    case 'path':
    case 'linkpath': {
      if (text.includes('\0')) throw malformed(`NUL in the PAX ${keyword}`)
      const key = keyword === 'path' ? 'path' : 'linkPath'
      // POSIX: a record without a value takes back what was said before.
      if (text === '') delete fields[key]
      else fields[key] = text
      return
    }
    case 'size':
    case 'uid':
    case 'gid':
      if (text === '') delete fields[keyword]
      else fields[keyword] = decimal(text, `PAX ${keyword}`, keyword !== 'size')
      return
    case 'mtime':
      if (text === '') delete fields.mtime
      else fields.mtime = paxTime(text, 'PAX mtime')
      return
    default: // names, other times, comments, vendors' additions: nothing that ends up in a tree
  }
}

function setXattr(fields: PaxFields, name: string, value: Buffer): void {
  if (name === '') throw malformed('extended attribute without a name')
  fields.xattrs ??= new Map()
  fields.xattrs.set(name, value)
}

/** libarchive's form: the name URL-encoded, the value base64 without padding. */
function setLibarchiveXattr(fields: PaxFields, keyword: string, value: Buffer): void {
  const encoded = keyword.slice(LIBARCHIVE_XATTR.length)
  const name = encoded.replaceAll(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
  if (name.includes('\0')) throw malformed('NUL in the name of an extended attribute')
  const text = value.toString('latin1', 0, value.length)
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) throw malformed(`extended attribute ${name.slice(0, 80)} is not base64`)
  setXattr(fields, name, Buffer.from(text, 'base64'))
}

/** The error for a sparse file, in any of its forms. */
export function sparse(): ImageError {
  return new ImageError('IMAGE_UNSUPPORTED', 'the archive holds a sparse file (GNU tar -S); make it without')
}
