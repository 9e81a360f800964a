import fs from 'node:fs'
import path from 'node:path'
import { messageOf, toHex } from '../../attestation/base/index.ts'
import { digest } from '../../attestation/crypto/index.ts'
import type { ImageStore, StoredImage } from '../image/index.ts'
import { parseOciImageConfig } from '../manifest/index.ts'
import { PodError } from './errors.ts'

/**
 * How many items of an image's `exec` are its program, which arguments given by the user follow
 * (PodImage.programLength). An appc manifest does not tell Entrypoint from Cmd, so an OCI image's configuration is
 * looked at again.
 *
 * @throws PodError POD_FILE_BAD when the configuration is gone or changed
 */
export function programLength(store: ImageStore, image: StoredImage): number {
  if (image.kind === 'aci') return image.manifest.app?.exec.length ?? 0
  const hex = image.configDigest.slice('sha256:'.length)
  let bytes: Uint8Array
  try {
    bytes = new Uint8Array(fs.readFileSync(path.join(store.dir, 'cas/sha256', hex)))
  } catch (cause) {
    throw new PodError('POD_FILE_BAD', `the configuration of ${image.origin.name}: ${messageOf(cause)}`, { cause })
  }
  if (toHex(digest('sha256', bytes)) !== hex) {
    throw new PodError('POD_FILE_BAD', `the configuration of ${image.origin.name} was changed in the store`, {
      hint: 'Fetch the image again.',
    })
  }
  return parseOciImageConfig(bytes).entrypoint.length
}
