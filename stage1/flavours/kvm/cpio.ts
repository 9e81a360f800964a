import { concatBytes, utf8 } from '../../../attestation/base/index.ts'
import type { TarMember } from '../tar.ts'

const ALIGNMENT = 4
const DIRECTORY = 0o040000
const REGULAR_FILE = 0o100000
const END: TarMember = { name: 'TRAILER!!!', kind: 'file', mode: 0, content: new Uint8Array(0) }

/**
 * A cpio archive in the form `newc`, which Linux unpacks as its initramfs, with the members in the order given: owner
 * 0:0, modified 1970-01-01. A directory has to come before what is in it. Its size is a multiple of 4, so that another
 * archive can follow.
 * Source: Linux, Documentation/driver-api/early-userspace/buffer-format.rst.
 */
export function cpioArchive(members: readonly TarMember[]): Uint8Array {
  const parts = members.flatMap((member, at) => record(member, at + 1, typeOf(member) | member.mode))
  return concatBytes(...parts, ...record(END, 0, 0))
}

/** Zeros after the bytes up to a multiple of 4: the kernel looks for the next archive there. */
export function padded(bytes: Uint8Array): Uint8Array {
  return concatBytes(bytes, new Uint8Array(-bytes.length & (ALIGNMENT - 1)))
}

/** The inode number must differ from member to member: those that share one are taken for links. */
function record(member: TarMember, inode: number, mode: number): Uint8Array[] {
  const content = member.kind === 'file' ? member.content : new Uint8Array(0)
  const name = utf8(`${member.name}\0`)
  const fields = [
    inode,
    mode,
    0, // uid
    0, // gid
    member.kind === 'directory' ? 2 : 1, // links
    0, // mtime
    content.length,
    ...[0, 0, 0, 0], // major and minor of the file system, and of the device this would be
    name.length,
    0, // the checksum is of another form's
  ]
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`
  return [padded(concatBytes(utf8(header), name)), padded(content)]
}

function typeOf({ kind }: TarMember): number {
  return kind === 'directory' ? DIRECTORY : REGULAR_FILE
}
