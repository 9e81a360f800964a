import { readFileKeys } from '../appraisal/ima/index.ts'
import { messageOf, toHex } from '../base/index.ts'
import { digest } from '../crypto/index.ts'
import { readDbxFile } from './dbx-file.ts'
import { readDigestList } from './digest-list.ts'
import type { RuleText } from './schema.ts'

/** Files beside a policy, by name, as read and found to be what the policy says. */
export type ReferencedFiles = ReadonlyMap<string, Uint8Array>

/** Something wrong in a rule that the schema cannot say; `path` leads from the rule. */
export interface Problem {
  readonly path: readonly string[]
  readonly message: string
}

/** An update of dbx has 30 kB; digests of all files of a distribution about 100 MB. */
const MAX_FILE_BYTES = 256 << 20

interface Reference {
  readonly path: readonly string[]
  readonly file: string
  readonly sha256: string
  /** What is wrong with its content; undefined where nothing is. */
  readonly wrong: (bytes: Uint8Array) => string | undefined
}

/** @param files where what is read goes */
export function referencedFileProblems(
  rule: RuleText,
  readReferenced: (file: string) => Uint8Array,
  files: Map<string, Uint8Array>,
): Problem[] {
  return references(rule).flatMap(({ path, file, sha256, wrong }) => {
    let bytes: Uint8Array
    try {
      bytes = files.get(file) ?? readReferenced(file)
    } catch (err) {
      return [{ path, message: `${file} cannot be read: ${messageOf(err)}` }]
    }
    if (bytes.length > MAX_FILE_BYTES) return [{ path, message: `${file} has more than ${MAX_FILE_BYTES} bytes` }]
    const got = toHex(digest('sha256', bytes))
    if (got !== sha256) {
      const message = `${file} is not what the policy means: its SHA-256 is ${got}; review it, then write that here`
      return [{ path: [...path, 'sha256'], message }]
    }
    const message = wrong(bytes)
    if (message !== undefined) return [{ path, message: `${file}: ${message}` }]
    files.set(file, bytes)
    return []
  })
}

function references({ secureBoot, ima }: RuleText): Reference[] {
  const dbx = secureBoot?.dbx?.atLeast
  return [
    ...(dbx === undefined ? [] : [{ ...dbx, path: ['secureBoot', 'dbx', 'atLeast'], wrong: wrongDbx }]),
    ...(ima?.digests ?? []).map((r, i) => ({ ...r, path: ['ima', 'digests', String(i)], wrong: wrongDigests })),
    ...(ima?.keys ?? []).map((r, i) => ({ ...r, path: ['ima', 'keys', String(i)], wrong: wrongKeys })),
  ]
}

function wrongDbx(bytes: Uint8Array): string | undefined {
  const hashes = readDbxFile(bytes)
  if (hashes !== undefined && hashes.size > 0) return undefined
  return 'holds no hashes; give a dbx update (dbxupdate_x64.bin) or text with one hash a line'
}

function wrongDigests(bytes: Uint8Array): string | undefined {
  const digests = new Map<string, string[]>()
  const bad = readDigestList(bytes, digests)
  if (bad !== undefined) return `line ${bad.line} is ${bad.why}`
  return digests.size === 0 ? 'holds no digests' : undefined
}

function wrongKeys(bytes: Uint8Array): string | undefined {
  try {
    const { problems } = readFileKeys(bytes)
    return problems.length === 0 ? undefined : problems.join('; ')
  } catch (err) {
    if (err instanceof RangeError) return err.message
    throw err
  }
}
