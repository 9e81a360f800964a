import { CodedError } from '../../attestation/base/index.ts'

/**
 * What can go wrong with an image, a source of images, or the store.
 *
 * Asking:
 * - IMAGE_REFERENCE_BAD: the text names no image.
 * - IMAGE_NOT_FOUND: nothing by that name in the store, the layout or the registry.
 * - IMAGE_AMBIGUOUS: the name or prefix stands for several images.
 * - IMAGE_SETTINGS_BAD: the settings of registries cannot be read or have mistakes.
 * - IMAGE_DEPENDENCY_MISSING: an image that an ACI depends on is not in the store, and its name says nowhere else.
 * - IMAGE_DEPENDENCY_BAD: ACIs depend on each other in a circle, or what was found for a dependency is another image.
 * - IMAGE_IN_USE: a pod needs the image that is to be removed.
 * - IMAGE_TARGET_EXISTS: what is to be written is there already.
 * - IMAGE_NAME_TAKEN: the name stands for what another user fetched.
 *
 * The source:
 * - IMAGE_SOURCE_UNREACHABLE: no connection, a time-out, a connection that broke.
 * - IMAGE_SOURCE_DENIED: the registry wants other credentials.
 * - IMAGE_SOURCE_INSECURE: it would need plain HTTP and nobody allowed that.
 * - IMAGE_SOURCE_BAD: the registry or layout answered something that is not what its protocol says.
 *
 * What came:
 * - IMAGE_DIGEST_MISMATCH, IMAGE_SIZE_MISMATCH: other bytes than the descriptor promised.
 * - IMAGE_BLOB_MISSING: a blob that a manifest names is not there.
 * - IMAGE_MANIFEST_BAD: manifest, index or configuration is malformed or contradicts itself.
 * - IMAGE_UNSUPPORTED: a media type, digest algorithm or feature that is not handled; encrypted layers among them.
 * - IMAGE_PLATFORM_MISSING: the image is not for this machine.
 * - IMAGE_COMPRESSION_BAD: a compressed stream is damaged, cut, or has something behind its end.
 * - IMAGE_LAYER_BAD: an archive is malformed or asks for something that is never done.
 * - IMAGE_TOO_LARGE: one of the limits of limits.ts.
 *
 * The machine:
 * - IMAGE_TOOL_MISSING: a program is not installed; the message says which.
 * - IMAGE_NO_SPACE: the disk, or its quota, is full.
 * - IMAGE_RENDER_FAILED: writing an image to a directory failed for another reason.
 * - IMAGE_FETCH_FAILED: the process that fetches or reads an image for root ended without saying why to it.
 * - IMAGE_STORE_FAILED: reading or writing the store failed.
 *
 * Tampering or decay:
 * - IMAGE_RECORD_BAD: a record in the store does not agree with the bytes it is about.
 * - IMAGE_TREE_MISSING, IMAGE_TREE_CHANGED: a rendered file is gone, or is not what its name says.
 * - IMAGE_TREE_OUTDATED: the image was rendered by earlier rules; the next fetch renders it again.
 * - IMAGE_CACHE_UNSAFE: the cache of verifications could have been written by somebody else.
 */
export type ImageErrorCode =
  | 'IMAGE_REFERENCE_BAD'
  | 'IMAGE_NOT_FOUND'
  | 'IMAGE_AMBIGUOUS'
  | 'IMAGE_SETTINGS_BAD'
  | 'IMAGE_DEPENDENCY_MISSING'
  | 'IMAGE_DEPENDENCY_BAD'
  | 'IMAGE_IN_USE'
  | 'IMAGE_TARGET_EXISTS'
  | 'IMAGE_NAME_TAKEN'
  | 'IMAGE_SOURCE_UNREACHABLE'
  | 'IMAGE_SOURCE_DENIED'
  | 'IMAGE_SOURCE_INSECURE'
  | 'IMAGE_SOURCE_BAD'
  | 'IMAGE_DIGEST_MISMATCH'
  | 'IMAGE_SIZE_MISMATCH'
  | 'IMAGE_BLOB_MISSING'
  | 'IMAGE_MANIFEST_BAD'
  | 'IMAGE_UNSUPPORTED'
  | 'IMAGE_PLATFORM_MISSING'
  | 'IMAGE_COMPRESSION_BAD'
  | 'IMAGE_LAYER_BAD'
  | 'IMAGE_TOO_LARGE'
  | 'IMAGE_TOOL_MISSING'
  | 'IMAGE_NO_SPACE'
  | 'IMAGE_RENDER_FAILED'
  | 'IMAGE_FETCH_FAILED'
  | 'IMAGE_STORE_FAILED'
  | 'IMAGE_RECORD_BAD'
  | 'IMAGE_TREE_MISSING'
  | 'IMAGE_TREE_CHANGED'
  | 'IMAGE_TREE_OUTDATED'
  | 'IMAGE_CACHE_UNSAFE'

/** An image that cannot be fetched, found, rendered or trusted. */
export class ImageError extends CodedError<ImageErrorCode> {}
