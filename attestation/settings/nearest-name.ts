/**
 * The name that somebody probably meant: the same but for case and punctuation, or the one with fewest letters to
 * change (at most a third of them), or one that begins alike.
 */
export function nearestName(got: string, known: readonly string[]): string | undefined {
  const plain = (s: string): string => s.toLowerCase().replace(/[^a-z0-9]/g, '')
  const want = plain(got).slice(0, MAX_LENGTH)
  const same = known.find((name) => plain(name) === want)
  if (same !== undefined) return same
  let best: string | undefined
  let least = Math.floor(want.length / 3) + 1
  for (const name of known) {
    const distance = editDistance(want, plain(name).slice(0, MAX_LENGTH))
    if (distance < least) [best, least] = [name, distance]
  }
  return best ?? (want.length < 4 ? undefined : known.find((name) => plain(name).startsWith(want.slice(0, 4))))
}

/** No name of ours is longer. */
const MAX_LENGTH = 48

/** Letters to insert, remove or change to make one of the other. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const changed = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(changed, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
