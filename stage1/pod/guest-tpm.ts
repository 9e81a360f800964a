import fs from 'node:fs'
import path from 'node:path'
import type { Isolator, PodManifest } from '../manifest/index.ts'
import { badIsolator, PodError } from './errors.ts'

/** Isolator of a pod that is a virtual machine with a TPM of its own; its value is `true` or `false`. */
export const TPM_ISOLATOR = 'holdfast/tpm'

/** The TPM's directory in the pod's. */
export const TPM_DIRECTORY = 'tpm'

export const tpmIsolator: Isolator = { name: TPM_ISOLATOR, value: true }

/** @throws PodError POD_ISOLATOR_BAD */
export function tpmWanted({ isolators }: Pick<PodManifest, 'isolators'>): boolean {
  const value: unknown = isolators.find(({ name }) => name === TPM_ISOLATOR)?.value ?? false
  if (typeof value !== 'boolean') throw badIsolator(TPM_ISOLATOR, 'must be true or false')
  return value
}

/** Takes away the TPM of a pod that never ran. */
export function removeTpm(podPath: string): void {
  fs.rmSync(path.join(podPath, TPM_DIRECTORY), { recursive: true, force: true })
}

/** @throws PodError POD_UNSUPPORTED for a pod that is to have one */
export function refuseTpm(manifest: Pick<PodManifest, 'isolators'>): void {
  if (!tpmWanted(manifest)) return
  throw new PodError('POD_UNSUPPORTED', 'only a virtual machine has a TPM of its own', {
    hint: 'Leave --tpm out; or make it one: --stage1 kvm.',
  })
}
