import fs from 'node:fs'
import path from 'node:path'
import { utf8 } from '../../attestation/base/index.ts'
import { acName, type PodManifest } from '../manifest/index.ts'
import { readExitStatus } from './app-status.ts'
import { readPodText } from './pod-file.ts'
import type { Pod } from './pod-list.ts'
import { modified, readPodStatus } from './pod-status.ts'

/** What a table of pods shows of each; a PodStatus is one, too. */
export interface PodSummary {
  readonly pod: Pod
  readonly apps: readonly { readonly name: string; readonly imageName: string; readonly exitStatus?: number }[]
  readonly createdAt?: Date
  readonly mode?: string
}

/**
 * What of it does not change once a pod was handed to its stage1, in one small file, so that a list of hundreds need not
 * read and parse the manifest and the launch record of each. It is derived, proves nothing, and may be missing.
 */
const SUMMARY_FILE = 'summary.json'
const SUMMARY_VERSION = 1

/** Written behind `launch.json`: no summary tells of a launch that has no record. @throws Error of the file system */
export function writePodSummary(
  podPath: string,
  mode: string,
  { apps }: Pick<PodManifest, 'apps'>,
  images: readonly { readonly name: string }[],
): void {
  const summary = {
    v: SUMMARY_VERSION,
    createdAtMs: modified(`${podPath}/pod`)?.getTime(),
    mode,
    // images as they were asked for
    apps: apps.map(({ name, image }, i) => ({ name, imageName: images[i]?.name ?? image.name })),
  }
  fs.writeFileSync(path.join(podPath, SUMMARY_FILE), utf8(JSON.stringify(summary)), { mode: 0o644 })
}

/**
 * The same as readPodStatus gives, by less reading where the pod has a summary.
 * @throws as readPodStatus
 */
export function readPodSummary(pod: Pod): PodSummary {
  const fixed = readFixed(pod.path)
  if (fixed === undefined) return readPodStatus(pod)
  const { createdAt, mode } = fixed
  const apps = fixed.apps.map(({ name, imageName }) => {
    const exitStatus = readExitStatus(pod.path, name)
    return exitStatus === undefined ? { name, imageName } : { name, imageName, exitStatus }
  })
  return { pod, createdAt, mode, apps }
}

type FixedFacts = Required<Pick<PodSummary, 'createdAt' | 'mode' | 'apps'>>

/** @returns undefined where there is none, or none that this version wrote whole */
function readFixed(podPath: string): FixedFacts | undefined {
  try {
    const text = readPodText(podPath, SUMMARY_FILE)
    return text === undefined ? undefined : checked(JSON.parse(text))
  } catch (err) {
    if (err instanceof SyntaxError || err instanceof TypeError || err instanceof RangeError) return undefined
    throw err
  }
}

function checked(value: unknown): FixedFacts | undefined {
  const { v, createdAtMs, mode, apps } = { ...object(value) }
  if (v !== SUMMARY_VERSION || typeof createdAtMs !== 'number' || typeof mode !== 'string' || !Array.isArray(apps)) {
    return undefined
  }
  const read = apps.map((app) => {
    const { name, imageName } = { ...object(app) }
    // a name becomes part of a path
    return { name: acName(String(name)), imageName: String(imageName) }
  })
  return { createdAt: new Date(createdAtMs), mode, apps: read }
}

function object(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}
