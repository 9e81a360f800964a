/** Tiers of AR4SI, as EAR spells them. */
export type Tier = 'affirming' | 'warning' | 'contraindicated' | 'none'

/** Entries of the AR4SI trustworthiness vector. */
export type VectorClaim =
  | 'instance-identity'
  | 'configuration'
  | 'executables'
  | 'file-system'
  | 'hardware'
  | 'runtime-opaque'
  | 'storage-opaque'
  | 'sourced-data'

/** Entries in the order of their CBOR keys 0 to 7. Source: draft-ietf-rats-ear-03, trustworthiness vector. */
export const VECTOR_CLAIMS: readonly VectorClaim[] = [
  'instance-identity',
  'configuration',
  'executables',
  'file-system',
  'hardware',
  'runtime-opaque',
  'storage-opaque',
  'sourced-data',
]

/** AR4SI values by vector entry, each -128 to 127; `tierOfValue` says which tier one is of. */
export type TrustworthinessVector = { readonly [claim in VectorClaim]?: number }

/** Values that mean the same in every entry. Source: draft-ietf-rats-ar4si-10 §2.3. */
export const AR4SI_ANY = { verifierMalfunction: -1, noClaim: 0, unexpectedEvidence: 1, cryptoFailed: 99 } as const

/**
 * What the values of an entry say; others of a tier's range say the tier only. Source: draft-ietf-rats-ar4si-10 §2.3.4.
 */
export const AR4SI = {
  'instance-identity': { recognised: 2, untrustworthy: 96, unrecognised: 97 },
  configuration: { approved: 2, noKnownVulnerability: 3, unsafe: 32, unavailableElements: 36, unsupportable: 96 },
  executables: { approved: 2, approvedAtBoot: 3, knownBug: 32, unrecognised: 33, contraindicated: 96 },
  'file-system': { approved: 2, unrecognised: 32, contraindicated: 96 },
  hardware: { genuine: 2, unsafe: 32, contraindicated: 96, unrecognised: 97 },
  'runtime-opaque': { encrypted: 2, isolated: 32, visible: 96 },
  'storage-opaque': { hardwareEncrypted: 2, softwareEncrypted: 32, unencrypted: 96 },
  'sourced-data': { trusted: 2, untrusted: 32, contraindicated: 96 },
} as const satisfies Readonly<Record<VectorClaim, Readonly<Record<string, number>>>>

/** Value of a vector entry that no rule was more precise about. */
export const TIER_VALUE: Readonly<Record<Tier, number>> = {
  affirming: 2,
  none: 0,
  warning: 32,
  contraindicated: 96,
}

/**
 * Tier that a vector entry's value is of: none -1..1, affirming 2..31 and -32..-2, warning 32..95 and -96..-33, else
 * contraindicated.
 * @throws RangeError for a value that is not an integer of 8 bits
 */
export function tierOfValue(value: number): Tier {
  if (!Number.isInteger(value) || value < -128 || value > 127) throw new RangeError(`AR4SI value ${value}`)
  if (value >= -1 && value <= 1) return 'none'
  if (value >= -32 && value <= 31) return 'affirming'
  return value >= -96 && value <= 95 ? 'warning' : 'contraindicated'
}

/** Worse is higher. 'none' stands above affirming: what could not be appraised is not trusted. */
const BADNESS: Readonly<Record<Tier, number>> = { affirming: 0, none: 1, warning: 2, contraindicated: 3 }

/** True when `a` is trusted more than `b`. */
export function isBetterTier(a: Tier, b: Tier): boolean {
  return BADNESS[a] < BADNESS[b]
}

/** @returns the worst tier; 'none' when there is none at all, because missing never means trusted */
export function worstTier(tiers: Iterable<Tier>): Tier {
  let worst: Tier | undefined
  for (const tier of tiers) {
    if (worst === undefined || isBetterTier(worst, tier)) worst = tier
  }
  return worst ?? 'none'
}
