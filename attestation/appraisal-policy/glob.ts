/** A pattern ready to match; `text` is the pattern as written. */
export interface Glob {
  readonly text: string
  readonly matches: (text: string) => boolean
}

/** One character of the pattern: itself, any one, or any run of them. */
type Piece = { readonly char: string } | 'one' | 'run'

/**
 * A pattern of a whole text: `*` stands for any characters, `?` for one, `\` before a character for that character. Matching never takes more
 * steps than pattern times text: a star that has to be tried again is only ever the last one.
 */
export function glob(pattern: string): Glob {
  const pieces: Piece[] = []
  for (let i = 0; i < pattern.length; i++) {
    const c = pattern.charAt(i)
    if (c === '*') {
      if (pieces.at(-1) !== 'run') pieces.push('run')
    } else if (c === '?') pieces.push('one')
    else if (c === '\\' && i + 1 < pattern.length) pieces.push({ char: pattern.charAt(++i) })
    else pieces.push({ char: c })
  }
  if (pieces.every((piece) => typeof piece === 'object')) {
    const literal = pieces.map((piece) => (typeof piece === 'object' ? piece.char : '')).join('')
    return { text: pattern, matches: (text) => text === literal }
  }
  return { text: pattern, matches: (text) => matchPieces(pieces, text) }
}

function matchPieces(pieces: readonly Piece[], text: string): boolean {
  let p = 0
  let t = 0
  let star = -1
  let retry = 0
  while (t < text.length) {
    const piece = pieces[p]
    if (piece === 'run') {
      star = p++
      retry = t
    } else if (piece === 'one' || (typeof piece === 'object' && piece.char === text[t])) {
      p += 1
      t += 1
    } else if (star >= 0) {
      p = star + 1
      t = ++retry
    } else return false
  }
  while (pieces[p] === 'run') p += 1
  return p === pieces.length
}

/** The pattern that matches exactly this text. */
export function globLiteral(text: string): string {
  return text.replace(/[\\*?]/g, '\\$&')
}

/** What a text must begin with to match: the pattern before its first `*` or `?`. */
export function literalStart(pattern: string): string {
  let out = ''
  for (let i = 0; i < pattern.length; i++) {
    const c = pattern.charAt(i)
    if (c === '*' || c === '?') break
    out += c === '\\' && i + 1 < pattern.length ? pattern.charAt(++i) : c
  }
  return out
}
