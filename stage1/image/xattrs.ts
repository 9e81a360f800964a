import { ImageError } from './errors.ts'
import { LIMITS } from './limits.ts'
import type { TarEntry } from './tar.ts'
import { shownPath, unsafe } from './tree-path.ts'

const CAPABILITY = 'security.capability'
const NONE: ReadonlyMap<string, Buffer> = new Map()

/**
 * Which extended attributes of an entry are applied: `user.*` on files and directories, and a well-formed
 * `security.capability` on files. All others are left out: labels (security.selinux, security.ima) are
 * about another host, and trusted.overlay.* would speak to the overlay file system that is laid over the tree.
 *
 * @throws ImageError IMAGE_LAYER_BAD for a malformed capability set, IMAGE_TOO_LARGE beyond LIMITS.xattrBytes
 */
export function selectXattrs(entry: TarEntry): ReadonlyMap<string, Buffer> {
  if (entry.xattrs.size === 0) return NONE
  const selected = new Map<string, Buffer>()
  let bytes = 0
  for (const [name, value] of entry.xattrs) {
    const user = name.startsWith('user.') && (entry.type === 'file' || entry.type === 'directory')
    if (!user && !(name === CAPABILITY && entry.type === 'file')) continue
    if (name === CAPABILITY && !isCapabilitySet(value)) throw unsafe(entry.path, `a malformed ${CAPABILITY}`)
    if (name === 'user.' || name.length > LIMITS.nameBytes)
      throw unsafe(entry.path, 'a bad name of an extended attribute')
    bytes += name.length + value.length
    selected.set(name, value)
  }
  if (bytes > LIMITS.xattrBytes) {
    throw new ImageError(
      'IMAGE_TOO_LARGE',
      `${shownPath(entry.path)} has ${bytes} bytes of extended attributes, at most ${LIMITS.xattrBytes} are allowed`,
    )
  }
  // In order of their names, so that the rendered file does not depend on the order in the archive.
  return new Map([...selected].sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** struct vfs_cap_data of revision 2 (20 bytes), or vfs_ns_cap_data of revision 3 (24 bytes); linux/capability.h. */
function isCapabilitySet(value: Buffer): boolean {
  if (value.length !== 20 && value.length !== 24) return false
  const magic = value.readUInt32LE(0)
  return (magic & 1) === (magic & 0x00ffffff) && magic >>> 24 === (value.length === 20 ? 2 : 3)
}
