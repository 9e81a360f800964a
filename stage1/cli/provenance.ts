import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { type CheckProvenance, readGiven } from '../image/index.ts'
import {
  BUILT_IN_POLICY_SHA256,
  INSTALLATION_SCOPE,
  type ProvenanceOptions,
  provenanceCheck,
} from '../signatures/index.ts'
import { installation } from './installation.ts'

/**
 * What a fetch asks of an image, but for the stage1 images that came with this installation: they are as trusted as this
 * program, and measured like any other.
 */
export function checkOf(options: Omit<ProvenanceOptions, 'now'>): CheckProvenance {
  const check = provenanceCheck({ ...options, now: () => new Date() })
  return async (image) =>
    image.kind === 'aci' && image.file !== undefined && (await isInstalled(image.file, image.archive))
      ? { signers: [], policy: { sha256: BUILT_IN_POLICY_SHA256, scope: INSTALLATION_SCOPE } }
      : check(image)
}

const MAX_STAGE1_BYTES = 256 << 20
let installed: readonly string[] | undefined

/** Where the stage1 images of this installation are, without links. They do not move while this process runs. */
export function installedStage1s(): readonly string[] {
  installed ??= Object.values(installation().stage1Images).flatMap((file) =>
    fs.existsSync(file) ? [fs.realpathSync(file)] : [],
  )
  return installed
}

/** @returns the path itself where this user cannot look for links in it */
function real(file: string): string {
  try {
    return fs.realpathSync(file)
  } catch {
    return file
  }
}

/** Its place is not enough: of a path through others' directories it may be another file that was read before. */
async function isInstalled(file: string, archive: () => AsyncIterable<Uint8Array>): Promise<boolean> {
  const own = installedStage1s().find((place) => place === real(path.resolve(file)))
  if (own === undefined) return false
  const read = createHash('sha256')
  for await (const piece of archive()) read.update(piece)
  return read.digest().equals(createHash('sha256').update(readGiven(own, MAX_STAGE1_BYTES)).digest())
}
