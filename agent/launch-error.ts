import { CodedError } from '../attestation/base/index.ts'

/**
 * LAUNCH_BODY_INVALID: the body of POST /v1/launches is not a launch.
 * LAUNCH_REPEATED: a pod of this UUID was asked for before in this boot.
 * LAUNCH_QUEUE_FULL: too many launches wait already.
 */
export type LaunchErrorCode = 'LAUNCH_BODY_INVALID' | 'LAUNCH_REPEATED' | 'LAUNCH_QUEUE_FULL'
export class LaunchError extends CodedError<LaunchErrorCode> {}
