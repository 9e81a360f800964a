import { EMPTY_IMA_POLICY, type ImaPolicy, readFileKeys } from '../appraisal/ima/index.ts'
import { messageOf, utf8 } from '../base/index.ts'
import { isArray, isMap, parseJson, type Value, type ValueMap } from '../encoding/index.ts'

/** A Keylime policy as ours, and what of it could not be taken over: nothing is dropped silently. */
export interface KeylimeImport {
  readonly policy: ImaPolicy
  /** Keys that sign files, as readFileKeys() reads them; absent where there is none, or one that cannot be used. */
  readonly keys?: Uint8Array
  readonly problems: readonly string[]
}

/** A runtime policy of a whole distribution has some 100 MB. */
const MAX_BYTES = 256 << 20
const MAX_ITEMS = 8_000_000
const MAX_PROBLEMS = 100
const HEX = /^[0-9a-fA-F]{32,128}$/
const KEYRING_PREFIX = '%keyring:'

/**
 * Reads what Keylime's users have: a runtime policy or an older allowlist in JSON, or a flat allowlist (`digest path`
 * lines, as sha256sum writes them). Exclude expressions become patterns where they mean the same; the others are named
 * as problems.
 *
 * @throws RangeError for a text of more than 256 MiB
 */
export function readKeylimeAllowlist(text: string): KeylimeImport {
  if (text.length > MAX_BYTES) throw new RangeError(`${text.length} characters, at most ${MAX_BYTES} are read`)
  return /^\s*\{/.test(text) ? fromJson(text) : fromLines(text)
}

function fromLines(text: string): KeylimeImport {
  const files = new Map<string, string[]>()
  const keyrings = new Map<string, string[]>()
  const notes = new Problems()
  for (const [i, line] of text.split('\n').entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const [, hex, path] = /^(?:[a-z0-9_-]{1,20}:)?([0-9a-fA-F]+) [ *]?(.+?)\r?$/.exec(line) ?? []
    if (hex === undefined || path === undefined || !HEX.test(hex)) notes.add(`line ${i + 1}: no digest and path`)
    else if (path.startsWith(KEYRING_PREFIX)) push(keyrings, path.slice(KEYRING_PREFIX.length), hex)
    else push(files, path, hex)
  }
  return { policy: { ...EMPTY_IMA_POLICY, files, keyrings }, problems: notes.list }
}

function fromJson(text: string): KeylimeImport {
  const notes = new Problems()
  let root: Value
  try {
    root = parseJson(utf8(text), { maxBytes: 4 * MAX_BYTES, maxDepth: 8, maxItems: MAX_ITEMS })
  } catch (err) {
    return { policy: EMPTY_IMA_POLICY, problems: [`not JSON: ${messageOf(err)}`] }
  }
  if (!isMap(root)) return { policy: EMPTY_IMA_POLICY, problems: ['not a map'] }
  const ima = mapOf(root.get('ima'))
  const keys = verificationKeys(root.get('verification-keys'), notes)
  const policy: ImaPolicy = {
    ...EMPTY_IMA_POLICY,
    files: digestLists(root.get('digests') ?? root.get('hashes'), 'digests', notes),
    keyrings: digestLists(root.get('keyrings'), 'keyrings', notes),
    buffers: digestLists(root.get('ima-buf'), 'ima-buf', notes),
    ignoredKeyrings: textsOf(ima.get('ignored_keyrings')),
    learnKeysFrom: mapOf(root.get('keyrings')).has('.ima') ? ['.ima'] : [],
    excludes: textsOf(root.get('excludes') ?? root.get('exclude')).flatMap((expression) => {
      const pattern = globOfExpression(expression)
      if (pattern === undefined)
        notes.add(`excludes: ${JSON.stringify(expression)} cannot be said as a pattern; write one by hand`)
      return pattern ?? []
    }),
    signatureKeys: keys?.signatureKeys ?? [],
  }
  if ((ima.get('dm_policy') ?? null) !== null) {
    notes.add('ima.dm_policy: device-mapper rules are not taken over; list digests of the buffers')
  }
  return { policy, ...(keys !== undefined && { keys: keys.file }), problems: notes.list }
}

class Problems {
  readonly list: string[] = []
  add(problem: string): void {
    if (this.list.length < MAX_PROBLEMS) this.list.push(problem.slice(0, 300))
  }
}

function digestLists(value: Value | undefined, what: string, notes: Problems): Map<string, string[]> {
  const lists = new Map<string, string[]>()
  for (const [name, digests] of mapOf(value)) {
    for (const digest of textsOf(digests)) {
      const hex = digest.replace(/^[a-z0-9_-]{1,20}:/, '')
      if (HEX.test(hex)) push(lists, String(name), hex)
      else notes.add(`${what}: ${JSON.stringify(name)} has ${JSON.stringify(digest)}, which is no digest`)
    }
  }
  return lists
}

interface VerificationKeys {
  readonly file: Uint8Array
  readonly signatureKeys: ImaPolicy['signatureKeys']
}

/** Text of Keylime's keyring JSON, which has the keys' bytes in it. All of them can be used, or none is. */
function verificationKeys(value: Value | undefined, notes: Problems): VerificationKeys | undefined {
  if (typeof value !== 'string' || value === '') return undefined
  const file = utf8(value)
  try {
    const { keys, problems } = readFileKeys(file)
    for (const problem of problems) notes.add(`verification-keys: ${problem}`)
    return problems.length === 0 ? { file, signatureKeys: keys } : undefined
  } catch (err) {
    if (!(err instanceof RangeError)) throw err
    notes.add(`verification-keys: ${messageOf(err)}`)
    return undefined
  }
}

/**
 * A pattern that matches what a Python expression matches, for the expressions that people write: literal text, `.*`
 * and `[^/]*`, anchors. Keylime matches at the beginning and leaves the end open, so without `$` a `**` follows.
 */
function globOfExpression(expression: string): string | undefined {
  const open = !expression.endsWith('$') || expression.endsWith('\\$')
  const body = expression.replace(/^\^/, '').slice(0, open ? undefined : -1)
  let pattern = ''
  for (const [token] of body.matchAll(/\.\*|\[\^\/\]\*|\[\^\/\]|\\[^A-Za-z0-9]|./gs)) {
    if (token === '.*') pattern += '**'
    else if (token === '[^/]*') pattern += '*'
    else if (token === '[^/]') pattern += '?'
    else if (token.length === 2) {
      if (token === '\\*' || token === '\\?') return undefined // a pattern has no way to say these
      pattern += token[1]
    } else if (/[\\^$*+?{}[\]|()]/.test(token)) return undefined
    else pattern += token // `.` stays itself: stricter than "any character", and what was meant
  }
  return open && !pattern.endsWith('**') ? `${pattern}**` : pattern
}

function push(lists: Map<string, string[]>, name: string, digest: string): void {
  const list = lists.get(name)
  if (list === undefined) lists.set(name, [digest])
  else list.push(digest)
}

const mapOf = (value: Value | undefined): ValueMap => (isMap(value) ? value : new Map())

function textsOf(value: Value | undefined): string[] {
  return isArray(value) ? value.filter((item) => typeof item === 'string') : []
}
