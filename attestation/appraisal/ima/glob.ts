import { type PatternToken, WILDCARD, wildcardMatcher } from '../../base/index.ts'

/** Longest pattern; the paths it is for have at most 4096 bytes. */
const MAX_GLOB_CHARACTERS = 1024

/** A pattern over binary strings, one character for each byte of a path. */
export type PathGlob = (path: string) => boolean

/**
 * `*` is any run without a slash, `**` any run, `?` one byte that is no slash; all else is itself.
 *
 * @param pattern as a binary string
 * @throws RangeError for a pattern of more than 1024 characters
 */
export function pathGlob(pattern: string): PathGlob {
  if (pattern.length > MAX_GLOB_CHARACTERS) {
    throw new RangeError(`a pattern of ${pattern.length} characters, at most ${MAX_GLOB_CHARACTERS} are used`)
  }
  return wildcardMatcher((pattern.match(/\*+|[^*]/gs) ?? []).map(token))
}

function token(piece: string): PatternToken {
  if (piece === '*') return WILDCARD.runInName
  if (piece.startsWith('*')) return WILDCARD.run
  return piece === '?' ? WILDCARD.oneInName : piece.charCodeAt(0)
}
