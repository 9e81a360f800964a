import { bytesText } from '../../crypto/index.ts'

/** Bytes as text, one character each: exact and total, so that what a log says can be compared and shown. */
export function asciiText(bytes: Uint8Array, from = 0, to = bytes.length): string {
  return bytesText(bytes, from, to)
}

/** UTF-16LE code units as text, as they are; an odd byte at the end is left out. */
export function utf16Text(bytes: Uint8Array, from = 0, to = bytes.length): string {
  let text = ''
  for (let i = from; i + 1 < to; i += 2) {
    text += String.fromCharCode((bytes[i] as number) | ((bytes[i + 1] as number) << 8)) // i + 1 is inside
  }
  return text
}

/** Text up to its trailing NULs. */
export function withoutNuls(text: string): string {
  let end = text.length
  while (end > 0 && text.charCodeAt(end - 1) === 0) end--
  return text.slice(0, end)
}

/** True for printable ASCII, tab and line ends. */
export function isPrintableAscii(text: string): boolean {
  return /^[\t\n\r\x20-\x7e]*$/.test(text)
}

/** True for bytes whose first character is of Latin-1 in UTF-16LE; with ASCII text, a NUL never is the second byte. */
export function looksLikeUtf16(bytes: Uint8Array): boolean {
  return bytes.length >= 2 && bytes[0] !== 0 && bytes[1] === 0
}
