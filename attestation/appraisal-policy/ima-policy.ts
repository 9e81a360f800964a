import type { Static } from '@sinclair/typebox'
import { type CompiledImaPolicy, compileImaPolicy, readFileKeys } from '../appraisal/ima/index.ts'
import { readDigestList } from './digest-list.ts'
import type { RULE_KINDS } from './schema-rules.ts'

export type ImaSettings = Static<(typeof RULE_KINDS)['ima']>

/** @param files all those that the settings name, found to be what they should be */
export function imaPolicy(settings: ImaSettings, files: ReadonlyMap<string, Uint8Array>): CompiledImaPolicy {
  const digests = new Map<string, string[]>()
  for (const [path, list] of Object.entries(settings.files ?? {})) digests.set(path, [...list])
  for (const { file } of settings.digests ?? []) readDigestList(files.get(file) ?? new Uint8Array(), digests)
  return compileImaPolicy({
    files: digests,
    excludes: settings.excludes ?? [],
    signatureKeys: (settings.keys ?? []).flatMap(({ file }) => readFileKeys(files.get(file) ?? new Uint8Array()).keys),
    requireSignature: settings.requireSignature ?? false,
    keyrings: new Map(Object.entries(settings.keyrings ?? {})),
    ignoredKeyrings: settings.ignoredKeyrings ?? [],
    learnKeysFrom: settings.learnKeysFrom ?? [],
    buffers: new Map(Object.entries(settings.buffers ?? {})),
    violations: settings.violations ?? 'refuse',
  })
}
