/** The content of one file of an uncompressed ustar archive. @throws Error where there is none of this name */
export function tarMember(archive: Uint8Array, name: string): Uint8Array {
  const text = (at: number, bytes: number): string =>
    new TextDecoder('latin1').decode(archive.subarray(at, at + bytes)).replace(/\0.*$/s, '')
  for (let at = 0; at + 512 <= archive.length; ) {
    const bytes = Number.parseInt(text(at + 124, 12), 8) || 0
    if (text(at, 100) === name) return archive.subarray(at + 512, at + 512 + bytes)
    at += 512 + Math.ceil(bytes / 512) * 512
  }
  throw new Error(`the archive has no ${name}`)
}
