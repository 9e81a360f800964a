import { readKeylimeAllowlist } from './keylime.ts'
import type { ReferenceFiles } from './references.ts'

/** As many as a policy's rule can have. */
const MAX_PATTERNS = 1024
const MAX_DIGESTS = 256
const STRONG = /^([0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$/
const ANY = /^([0-9a-f]{2}){20,64}$/
/** Its value depends on PCR 0 to 9; it is compared with them, and needs no list. */
const BOOT_AGGREGATE = 'boot_aggregate'

/**
 * What a Keylime runtime policy or allowlist says of files, as far as a policy here can say it; what it cannot is
 * named.
 *
 * @param from name of the file, for people
 * @throws RangeError for a text of more than 256 MiB
 */
export function keylimeFiles(text: string, from: string): { files: ReferenceFiles; notes: readonly string[] } {
  const { policy, keys, problems } = readKeylimeAllowlist(text)
  const notes = problems.map((problem) => `${from}: ${problem}`)
  const left = { weak: 0, names: 0 }
  const files = new Map<string, string[]>()
  for (const [path, digests] of policy.files) {
    if (path === BOOT_AGGREGATE) continue
    const strong = [...new Set(digests.map((digest) => digest.toLowerCase()).filter((digest) => STRONG.test(digest)))]
    left.weak += digests.length - strong.length
    if (!path.startsWith('/') || /[\r\n]/.test(path)) left.names += 1
    else if (strong.length > 0) files.set(path, strong)
  }
  if (left.weak > 0) notes.push(`${from}: ${left.weak} digests are left out: twice the same, or SHA-1 and weaker`)
  if (left.names > 0) notes.push(`${from}: ${left.names} names that are no absolute path are left out`)
  if (policy.excludes.length > MAX_PATTERNS)
    notes.push(`${from}: of ${policy.excludes.length} excludes ${MAX_PATTERNS} are taken`)
  return {
    files: {
      from,
      files,
      excludes: policy.excludes.slice(0, MAX_PATTERNS),
      keyrings: bufferLists(policy.keyrings, `${from}: keyring`, notes),
      ignoredKeyrings: policy.ignoredKeyrings.slice(0, MAX_PATTERNS),
      learnKeysFrom: policy.learnKeysFrom,
      buffers: bufferLists(policy.buffers, `${from}: buffer`, notes),
      ...(keys !== undefined && { keys }),
    },
    notes,
  }
}

/** Lists of digests by name; a name of which nothing is left is left out. */
function bufferLists(
  lists: ReadonlyMap<string, readonly string[] | 'any'>,
  what: string,
  notes: string[],
): Map<string, readonly string[]> {
  const out = new Map<string, readonly string[]>()
  for (const [name, list] of lists) {
    const digests = list === 'any' ? [] : list.map((digest) => digest.toLowerCase())
    const good = [...new Set(digests.filter((digest) => ANY.test(digest)))].slice(0, MAX_DIGESTS)
    if (good.length > 0 && name !== '') out.set(name, good)
    if (good.length < digests.length)
      notes.push(`${what} ${JSON.stringify(name)}: ${digests.length - good.length} digests are left out`)
  }
  return out
}
