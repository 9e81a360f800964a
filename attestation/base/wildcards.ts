/** What a place of a pattern stands for, where it is not the code unit of one character. */
export const WILDCARD = {
  /** Any one character. */
  one: -1,
  /** Any characters, or none. */
  run: -2,
  /** Any one character that is no slash. */
  oneInName: -3,
  /** Any characters that are no slash, or none. */
  runInName: -4,
} as const
/** Code unit of a character, or a WILDCARD. */
export type PatternToken = number

const SLASH = 0x2f

/**
 * A test of whole texts. Time is the product of the lengths at worst, whatever a text says: a regular expression of an
 * operator could be made to hang by a text of a node.
 */
export function wildcardMatcher(pattern: readonly PatternToken[]): (text: string) => boolean {
  const first = pattern.findIndex(isWildcard)
  if (first < 0) {
    const whole = String.fromCharCode(...pattern)
    return (text) => text === whole
  }
  const start = String.fromCharCode(...pattern.slice(0, first))
  const rest = pattern.slice(first)
  if (rest.length === 1 && rest[0] === WILDCARD.run) return (text) => text.startsWith(start)
  const end = String.fromCharCode(...pattern.slice(pattern.findLastIndex(isWildcard) + 1))
  const shortest = start.length + end.length
  // nearly every text is told apart by the literal ends
  return (text) =>
    text.length >= shortest && text.startsWith(start) && text.endsWith(end) && matches(rest, text, start.length)
}

const isWildcard = (token: PatternToken): boolean => token < 0

/** All positions that the pattern may be in at once, moved on character by character: nothing is tried twice. */
function matches(pattern: readonly PatternToken[], text: string, from: number): boolean {
  let now = new Uint8Array(pattern.length + 1)
  let next = new Uint8Array(pattern.length + 1)
  enter(pattern, now, 0)
  for (let i = from; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    let alive = false
    for (let t = 0; t < pattern.length; t++) {
      if (now[t] === 0) continue
      const token = pattern[t] as PatternToken // t is inside
      const runs = token === WILDCARD.run || (token === WILDCARD.runInName && unit !== SLASH)
      const eats = token === unit || token === WILDCARD.one || (token === WILDCARD.oneInName && unit !== SLASH)
      if (runs) enter(pattern, next, t)
      else if (eats) enter(pattern, next, t + 1)
      alive ||= runs || eats
    }
    if (!alive) return false
    ;[now, next] = [next, now]
    next.fill(0)
  }
  return now[pattern.length] === 1
}

/** A run may be empty, so what follows it is a position as well. */
function enter(pattern: readonly PatternToken[], positions: Uint8Array, at: number): void {
  let t = at
  positions[t] = 1
  while (pattern[t] === WILDCARD.run || pattern[t] === WILDCARD.runInName) positions[++t] = 1
}
