import { quoted, ruleLines } from './draft-text.ts'
import type { DraftFile, DraftMachine, DraftOptions, DraftReferences } from './draft-types.ts'

/** What the rule says where nothing but machines is known: what changes on each of them is left out. */
const OF_MACHINES = [
  '  excludes: ["/tmp/**", "/run/**", "/var/tmp/**"]',
  '  ignoredKeyrings: ["*"]',
  '  buffers: {"**": any}',
]

/** The one rule about files. What is not of the list of files is taken of the references where there are some. */
export function filesRule(
  machines: readonly DraftMachine[],
  { files }: DraftReferences,
  { mode, digests, keys }: DraftOptions,
): string[] {
  const known = machines.some((m) => m.files !== undefined) || (files?.files.size ?? 0) > 0 || files?.keys !== undefined
  if (known && digests === undefined && keys === undefined) {
    return ['  # Lists of files are left out: write the policy into a file with --out, and the digests go beside it.']
  }
  const settings = [
    ...fileSetting('digests', digests),
    ...fileSetting('keys', keys),
    ...(files === undefined
      ? OF_MACHINES
      : [
          ...listSetting('excludes', files.excludes),
          ...mapSetting('keyrings', files.keyrings),
          ...listSetting('ignoredKeyrings', files.ignoredKeyrings),
          ...listSetting('learnKeysFrom', files.learnKeysFrom),
          ...mapSetting('buffers', files.buffers),
        ]),
  ]
  if (files === undefined ? digests === undefined : settings.length === 0) return []
  const what = files === undefined ? 'What IMA measured.' : `What IMA may measure, of ${files.from}.`
  return ruleLines('files', mode, what, ['ima:', ...settings])
}

function fileSetting(name: string, file: DraftFile | undefined): string[] {
  return file === undefined ? [] : [`  ${name}: [{file: ${quoted(file.file)}, sha256: ${quoted(file.sha256)}}]`]
}

function listSetting(name: string, list: readonly string[]): string[] {
  return list.length === 0 ? [] : [`  ${name}:`, ...list.map((item) => `    - ${quoted(item)}`)]
}

function mapSetting(name: string, map: ReadonlyMap<string, readonly string[]>): string[] {
  if (map.size === 0) return []
  return [`  ${name}:`, ...Array.from(map, ([key, list]) => `    ${quoted(key)}: [${list.map(quoted).join(', ')}]`)]
}

/** Digests of all machines and references as readDigestList() reads them. */
export function digestListText(machines: readonly DraftMachine[], { files }: DraftReferences): string {
  const lines = new Set<string>()
  for (const map of [...machines.map((machine) => machine.files), files?.files]) {
    for (const [path, digests] of map ?? []) for (const digest of digests) lines.add(`${digest}  ${path}\n`)
  }
  return [...lines].sort().join('')
}
