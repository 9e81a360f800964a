import fs from 'node:fs'
import path from 'node:path'
import { keepPartsOf } from './parts.ts'
import { type ImageStore, ownerMark, storing } from './store.ts'

/**
 * Removes what commands that are gone left in `tmp/`: killed ones of this boot and PID namespace, and all of another
 * boot. Of another PID namespace nothing is known, so theirs go after a day. Parts of blobs are kept (parts.ts).
 *
 * @returns how many were removed
 */
export function removeStaleWork(store: ImageStore, now: Date): number {
  const [boot = '', namespace = ''] = ownerMark(process.pid).split('.')
  let removed = 0
  for (const name of storing(store, () => fs.readdirSync(path.join(store.dir, 'tmp')))) {
    const [itsBoot = '', itsNamespace = '', pid = '', ...rest] = name.split('.')
    if (rest.length !== 2 || !/^[1-9][0-9]{0,9}$/.test(pid)) continue // not ours
    const dir = path.join(store.dir, 'tmp', name)
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
