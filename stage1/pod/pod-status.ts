import fs from 'node:fs'
import path from 'node:path'
import { codeOf, fromUtf8 } from '../../attestation/base/index.ts'
import { waitForFlock } from '../../native/process/index.ts'
import { type PodManifest, parsePodManifest } from '../manifest/index.ts'
import { inDirectory, openPod, type Pod, readPodFile } from './pod-directory.ts'

/** Why a pod was not started: JSON with `at`, `code` and `message`. */
export const REFUSED_FILE = 'refused.json'

/** An app of a pod and how it ended. */
export interface AppStatus {
  readonly name: string
  /**
   * As the image was asked for, so that it can be asked for again; the manifest's own name of a pod that was never
   * launched.
   */
  readonly imageName: string
  readonly imageId: string
  /** Absent while it runs, and for ever where it was ended together with the pod's PID 1. */
  readonly exitStatus?: number
}

/** Everything that the directory of a pod tells. */
export interface PodStatus {
  readonly pod: Pod
  readonly apps: readonly AppStatus[]
  /** When its directory was made. */
  readonly createdAt?: Date
  /** When it was handed to its stage1; absent for one that never was. */
  readonly startedAt?: Date
  /** How the launch was let through; absent for one that was not. */
  readonly mode?: string
}

/**
 * Reads what can be read; a pod that was abandoned half-made has no apps.
 * @throws PodError POD_FILE_BAD, POD_DIRECTORY_FAILED; ManifestError for a manifest that is not ours
 */
export function readPodStatus(pod: Pod): PodStatus {
  return inDirectory(pod.path, () => {
    const bytes = readPodFile(pod.path, 'pod')
    const manifest = bytes === undefined || bytes.length === 0 ? undefined : parsePodManifest(bytes)
    const createdAt = modified(path.join(pod.path, 'pod'))
    const started = modified(path.join(pod.path, 'launch.json'))
    const { mode, imageNames } = readLaunchRecord(pod)
    return {
      pod,
      apps: manifest === undefined ? [] : appsOf(pod, manifest, imageNames),
      ...(createdAt === undefined ? {} : { createdAt }),
      ...(started === undefined ? {} : { startedAt: started }),
      ...(mode === undefined ? {} : { mode }),
    }
  })
}

/** Waits until nobody holds the pod's lock. @returns at once when the pod is gone */
export async function waitForPod(pod: Pod): Promise<void> {
  const fd = openPod(pod.path)
  if (fd === undefined) return
  try {
    await waitForFlock(fd, 'shared')
  } finally {
    fs.closeSync(fd)
  }
}

function appsOf(pod: Pod, manifest: PodManifest, imageNames: readonly string[]): AppStatus[] {
  return manifest.apps.map(({ name, image }, i) => {
    const bytes = readPodFile(pod.path, `status/${name}`)
    const text = bytes === undefined ? '' : fromUtf8(bytes)
    return {
      name,
      imageName: imageNames[i] ?? image.name,
      imageId: image.id,
      ...(/^[0-9]{1,3}$/.test(text) ? { exitStatus: Number(text) } : {}),
    }
  })
}

/** What launch.json tells of a pod; nothing where there is none, or where a crash cut it short. */
function readLaunchRecord(pod: Pod): { readonly mode?: string; readonly imageNames: readonly string[] } {
  const bytes = readPodFile(pod.path, 'launch.json')
  if (bytes === undefined) return { imageNames: [] }
  let value: unknown
  try {
    value = JSON.parse(fromUtf8(bytes))
  } catch (err) {
    if (err instanceof SyntaxError || err instanceof TypeError) return { imageNames: [] }
    throw err
  }
  const images = member(member(value, 'launch'), 'images')
  const names = Array.isArray(images) ? images.map((image) => String(member(image, 'name'))) : []
  const mode = member(value, 'mode')
  return { imageNames: names, ...(mode === undefined ? {} : { mode: String(mode) }) }
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}

function modified(file: string): Date | undefined {
  try {
    return fs.lstatSync(file).mtime
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return undefined
    throw err
  }
}
