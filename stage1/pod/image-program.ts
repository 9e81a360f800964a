import { type ImageStore, LIMITS, readBlob, type StoredImage } from '../image/index.ts'
import { parseOciImageConfig } from '../manifest/index.ts'

/**
 * How many items of an image's `exec` are its program, which arguments given by the user follow
 * (PodImage.programLength). An appc manifest does not tell Entrypoint from Cmd, so an OCI image's configuration is
 * looked at again.
 *
 * @throws ImageError when the configuration is gone or changed
 */
export function programLength(store: ImageStore, image: StoredImage): number {
  if (image.kind === 'aci') return image.manifest.app?.exec.length ?? 0
  const bytes = readBlob(store, image.configDigest, LIMITS.configBytes)
  return parseOciImageConfig(bytes).entrypoint.length
}
