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
