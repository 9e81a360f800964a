import { isUtf8 } from 'node:buffer'
import type { TarEntry, TarEntryType } from './tar.ts'

const BLOCK = 512
const TYPE_FLAGS: Readonly<Record<TarEntryType, string>> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  char: '3',
  block: '4',
  directory: '5',
  fifo: '6',
}
/** Two blocks of zeros end an archive. */
export const TAR_END = Buffer.alloc(2 * BLOCK)

/**
 * The header of an entry, with a PAX header before it where ustar cannot say all: the same bytes for the same entry.
 * Source: POSIX.1-2017 pax, "ustar Interchange Format" and "pax Interchange Format".
 */
export function tarHeader(entry: TarEntry): Buffer {
  const pax = paxRecords(entry)
  const header = ustar(entry, TYPE_FLAGS[entry.type], entry.size)
  if (pax.length === 0) return header
  const extended = ustar({ ...BLANK, path: 'PaxHeaders/0' }, 'x', pax.length)
  return Buffer.concat([extended, pax, tarPadding(pax.length), header])
}

/** What follows data of a size to the end of its block. */
export function tarPadding(sizeBytes: number): Buffer {
  return Buffer.alloc((BLOCK - (sizeBytes % BLOCK)) % BLOCK)
}

const BLANK: TarEntry = {
  path: '',
  type: 'file',
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 0,
  mtime: { seconds: 0, nanoseconds: 0 },
  linkPath: '',
  deviceMajor: 0,
  deviceMinor: 0,
  xattrs: new Map(),
}

/** A file that is in no tree, e.g. an ACI's manifest: root's, 0644, of 1970, so that the archive is always the same. */
export function plainFile(path: string, sizeBytes: number): TarEntry {
  return { ...BLANK, path, size: sizeBytes }
}

function ustar(entry: TarEntry, flag: string, sizeBytes: number): Buffer {
  const h = Buffer.alloc(BLOCK)
  h.write(entry.path, 0, 100, 'latin1')
  octal(h, 100, 8, entry.mode)
  octal(h, 108, 8, fits(entry.uid, 7) ? entry.uid : 0)
  octal(h, 116, 8, fits(entry.gid, 7) ? entry.gid : 0)
  octal(h, 124, 12, fits(sizeBytes, 11) ? sizeBytes : 0)
  octal(h, 136, 12, entry.mtime.seconds)
  h.write(flag, 156, 1, 'latin1')
  h.write(entry.linkPath, 157, 100, 'latin1')
  h.write('ustar\x0000', 257, 8, 'latin1')
  octal(h, 329, 8, entry.deviceMajor)
  octal(h, 337, 8, entry.deviceMinor)
  h.fill(' ', 148, 156)
  const sum = h.reduce((a, b) => a + b, 0)
  h.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 8, 'latin1')
  return h
}

function paxRecords(entry: TarEntry): Buffer {
  const records: Buffer[] = []
  const add = (key: string, value: Buffer | string): void => {
    const body = Buffer.concat([
      Buffer.from(` ${key}=`, 'latin1'),
      typeof value === 'string' ? Buffer.from(value) : value,
      Buffer.from('\n'),
    ])
    let length = body.length + 1
    while (String(length).length + body.length !== length) length = String(length).length + body.length
    records.push(Buffer.from(String(length)), body)
  }
  const { seconds, nanoseconds } = entry.mtime
  const [path, link] = [Buffer.from(entry.path, 'latin1'), Buffer.from(entry.linkPath, 'latin1')]
  const long = [path, link].filter((b) => b.length > 100)
  // PAX texts are UTF-8 unless this says otherwise; names in images are bytes
  if (long.some((b) => !isUtf8(b))) add('hdrcharset', 'BINARY')
  if (path.length > 100) add('path', path)
  if (link.length > 100) add('linkpath', link)
  if (!fits(entry.size, 11)) add('size', String(entry.size))
  if (!fits(entry.uid, 7)) add('uid', String(entry.uid))
  if (!fits(entry.gid, 7)) add('gid', String(entry.gid))
  if (nanoseconds > 0) add('mtime', `${seconds}.${String(nanoseconds).padStart(9, '0')}`)
  for (const [name, value] of entry.xattrs) add(`SCHILY.xattr.${name}`, value)
  return Buffer.concat(records)
}

function fits(value: number, digits: number): boolean {
  return value >= 0 && value < 8 ** digits
}

function octal(h: Buffer, at: number, length: number, value: number): void {
  h.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, length, 'latin1')
}
