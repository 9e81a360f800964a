/** Longest line: a terminal's three lines. */
const MAX_CHARACTERS = 320

/**
 * Text of a log made fit for one line of a terminal: what is not printable (control characters, marks that turn the
 * direction of text, unpaired surrogates) is escaped, so that a log cannot write what is not in it.
 */
export function oneLine(text: string): string {
  const cut = text.length > MAX_CHARACTERS ? `${text.slice(0, MAX_CHARACTERS - 1)}…` : text
  return cut.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (c) => {
    const code = c.codePointAt(0) ?? 0
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`
  })
}

/** At most `max` of them, then how many more. */
export function listed(items: readonly string[], max: number): string {
  const shown = items.slice(0, max).join(', ')
  return items.length > max ? `${shown} and ${items.length - max} more` : shown
}

/** `1 certificate`, `2 certificates`. */
export function counted(count: number, noun: string): string {
  if (count === 1) return `1 ${noun}`
  return `${count} ${noun.endsWith('hash') ? `${noun}es` : noun.endsWith('y') ? `${noun.slice(0, -1)}ies` : `${noun}s`}`
}

/** Binary multiples with one digit behind the point. */
export function sizeText(bytes: bigint): string {
  if (bytes < 1024n) return `${bytes} bytes`
  if (bytes < 1n << 20n) return `${(Number(bytes) / 1024).toFixed(1)} KiB`
  return `${(Number(bytes) / (1 << 20)).toFixed(1)} MiB`
}
