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
    image.kind === 'aci' && image.file !== undefined && isInstalled(image.file)
      ? { signers: [], policy: { sha256: BUILT_IN_POLICY_SHA256, scope: INSTALLATION_SCOPE } }
      : check(image)
}

function isInstalled(file: string): boolean {
  const { stage1Image } = installation()
  return fs.existsSync(stage1Image) && fs.realpathSync(stage1Image) === fs.realpathSync(path.resolve(file))
}
