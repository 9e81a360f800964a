import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { codeOf } from '../../attestation/base/index.ts'
import { findImage, ImageError, type ImageStore, type StoredImage } from '../image/index.ts'
import type { Installation } from './installation.ts'
import type { FetchSettings, RunContext } from './run-context.ts'

/**
 * The stage1 image that `--stage1` names: `nspawn` or `kvm` for those that came with this holdfast, a path of an .aci, or
 * an image in the store. A file is imported when the store does not have exactly its content.
 *
 * @throws ImageError
 */
export async function resolveStage1(
  store: ImageStore,
  name: string,
  settings: FetchSettings,
  installed: Installation,
  context: RunContext,
): Promise<StoredImage> {
  const { cwd } = context
  const own = name === 'nspawn' || name === 'kvm' ? ownImage(installed.stage1Images[name]) : undefined
  const file = own ?? (name.endsWith('.aci') ? path.resolve(cwd, name) : undefined)
  if (file === undefined) return findImage(store, name, cwd)
  // an ACI's ID is the digest of its uncompressed tar; a compressed one is not found and imported, which finds it
  const id = `sha512-${createHash('sha512').update(fs.readFileSync(file)).digest('hex').slice(0, 64)}`
  try {
    // our own by its path: that record says that it came with the installation, others of the same content may not
    const image = findImage(store, own ?? id, cwd)
    if (image.id === id) return image
  } catch (err) {
    if (codeOf(err) !== 'IMAGE_NOT_FOUND') throw err
  }
  // ours is not signed, but measured: whether this stage1 may be used is for the verifier's policy to say
  return context.fetch(store, fs.realpathSync(file), settings)
}

/** @throws ImageError IMAGE_NOT_FOUND */
function ownImage(file: string): string {
  try {
    return fs.realpathSync(file)
  } catch (cause) {
    const how = 'npm run build makes it; that of virtual machines needs a kernel, which config/guest-kernel.sh gets'
    throw new ImageError('IMAGE_NOT_FOUND', `this installation has no ${path.basename(file)}: ${how}`, { cause })
  }
}
