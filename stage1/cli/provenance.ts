import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import type { CheckProvenance } from '../image/index.ts'
import {
  BUILT_IN_POLICY_SHA256,
  INSTALLATION_SCOPE,
  type ProvenanceOptions,
  provenanceCheck,
} from '../signatures/index.ts'
import { installation } from './installation.ts'

/**
 * What a fetch asks of an image, but for the stage1 that came with this installation: it is as trusted as this program,
 * and measured like any other.
 */
export function checkOf(options: Omit<ProvenanceOptions, 'now'>): CheckProvenance {
  const check = provenanceCheck({ ...options, now: () => new Date() })
  return async (image) =>
    image.kind === 'aci' && image.file !== undefined && (await isInstalled(image.file, image.archive))
      ? { signers: [], policy: { sha256: BUILT_IN_POLICY_SHA256, scope: INSTALLATION_SCOPE } }
      : check(image)
}

/** Its place is not enough: of a path through others' directories it may be another file that was read before. */
async function isInstalled(file: string, archive: () => AsyncIterable<Uint8Array>): Promise<boolean> {
  const { stage1Image } = installation()
  if (!fs.existsSync(stage1Image) || fs.realpathSync(stage1Image) !== fs.realpathSync(path.resolve(file))) return false
  const read = createHash('sha256')
  for await (const piece of archive()) read.update(piece)
  return read.digest().equals(createHash('sha256').update(fs.readFileSync(stage1Image)).digest())
}
