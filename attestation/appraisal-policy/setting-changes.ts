import { canonicalJson } from '../base/index.ts'
import { compareVersions, versionNumber } from './version-number.ts'

export type Effect = 'tighter' | 'looser' | 'other'

export interface SettingChange {
  readonly effect: Effect
  /** For people. */
  readonly what: string
}

/** Lists in which every further item asks more. In all others one more item lets more pass. */
const ASKING: ReadonlySet<string> = new Set([
  'require',
  'required',
  'forbidden',
  'mustContain',
  'mustNotContain',
  'contains',
  'denied',
])
/** Settings that let something pass by being there at all; all others ask something. */
const PERMITTING: ReadonlySet<string> = new Set([
  'files',
  'excludes',
  'keys',
  'keyrings',
  'ignoredKeyrings',
  'learnKeysFrom',
  'buffers',
])
/** Maps each of whose members lets more pass. */
const PERMITTING_MEMBERS: ReadonlySet<string> = new Set(['files', 'keyrings', 'buffers', 'vendors'])
/** Numbers and versions that ask more the higher they are. */
const RISING: ReadonlySet<string> = new Set(['minimum', 'minimumEntries'])
/** Values of `violations`, which ask less and less; the first is what holds where none is set. */
const VIOLATIONS: readonly string[] = ['refuse', 'warn', 'allow']
const FALLING: ReadonlySet<string> = new Set(['maxDriftPercent'])

/** Differences of a rule's settings, walked down to what changed. */
export function settingChanges(a: unknown, b: unknown): SettingChange[] {
  return walk(a, b, [])
}

function walk(a: unknown, b: unknown, path: readonly string[]): SettingChange[] {
  if (a === b || (a !== undefined && b !== undefined && canonicalJson(a) === canonicalJson(b))) return []
  const name = path.join('.')
  const key = path.at(-1) ?? ''
  if (key === 'violations') {
    const [before, after] = [a ?? VIOLATIONS[0], b ?? VIOLATIONS[0]]
    return [{ effect: scalarEffect(key, before, after), what: `${name} from ${shown(before)} to ${shown(after)}` }]
  }
  if (a === undefined || b === undefined) {
    const permits =
      PERMITTING.has(key) || PERMITTING_MEMBERS.has(path.at(-2) ?? '') || (path[0] === 'ima' && key === 'digests')
    const added = a === undefined
    const what = added ? `${name}: ${shown(b)} is new` : `${name}: ${shown(a)} is gone`
    return [{ effect: permits === added ? 'looser' : 'tighter', what }]
  }
  if (Array.isArray(a) && Array.isArray(b)) return listChanges(a, b, name, ASKING.has(key))
  if (isMap(a) && isMap(b)) {
    return [...new Set([...Object.keys(a), ...Object.keys(b)])].flatMap((member) =>
      walk(a[member], b[member], [...path, member]),
    )
  }
  return [{ effect: scalarEffect(key, a, b), what: `${name} from ${shown(a)} to ${shown(b)}` }]
}

function listChanges(a: readonly unknown[], b: readonly unknown[], name: string, asks: boolean): SettingChange[] {
  const before = new Map(a.map((item) => [identity(item), item]))
  const after = new Map(b.map((item) => [identity(item), item]))
  const more = [...after].filter(([id]) => !before.has(id))
  const gone = [...before].filter(([id]) => !after.has(id))
  return [
    ...more.map(
      ([, item]): SettingChange => ({ effect: asks ? 'tighter' : 'looser', what: `${name} has ${shown(item)} too` }),
    ),
    ...gone.map(
      ([, item]): SettingChange => ({
        effect: asks ? 'looser' : 'tighter',
        what: `${name} no longer has ${shown(item)}`,
      }),
    ),
  ]
}

/** A digest is the same under any name. */
function identity(item: unknown): string {
  return isMap(item) && typeof item['digest'] === 'string'
    ? item['digest']
    : typeof item === 'string'
      ? item
      : canonicalJson(item)
}

function scalarEffect(key: string, a: unknown, b: unknown): Effect {
  if (RISING.has(key) || FALLING.has(key)) {
    const rise = compareVersions(versionNumber(String(b)), versionNumber(String(a))) > 0
    return rise === RISING.has(key) ? 'tighter' : 'looser'
  }
  if (key === 'violations') return VIOLATIONS.indexOf(String(b)) < VIOLATIONS.indexOf(String(a)) ? 'tighter' : 'looser'
  if (b === 'refuse' || (key === 'requireSignature' && b === true)) return 'tighter'
  if (b === 'allow' || b === 'any' || (key === 'requireSignature' && b === false)) return 'looser'
  return 'other'
}

function isMap(value: unknown): value is { readonly [key: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function shown(value: unknown): string {
  if (isMap(value) && typeof value['name'] === 'string' && typeof value['digest'] === 'string') {
    return `${value['name']} (${value['digest']})`
  }
  const text = typeof value === 'string' ? value : canonicalJson(value)
  return text.length > 160 ? `${text.slice(0, 157)}...` : text
}
