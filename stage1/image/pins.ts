import fs from 'node:fs'
import path from 'node:path'
import { codeOf } from '../../attestation/base/index.ts'
import type { ImageId } from '../manifest/index.ts'
import { type ImageStore, storing } from './store.ts'
import { withStoreLock } from './store-lock.ts'

/** A file of the store by its kind and name: a blob or tree by its 64 hex digits, a record by its image ID. */
export type Pin =
  | { readonly kind: 'blob' | 'tree'; readonly hex: string }
  | { readonly kind: 'image'; readonly id: ImageId }

const DIRECTORY = 'pins'

/**
 * Says that the command that owns a work directory is about to use files of the store, there or not yet there. When
 * this returns, no collection of garbage removes them for as long as the work directory and its owner are there: one
 * that began before has come to its end, and one that begins later sees the pins. So look whether they exist after it.
 *
 * @param work see makeWorkDirectory
 */
export async function pin(store: ImageStore, work: string, pins: readonly Pin[]): Promise<void> {
  storing(store, () => {
    const directory = path.join(work, DIRECTORY)
    fs.mkdirSync(directory, { recursive: true, mode: 0o750 })
    for (const p of pins) fs.closeSync(fs.openSync(path.join(directory, pinName(p)), 'w', 0o640))
  })
  await withStoreLock(store, 'shared', () => {})
}

/** The names of all pins in the work directories that are there. */
export function readPins(store: ImageStore): Set<string> {
  const tmp = path.join(store.dir, 'tmp')
  return storing(store, () => {
    const names = new Set<string>()
    for (const work of fs.readdirSync(tmp)) {
      for (const name of namesIn(path.join(tmp, work, DIRECTORY))) names.add(name)
    }
    return names
  })
}

/** What readPins calls a pin. */
export function pinName(p: Pin): string {
  return p.kind === 'image' ? `image-${p.id}` : `${p.kind}-${p.hex}`
}

function namesIn(directory: string): string[] {
  try {
    return fs.readdirSync(directory)
  } catch (err) {
    // a work directory without pins, one whose command has just ended, or one that somebody has closed: ours are open to
    // the group, and who keeps no collection from what he needs loses it alone
    const code = codeOf(err)
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES') return []
    throw err
  }
}
