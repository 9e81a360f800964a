import fs from 'node:fs'
import path from 'node:path'
import { codeOf } from '../../attestation/base/index.ts'
import { LIMITS } from './limits.ts'
import { type ImageStore, storing } from './store.ts'

const PREFIX = 'part-'

/**
 * What came of a blob whose transfer failed lies in `tmp/part-<hex>` until a fetch takes it into its own work directory
 * by rename(2), so that exactly one has it. Nobody believes it before it is whole and its digest right.
 *
 * @param digest `sha256:<hex>`
 */
export function partName(digest: string): string {
  return PREFIX + digest.slice('sha256:'.length)
}

/** Moves a part that is there to `file`. What another user has left under its name is not touched. */
export function takePart(store: ImageStore, digest: string, file: string): void {
  const part = path.join(store.dir, 'tmp', partName(digest))
  const found = fs.lstatSync(part, { throwIfNoEntry: false })
  if (found?.isFile() === true && found.uid === process.geteuid?.() && found.nlink === 1) rename(part, file)
}

/** Leaves a part for the next fetch, if it is worth that. */
export function keepPart(store: ImageStore, digest: string, file: string): void {
  storing(store, () => {
    const size = fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0
    if (size >= LIMITS.keptPartBytes) rename(file, path.join(store.dir, 'tmp', partName(digest)))
  })
}

/** Before the work directory of a command that was killed is removed: what it had fetched is worth keeping. */
export function keepPartsOf(store: ImageStore, work: string): void {
  for (const name of namesIn(work)) {
    if (isPart(name)) keepPart(store, `sha256:${name.slice(PREFIX.length)}`, path.join(work, name))
  }
}

function namesIn(directory: string): string[] {
  try {
    return fs.readdirSync(directory)
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return [] // another command is cleaning up as well
    throw err
  }
}

/** Whether a name in `tmp/` or in a work directory is a part of a blob. */
export function isPart(name: string): boolean {
  return /^part-[0-9a-f]{64}$/.test(name)
}

function rename(from: string, to: string): void {
  try {
    fs.renameSync(from, to)
  } catch (err) {
    // EPERM: another user's part has that name, in a sticky directory
    if (codeOf(err) !== 'ENOENT' && codeOf(err) !== 'EPERM') throw err
  }
}
