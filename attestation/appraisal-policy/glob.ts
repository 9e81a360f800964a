import { type PatternToken, WILDCARD, wildcardMatcher } from '../base/index.ts'

/** A pattern ready to match; `text` is the pattern as written. */
export interface Glob {
  readonly text: string
  readonly matches: (text: string) => boolean
}

/** A pattern of a whole text: `*` stands for any characters, `?` for one, `\` before a character for that character. */
export function glob(pattern: string): Glob {
  const tokens: PatternToken[] = []
  for (let i = 0; i < pattern.length; i++) {
    const c = pattern.charAt(i)
    if (c === '*') {
      if (tokens.at(-1) !== WILDCARD.run) tokens.push(WILDCARD.run)
    } else if (c === '?') tokens.push(WILDCARD.one)
    else tokens.push(pattern.charCodeAt(c === '\\' && i + 1 < pattern.length ? ++i : i))
  }
  return { text: pattern, matches: wildcardMatcher(tokens) }
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
