import fs from 'node:fs'
import path from 'node:path'
import { messageOf } from '../../attestation/base/index.ts'
import { loadCalls } from '../../native/process/index.ts'
import { ImageError, type ImageStore } from '../image/index.ts'
import { becomeUser, STORE_USER, storeOwners } from '../users/index.ts'

const SET_UP = 'config/setup-users.sh'

/**
 * Makes a process of root one of the user `holdfast`, before it parses anything of an image: that one can write to the
 * store, and to nothing else. For other users nothing changes.
 *
 * Where the users have not been made root goes on: a first try must work, and what is lost is a second line of defence.
 * It is said, where content of others is about to be fetched.
 *
 * @param tell told that root goes on
 * @throws ImageError IMAGE_STORE_FAILED where the store is not that user's, or out of its reach; UserError
 */
export function giveUpRoot(store: ImageStore, tell: (text: string) => void = () => {}): void {
  if (process.geteuid?.() !== 0) return
  const owners = storeOwners()
  if (owners === undefined) {
    tell(`there is no user '${STORE_USER}', so root itself parses what comes; ${SET_UP} makes the users`)
    return
  }
  const images = path.join(store.dir, 'images')
  if (fs.statSync(images, { throwIfNoEntry: false })?.uid !== owners.user.uid) {
    throw new ImageError(
      'IMAGE_STORE_FAILED',
      `the images in ${store.dir} do not belong to the user '${STORE_USER}'; ${SET_UP} ${store.dir} sees to that`,
    )
  }
  loadCalls() // native code may lie where that user cannot read
  becomeUser(owners.user)
  process.umask(0o022)
  try {
    fs.accessSync(images, fs.constants.R_OK | fs.constants.W_OK | fs.constants.X_OK)
  } catch (cause) {
    throw new ImageError(
      'IMAGE_STORE_FAILED',
      `the user '${STORE_USER}' cannot use ${images}: ${messageOf(cause)}; every directory above it must let others pass (chmod o+x)`,
      { cause },
    )
  }
}
