/** Longest pattern; the paths it is for have at most 4096 bytes. */
export const MAX_GLOB_CHARACTERS = 1024

/** A pattern over binary strings, one character for each byte of a path. */
export type PathGlob = (path: string) => boolean

const STAR = -1
const GLOBSTAR = -2
const ANY = -3
const SLASH = 0x2f

/**
 * `*` is any run without a slash, `**` any run, `?` one byte that is no slash; all else is itself. Time is the product of the lengths at worst,
 * whatever a path says: a regular expression of an operator could be made to hang by a path of a node.
 *
 * @param pattern as a binary string
 * @throws RangeError for a pattern beyond MAX_GLOB_CHARACTERS
 */
export function pathGlob(pattern: string): PathGlob {
  if (pattern.length > MAX_GLOB_CHARACTERS) {
    throw new RangeError(`a pattern of ${pattern.length} characters, at most ${MAX_GLOB_CHARACTERS} are used`)
  }
  const literal = /^[^*?]*/.exec(pattern)?.[0] ?? ''
  const rest = pattern.slice(literal.length)
  if (rest === '') return (path) => path === literal
  if (rest === '**') return (path) => path.startsWith(literal)
  const tokens = tokensOf(rest)
  const end = /[^*?]*$/.exec(rest)?.[0] ?? ''
  const shortest = literal.length + end.length
  // nearly every path is told apart by the literal ends
  return (path) =>
    path.length >= shortest && path.startsWith(literal) && path.endsWith(end) && matches(tokens, path, literal.length)
}

function tokensOf(pattern: string): readonly number[] {
  const tokens: number[] = []
  for (const piece of pattern.match(/\*+|[^*]/gs) ?? []) {
    if (piece === '*') tokens.push(STAR)
    else if (piece[0] === '*') tokens.push(GLOBSTAR)
    else tokens.push(piece === '?' ? ANY : piece.charCodeAt(0))
  }
  return tokens
}

/** All positions that the pattern may be in at once, moved on byte by byte: nothing is tried twice. */
function matches(tokens: readonly number[], path: string, from: number): boolean {
  let now = new Uint8Array(tokens.length + 1)
  let next = new Uint8Array(tokens.length + 1)
  enter(tokens, now, 0)
  for (let i = from; i < path.length; i++) {
    const byte = path.charCodeAt(i)
    let alive = false
    for (let t = 0; t < tokens.length; t++) {
      if (now[t] === 0) continue
      const token = tokens[t] as number // t is inside
      const runs = token === GLOBSTAR || (token === STAR && byte !== SLASH)
      const eats = token === byte || (token === ANY && byte !== SLASH)
      if (runs) enter(tokens, next, t)
      else if (eats) enter(tokens, next, t + 1)
      alive ||= runs || eats
    }
    if (!alive) return false
    ;[now, next] = [next, now]
    next.fill(0)
  }
  return now[tokens.length] === 1
}

/** A run may be empty, so what follows it is a position as well. */
function enter(tokens: readonly number[], positions: Uint8Array, at: number): void {
  let t = at
  positions[t] = 1
  while (tokens[t] === STAR || tokens[t] === GLOBSTAR) positions[++t] = 1
}
