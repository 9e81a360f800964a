import { CodedError } from '../../attestation/base/index.ts'

/**
 * - MANIFEST_NOT_JSON: the bytes are not UTF-8 JSON.
 * - MANIFEST_INVALID: JSON, but not the manifest it should be; the message lists every bad path.
 */
export type ManifestErrorCode = 'MANIFEST_NOT_JSON' | 'MANIFEST_INVALID'

/** A manifest or configuration that cannot be used as it is. */
export class ManifestError extends CodedError<ManifestErrorCode> {}
