/**
 * The operation stream of `holdfast-stage1 unpack`, whose format native/stage1/unpack.c describes: 8 bytes of magic,
 * then for each operation a header of 56 little-endian bytes, path, argument and data; END closes it.
 */
export const STREAM_MAGIC = Buffer.from('HFUNPK01', 'latin1')

const HEADER_BYTES = 56

const KINDS = {
  mkdir: 1,
  file: 2,
  symlink: 3,
  hardlink: 4,
  node: 5,
  remove: 6,
  xattr: 7,
  meta: 8,
  end: 9,
} as const

/** Owner, mode and time; of a file, or of a directory once its contents are there. */
export interface Attributes {
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtime: { readonly seconds: number; readonly nanoseconds: number }
}

/**
 * Texts hold one character for each byte. Paths are relative to the root, normalised and free of symlinks; '' is the
 * root.
 */
export interface Operation {
  readonly kind: keyof typeof KINDS
  readonly path: string
  /** Target of a symlink, source of a hardlink, name of an extended attribute. */
  readonly argument?: string
  readonly attributes?: Attributes
  /** With the type bits in `attributes.mode`. */
  readonly device?: { readonly major: number; readonly minor: number }
  /** Bytes that follow: of a file, or of an extended attribute's value. */
  readonly dataBytes?: number
}

/** The header, path and argument of an operation; `dataBytes` bytes must follow it. */
export function encodeOperation(op: Operation): Buffer {
  const argument = op.argument ?? ''
  const out = Buffer.alloc(HEADER_BYTES + op.path.length + argument.length)
  out.writeUInt32LE(KINDS[op.kind], 0)
  out.writeUInt32LE(op.path.length, 4)
  out.writeUInt32LE(argument.length, 8)
  if (op.attributes !== undefined) {
    out.writeUInt32LE(op.attributes.mode, 12)
    out.writeUInt32LE(op.attributes.uid, 16)
    out.writeUInt32LE(op.attributes.gid, 20)
    out.writeBigInt64LE(BigInt(op.attributes.mtime.seconds), 32)
    out.writeUInt32LE(op.attributes.mtime.nanoseconds, 40)
  }
  if (op.device !== undefined) {
    out.writeUInt32LE(op.device.major, 24)
    out.writeUInt32LE(op.device.minor, 28)
  }
  out.writeBigUInt64LE(BigInt(op.dataBytes ?? 0), 48)
  out.write(op.path, HEADER_BYTES, 'latin1')
  out.write(argument, HEADER_BYTES + op.path.length, 'latin1')
  return out
}
