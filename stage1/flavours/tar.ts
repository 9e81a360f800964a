import { concatBytes, utf8 } from '../../attestation/base/index.ts'

/** A member of an archive that says the same for everybody: owner 0:0, modified 1970-01-01. */
export type TarMember =
  | { readonly name: string; readonly kind: 'directory'; readonly mode: number }
  | { readonly name: string; readonly kind: 'file'; readonly mode: number; readonly content: Uint8Array }

const BLOCK = 512
const MAX_NAME = 100

/**
 * A POSIX ustar archive of the members in the order given, so that equal members give equal bytes.
 * @throws RangeError for a name of more than 100 bytes
 */
export function tarArchive(members: readonly TarMember[]): Uint8Array {
  const parts: Uint8Array[] = []
  for (const member of members) {
    const content = member.kind === 'file' ? member.content : new Uint8Array(0)
    parts.push(header(member, content.length), content, new Uint8Array((BLOCK - (content.length % BLOCK)) % BLOCK))
  }
  parts.push(new Uint8Array(2 * BLOCK))
  return concatBytes(...parts)
}

/** The fields of IEEE Std 1003.1-2017, pax, "ustar Interchange Format", by offset. */
function header(member: TarMember, size: number): Uint8Array {
  const block = new Uint8Array(BLOCK)
  const name = utf8(member.kind === 'directory' ? `${member.name}/` : member.name)
  if (name.length > MAX_NAME) throw new RangeError(`tar member ${member.name}: more than ${MAX_NAME} bytes of name`)
  const octal = (value: number, digits: number): Uint8Array => utf8(value.toString(8).padStart(digits, '0'))
  block.set(name, 0)
  block.set(octal(member.mode, 7), 100)
  block.set(octal(0, 7), 108) // uid
  block.set(octal(0, 7), 116) // gid
  block.set(octal(size, 11), 124)
  block.set(octal(0, 11), 136) // mtime
  block.fill(0x20, 148, 156) // the checksum counts as spaces while it is computed
  block.set(utf8(member.kind === 'directory' ? '5' : '0'), 156)
  block.set(utf8('ustar\x0000'), 257)
  const sum = block.reduce((a, b) => a + b, 0)
  block.set(utf8(`${sum.toString(8).padStart(6, '0')}\0 `), 148)
  return block
}
