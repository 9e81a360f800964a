import fs from 'node:fs'
import path from 'node:path'
import { tryFlock, waitForFlock } from '../../native/process/index.ts'
import { type ImageStore, storing } from './store.ts'

/**
 * Runs with the store's lock, which is a flock on its `cas` directory. It is held for moments only: a fetch takes it
 * shared after it has said what it will use (pins.ts), the collection of garbage exclusively while it looks and
 * removes. Nobody holds it through a download.
 *
 * @throws ImageError IMAGE_STORE_FAILED, ProcessError
 */
export async function withStoreLock<T>(
  store: ImageStore,
  kind: 'shared' | 'exclusive',
  work: () => T | Promise<T>,
): Promise<T> {
  const directory = path.join(store.dir, 'cas')
  const fd = storing(store, () => fs.openSync(directory, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY))
  try {
    // waiting takes a thread of Node's pool; mostly there is nothing to wait for
    if (!tryFlock(fd, kind)) await waitForFlock(fd, kind)
    return await work()
  } finally {
    fs.closeSync(fd) // which gives the lock back
  }
}
