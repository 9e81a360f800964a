import { CodedError } from '../base/index.ts'
import type { Fail } from '../encoding/index.ts'

/**
 * CORIM_NOT_CBOR: the bytes are not CBOR of definite lengths; also a key that stands twice.
 * CORIM_TOO_LONG: longer, deeper or of more values than is read.
 * CORIM_NOT_CORIM: CBOR, but neither a CoRIM nor a signed one.
 * CORIM_BAD_VALUE: a field is absent that must be there, or is not of its type.
 * CORIM_BAD_PROFILE: a field that the CoRIM's profile asks for is absent or has another form, so nobody can tell what
 * it is about.
 * CORIM_NOT_VALID: it is before or after the times that the manifest is good for.
 */
export type CorimErrorCode =
  | 'CORIM_NOT_CBOR'
  | 'CORIM_TOO_LONG'
  | 'CORIM_NOT_CORIM'
  | 'CORIM_BAD_VALUE'
  | 'CORIM_BAD_PROFILE'
  | 'CORIM_NOT_VALID'

export class CorimError extends CodedError<CorimErrorCode> {}

export const badValue: Fail = (problem) => new CorimError('CORIM_BAD_VALUE', problem)
