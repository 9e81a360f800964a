import { CodedError } from '../base/index.ts'
import { EncodingError, type Fail, type Value } from '../encoding/index.ts'

/**
 * RESULT_NOT_JSON, RESULT_NOT_CBOR: the claims set is not what it should be encoded as; also a claim that stands twice.
 * RESULT_TOO_LONG: longer, deeper or of more values than is read.
 * RESULT_UNKNOWN_PROFILE: an attestation result of a profile that is not known here; what its claims mean is not known
 * either.
 * RESULT_BAD_CLAIM: a claim is absent that must be there, or is not of its type.
 * RESULT_CONTRADICTION: a status that is better than what it sums up.
 * RESULT_SIGNATURE: the token is not signed by the key given, or by an algorithm that is not accepted.
 * RESULT_EXPIRED: the time is past `exp`, or `iat` is in the future.
 */
export type ResultErrorCode =
  | 'RESULT_NOT_JSON'
  | 'RESULT_NOT_CBOR'
  | 'RESULT_TOO_LONG'
  | 'RESULT_UNKNOWN_PROFILE'
  | 'RESULT_BAD_CLAIM'
  | 'RESULT_CONTRADICTION'
  | 'RESULT_SIGNATURE'
  | 'RESULT_EXPIRED'

export class ResultError extends CodedError<ResultErrorCode> {}

/** Refusal of one claim. */
export const badClaim: Fail = (problem) => new ResultError('RESULT_BAD_CLAIM', problem)

/** Runs a decoder of the encoding, and gives its refusals the codes of this subject. */
export function decoded(encoding: 'JSON' | 'CBOR', decode: () => Value): Value {
  try {
    return decode()
  } catch (cause) {
    if (!(cause instanceof EncodingError)) throw cause
    const tooLong = cause.code === 'ENCODING_TOO_LONG' || cause.code === 'ENCODING_TOO_COMPLEX'
    throw new ResultError(tooLong ? 'RESULT_TOO_LONG' : `RESULT_NOT_${encoding}`, cause.message, { cause })
  }
}
