import type { Brand } from '../../attestation/base/index.ts'

/**
 * `<algorithm>-<hex>`: `sha256-` and the digest of the configuration of an OCI image, or `sha512-` and the first 64
 * digits of the SHA-512 of the uncompressed tar of an ACI (App Container specification v0.8.11, "Image ID Type").
 */
export type ImageId = Brand<string, 'ImageId'>

/** @throws RangeError for anything but `sha256-` or `sha512-` and 64 lowercase hex digits */
export function imageId(text: string): ImageId {
  if (!/^sha(256|512)-[0-9a-f]{64}$/.test(text)) {
    throw new RangeError(`'${text.slice(0, 100)}' is not an image ID (sha256- or sha512- and 64 lowercase hex digits)`)
  }
  return text as ImageId // the test above is the constructor's check
}
