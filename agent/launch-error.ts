import { CodedError } from '../attestation/base/index.ts'

/**
 * LAUNCH_BODY_INVALID: the body of POST /v1/launches is not a launch.
 * LAUNCH_REPEATED: a pod of this UUID was asked for before in this boot.
 * ENTER_NOT_RUNNING: the pod to be entered does not run, or was launched otherwise than is said.
 * LAUNCH_QUEUE_FULL: too many launches wait already.
 */
export type LaunchErrorCode = 'LAUNCH_BODY_INVALID' | 'LAUNCH_REPEATED' | 'LAUNCH_QUEUE_FULL' | 'ENTER_NOT_RUNNING'
export class LaunchError extends CodedError<LaunchErrorCode> {}
