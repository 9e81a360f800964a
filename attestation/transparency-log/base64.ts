/** @returns undefined for what is not the one padded base64 text (RFC 4648 §4) of some bytes */
export function fromBase64(text: string): Uint8Array | undefined {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text) || text.length % 4 !== 0) return undefined
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0))
  return toBase64(bytes) === text ? bytes : undefined // bits beyond the last byte must be zero
}

/** Padded base64. Source: RFC 4648 §4. */
export function toBase64(bytes: Uint8Array): string {
  let binary = ''
  for (const b of bytes) binary += String.fromCharCode(b)
  return btoa(binary)
}
