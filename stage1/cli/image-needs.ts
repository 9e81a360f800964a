import fs from 'node:fs'
import path from 'node:path'
import { codeOf } from '../../attestation/base/index.ts'
import type { NeededElsewhere } from '../image/index.ts'
import { type ImageId, imageId } from '../manifest/index.ts'
import { listPods, type Pod, type PodState } from '../pod/index.ts'

const MAX_FILE_BYTES = 16 << 20
/** Of any version: a pod that was started before an upgrade still has the tree that it was started from. */
const TREE = /erofs-verity-[0-9]+:sha256:([0-9a-f]{64})/g
const IMAGE = /sha(?:256|512)-[0-9a-f]{64}/g
/** Pods in these states will be launched, or may be, from what is in the store. */
const TO_BE_LAUNCHED: readonly PodState[] = ['embryo', 'preparing', 'prepared']

/** Everything of the store that a pod has need of, as long as the pod is not garbage. */
export function neededByPods(dir: string): NeededElsewhere {
  const pods = listPods(dir).filter((pod) => pod.state !== 'garbage' && pod.state !== 'deleting')
  const mentioned = pods.map(mentionedBy)
  return {
    images: new Set(mentioned.flatMap((m) => m.images)),
    trees: new Set(mentioned.flatMap((m) => m.trees)),
  }
}

/** A pod that is still to be launched. */
export interface WaitingPod {
  readonly pod: Pod
  readonly images: ReadonlySet<ImageId>
}

export function podsThatWait(dir: string): WaitingPod[] {
  return listPods(dir)
    .filter((pod) => TO_BE_LAUNCHED.includes(pod.state))
    .map((pod) => ({ pod, images: new Set(mentionedBy(pod).images) }))
}

/**
 * Every image ID and tree digest in the files of a pod's directory, whatever they are there for: too much that is kept
 * costs room, too little costs a pod.
 */
function mentionedBy(pod: Pod): { images: ImageId[]; trees: string[] } {
  const text = filesOf(pod.path).map(readText).join('\n')
  return {
    images: (text.match(IMAGE) ?? []).map(imageId),
    trees: [...text.matchAll(TREE)].map(([, rootHash = '']) => rootHash),
  }
}

function filesOf(directory: string): string[] {
  const entries = orNothing(() => fs.readdirSync(directory, { withFileTypes: true })) ?? []
  return entries.filter((e) => e.isFile()).map((e) => path.join(directory, e.name))
}

function readText(file: string): string {
  return orNothing(() => (fs.statSync(file).size > MAX_FILE_BYTES ? '' : fs.readFileSync(file, 'latin1'))) ?? ''
}

/** @returns undefined for what is not there any more: pods come and go */
function orNothing<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (err) {
    if (codeOf(err) === 'ENOENT' || codeOf(err) === 'ENOTDIR') return undefined
    throw err
  }
}
