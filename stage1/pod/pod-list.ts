import fs from 'node:fs'
import { codeOf } from '../../attestation/base/index.ts'
import { tryFlock } from '../../native/process/index.ts'
import { PodError } from './errors.ts'
import { inDirectory, podParent } from './pod-directory.ts'
import { openPod } from './pod-lock.ts'
import { POD_DIRECTORIES, type PodDirectoryName, type PodState, podState } from './state.ts'
import { matchUuid, type PodUuid, podUuid } from './uuid.ts'

/** A pod as the data directory shows it at one moment. */
export interface Pod {
  readonly uuid: PodUuid
  readonly directory: PodDirectoryName
  /** Absolute. */
  readonly path: string
  readonly state: PodState
}

/** All pods, in no order; directories with other names are not pods. @throws PodError POD_DIRECTORY_FAILED */
export function listPods(dir: string, directories: readonly PodDirectoryName[] = POD_DIRECTORIES): Pod[] {
  return inDirectory(dir, () =>
    directories.flatMap((directory) => placesIn(dir, directory).flatMap((place) => podAt(place) ?? [])),
  )
}

/** @throws PodError POD_UUID_BAD, POD_NOT_FOUND, POD_AMBIGUOUS, POD_DIRECTORY_FAILED */
export function findPod(dir: string, prefix: string): Pod {
  return inDirectory(dir, () => {
    // twice: a pod that is renamed just now may be in a directory that was read before
    const places = (): PodPlace[] => POD_DIRECTORIES.flatMap((directory) => placesIn(dir, directory))
    const first = places()
    const place = matchUuid(first.some((p) => p.uuid.startsWith(prefix.toLowerCase())) ? first : places(), prefix)
    const pod = podAt(place)
    if (pod !== undefined) return pod
    const moved = places().find((p) => p.uuid === place.uuid)
    const found = moved === undefined ? undefined : podAt(moved)
    if (found !== undefined) return found
    throw new PodError('POD_NOT_FOUND', `pod ${place.uuid} is being removed`)
  })
}

type PodPlace = Omit<Pod, 'state'>

function placesIn(dir: string, directory: PodDirectoryName): PodPlace[] {
  const parent = podParent(dir, directory)
  return entriesOf(parent).flatMap((name) => {
    const uuid = uuidOrNothing(name)
    return uuid === undefined ? [] : [{ uuid, directory, path: `${parent}/${uuid}` }]
  })
}

/** @returns undefined for what is no pod, or none any more */
function podAt(place: PodPlace): Pod | undefined {
  const state = readState(place.path, place.directory)
  return state === undefined ? undefined : { ...place, state }
}

/** Whether somebody holds the exclusive lock of a directory; false for one that is gone. */
export function isLocked(podPath: string): boolean {
  const fd = openPod(podPath)
  if (fd === undefined) return false
  try {
    return !tryFlock(fd, 'shared')
  } finally {
    fs.closeSync(fd)
  }
}

/** A shared lock is granted exactly when nobody holds the exclusive one. */
function readState(podPath: string, directory: PodDirectoryName): PodState | undefined {
  // its lock says nothing here, and is left to who launches it
  if (directory === 'prepared') return isDirectory(podPath) ? podState(directory, false) : undefined
  const fd = openPod(podPath)
  if (fd === undefined) return undefined // renamed or removed since it was listed
  try {
    return podState(directory, !tryFlock(fd, 'shared'))
  } finally {
    fs.closeSync(fd)
  }
}

function isDirectory(podPath: string): boolean {
  return fs.lstatSync(podPath, { throwIfNoEntry: false })?.isDirectory() === true
}

function entriesOf(directory: string): string[] {
  try {
    return fs.readdirSync(directory)
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return []
    throw err
  }
}

function uuidOrNothing(name: string): PodUuid | undefined {
  try {
    return podUuid(name)
  } catch (err) {
    if (err instanceof PodError) return undefined
    throw err
  }
}
