import fs from 'node:fs'
import path from 'node:path'
import { keepPartsOf } from './parts.ts'
import { type ImageStore, ownerMark, storing } from './store.ts'

/**
 * Removes directories in `tmp/` whose names are those of work directories of commands that are gone: killed ones of this
 * boot and PID namespace, and all of another boot. Of another PID namespace nothing is known, so theirs go after a day.
 * Parts of blobs are kept (parts.ts).
 *
 * @returns how many were removed
 */
export function removeStaleWork(store: ImageStore, now: Date): number {
  const parent = path.join(store.dir, 'tmp')
  const [boot = '', namespace = ''] = ownerMark(process.pid).split('.')
  let removed = 0
  for (const name of storing(store, () => fs.readdirSync(parent))) {
    const [itsBoot = '', itsNamespace = '', pid = '', ...rest] = name.split('.')
    if (rest.length !== 2 || !/^[1-9][0-9]{0,9}$/.test(pid) || !/^[0-9a-f]{8}$/.test(itsBoot)) continue // not ours
    const dir = path.join(parent, name)
    if (!storing(store, () => isOursAlone(dir))) continue
    const alive =
      itsBoot === boot &&
      (itsNamespace === namespace
        ? name.startsWith(`${ownerMark(Number(pid))}.`)
        : now.getTime() - (fs.statSync(dir, { throwIfNoEntry: false })?.mtimeMs ?? 0) < 24 * 3600 * 1000)
    if (alive) continue
    storing(store, () => {
      keepPartsOf(store, dir)
      fs.rmSync(dir, { recursive: true, force: true })
    })
    removed++
  }
  return removed
}

/**
 * Whether a directory is as makeWorkDirectory makes it. Scratch directories may be where others make some, too: by a
 * name of ours and a link that comes and goes they could have anything removed.
 */
function isOursAlone(dir: string): boolean {
  const found = fs.lstatSync(dir, { throwIfNoEntry: false })
  return found?.isDirectory() === true && found.uid === process.geteuid?.() && (found.mode & 0o022) === 0
}
