import { CodedError } from '../base/index.ts'

/**
 * LAUNCH_REQUEST_NOT_CANONICAL: the bytes are not the RFC 8785 form of what they say, so two readers could differ.
 * LAUNCH_REQUEST_INVALID: JSON, but not a launch request; the message names each bad path.
 * LAUNCH_REQUEST_TOO_LARGE: longer than MAX_LAUNCH_REQUEST_BYTES.
 * LAUNCH_REQUEST_DIFFERS: the agent answered for another launch than the one it was asked for.
 */
export type LaunchRequestErrorCode =
  | 'LAUNCH_REQUEST_NOT_CANONICAL'
  | 'LAUNCH_REQUEST_INVALID'
  | 'LAUNCH_REQUEST_TOO_LARGE'
  | 'LAUNCH_REQUEST_DIFFERS'
export class LaunchRequestError extends CodedError<LaunchRequestErrorCode> {}

/** A pod manifest is at most 4 MiB in appc practice; a request names digests and one redacted manifest. */
export const MAX_LAUNCH_REQUEST_BYTES = 1 << 20

/** @throws LaunchRequestError LAUNCH_REQUEST_TOO_LARGE */
export function checkRequestSize(bytes: Uint8Array): void {
  if (bytes.length <= MAX_LAUNCH_REQUEST_BYTES) return
  throw new LaunchRequestError(
    'LAUNCH_REQUEST_TOO_LARGE',
    `${bytes.length} bytes, at most ${MAX_LAUNCH_REQUEST_BYTES} are read`,
  )
}
