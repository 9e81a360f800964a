import { CodedError } from '../base/index.ts'

/**
 * LAUNCH_POLICY_UNREADABLE: the directory or a file in it cannot be read, or is larger than a policy can be.
 * LAUNCH_POLICY_INVALID: not Cedar, or not true to the schema; the message lists each problem as `file:line:col:
 * message`.
 * LAUNCH_POLICY_FAILED: Cedar could not evaluate a request. Nothing is permitted then.
 */
export type LaunchPolicyErrorCode = 'LAUNCH_POLICY_UNREADABLE' | 'LAUNCH_POLICY_INVALID' | 'LAUNCH_POLICY_FAILED'
export class LaunchPolicyError extends CodedError<LaunchPolicyErrorCode> {}
