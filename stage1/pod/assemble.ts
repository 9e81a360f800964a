import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { equalBytes } from '../../attestation/base/index.ts'
import { type PodManifest, podManifestBytes } from '../manifest/index.ts'
import { PodError } from './errors.ts'
import { DISK_FILE } from './guest-disk.ts'
import { createPod, inDirectory, type LockedPod } from './pod-directory.ts'
import { readPodFile } from './pod-file.ts'
import type { PodUuid } from './uuid.ts'

/** A pod whose directory holds all that does not depend on how it is launched. */
export interface AssembledPod {
  readonly pod: LockedPod
  readonly manifest: PodManifest
  readonly redactionKey: Uint8Array
}

/** Who may look at the pod (its own directory says who) sees how its apps fare, and nothing of what they are given. */
const DIRECTORIES = [
  ...(['stage1', 'apps', 'log'] as const).map((name) => [name, 0o700] as const),
  ['plan', 0o711],
  ['status', 0o755],
] as const

/**
 * Makes a pod in `prepare`, locked: its manifest, the key that redacts it, and a writable layer for each app.
 * @throws PodError POD_DIRECTORY_FAILED; then what there is of it is an aborted prepare
 */
export function assemblePod(dir: string, uuid: PodUuid, manifest: PodManifest): AssembledPod {
  const pod = createPod(dir, uuid)
  try {
    return inDirectory(dir, () => {
      for (const [name, mode] of DIRECTORIES) fs.mkdirSync(path.join(pod.path, name), { mode })
      for (const app of manifest.apps) {
        fs.mkdirSync(path.join(pod.path, 'plan/apps', app.name), { recursive: true, mode: 0o750 })
        // overlayfs takes the mode of the app's root directory from here
        fs.mkdirSync(path.join(pod.path, 'apps', app.name, 'upper'), { recursive: true, mode: 0o755 })
        fs.mkdirSync(path.join(pod.path, 'apps', app.name, 'work'), { mode: 0o755 })
      }
      const redactionKey = new Uint8Array(randomBytes(32))
      fs.writeFileSync(path.join(pod.path, 'redaction-key'), redactionKey, { mode: 0o600 })
      fs.writeFileSync(path.join(pod.path, 'pod'), podManifestBytes(manifest), { mode: 0o600 })
      return { pod, manifest, redactionKey }
    })
  } catch (err) {
    fs.closeSync(pod.fd)
    throw err
  }
}

/** Whether manifest and key are on the disk as they were measured. @throws PodError LAUNCH_CHANGED */
export function checkPodFiles({ manifest, redactionKey }: AssembledPod, podPath: string): void {
  for (const [name, wanted] of [
    ['pod', podManifestBytes(manifest)],
    ['redaction-key', redactionKey],
  ] as const) {
    const found = readPodFile(podPath, name)
    if (found === undefined || !equalBytes(found, wanted)) throw launchChanged(path.join(podPath, name))
  }
}

/**
 * Whether nobody put anything where the pod is going to find it: a file in the writable layer of an app would be run in
 * place of the measured one. What an app is to find there is only what its image and its volumes bring.
 * @throws PodError LAUNCH_CHANGED, POD_DIRECTORY_FAILED
 */
export function checkPodUntouched({ manifest }: AssembledPod, podPath: string): void {
  const names = manifest.apps.map((app) => app.name)
  const expected: readonly (readonly [directory: string, entries: readonly string[]])[] = [
    ...(['status', 'log'] as const).map((name) => [name, []] as const),
    ['plan', ['apps']],
    ['plan/apps', names],
    ...names.map((name) => [`plan/apps/${name}`, []] as const),
    ['apps', names],
    ...names.flatMap((name) => [
      [`apps/${name}`, ['upper', 'work']] as const,
      [`apps/${name}/upper`, []] as const,
      [`apps/${name}/work`, []] as const,
    ]),
  ]
  for (const [name, entries] of expected) {
    const directory = path.join(podPath, name)
    if (!fs.lstatSync(directory).isDirectory()) throw launchChanged(directory)
    const odd = fs.readdirSync(directory).find((entry) => !entries.includes(entry))
    if (odd !== undefined) throw launchChanged(path.join(directory, odd))
  }
  for (const name of ['volumes', DISK_FILE]) {
    const made = path.join(podPath, name) // by the launch, after this
    if (fs.lstatSync(made, { throwIfNoEntry: false }) !== undefined) throw launchChanged(made)
  }
}

/** What was measured is no longer what would be started. */
export function launchChanged(what: string): PodError {
  return new PodError('LAUNCH_CHANGED', `${what} was changed after it was measured`, {
    hint: 'Nothing was started. Find out who writes to it, then launch again.',
  })
}
