/** Moves a cursor, turns the direction of text, hides, ends a line, or is half of a surrogate pair. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

/**
 * Text of a peer, a log or an image as part of one line of a terminal: what would steer it is written as `\x1b` or
 * `\u{202e}`, so that nobody can write what is not there. A backslash stays one: paths of firmware are full of them.
 *
 * @param maxCharacters longest result, in UTF-16 code units; what is cut ends with an ellipsis
 */
export function printable(text: string, maxCharacters = Number.POSITIVE_INFINITY): string {
  const escaped = (text.length > maxCharacters ? text.slice(0, maxCharacters) : text).replace(UNPRINTABLE, escapeOf)
  if (escaped.length <= maxCharacters && text.length <= maxCharacters) return escaped
  return `${escaped.slice(0, maxCharacters - 1).toWellFormed()}…`
}

function escapeOf(character: string): string {
  const code = character.codePointAt(0) ?? 0
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`
}
