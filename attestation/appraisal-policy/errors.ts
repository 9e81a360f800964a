import { CodedError } from '../base/index.ts'

/**
 * APPRAISAL_POLICY_INVALID: not a policy, or one that contradicts itself; the message lists each mistake as
 * `file:line:col: message`.
 * APPRAISAL_POLICY_AMBIGUOUS: two policies of a set are for the same node and neither comes before the other.
 */
export type AppraisalPolicyErrorCode = 'APPRAISAL_POLICY_INVALID' | 'APPRAISAL_POLICY_AMBIGUOUS'
export class AppraisalPolicyError extends CodedError<AppraisalPolicyErrorCode> {}
