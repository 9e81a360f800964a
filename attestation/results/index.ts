export {
  AR4SI,
  AR4SI_ANY,
  isBetterTier,
  TIER_VALUE,
  type Tier,
  type TrustworthinessVector,
  tierOfValue,
  VECTOR_CLAIMS,
  type VectorClaim,
  worstTier,
} from './ar4si.ts'
export { type ClaimsEncoding, fromBase64url, type Nonce, toBase64url } from './claims.ts'
export {
  checkEar,
  EAR_PROFILE,
  EAR_PROFILE_TRUSTEE,
  EAR_PROFILE_VERAISON,
  EAR_TYPE,
  type Ear,
  type EarAppraisal,
  type EarDialect,
  earDialect,
  earTier,
} from './ear.ts'
export { signEar, verifyEarJwt, verifyEatJwt } from './ear-jwt.ts'
export { readEarCbor, readEarJson } from './ear-read.ts'
export { writeEarCbor, writeEarJson } from './ear-write.ts'
export {
  DEBUG_STATUS,
  type DebugStatus,
  type EatClaims,
  type EatSubmod,
  type EmbeddedFormat,
  type Location,
  MEASUREMENT_RESULTS,
  type MeasurementResult,
  type MeasurementResults,
  type OemId,
  type Ueid,
  type Version,
} from './eat.ts'
export { readEatCbor, readEatJson } from './eat-read.ts'
export { ResultError, type ResultErrorCode } from './errors.ts'
export type { EarFinding } from './findings.ts'
export { looksLikeResultToken, type ResultToken, readResultToken } from './token.ts'
