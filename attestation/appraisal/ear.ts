import { base64url, type CryptoKey, type KeyObject } from 'jose'
import { CompactSign } from 'jose/jws/compact/sign'
import { utf8 } from '../base/index.ts'
import type { Tier, TrustworthinessVector } from '../results/index.ts'
import type { AppraisalResult } from './result.ts'

/** Profile of draft-ietf-rats-ear-03, whose claim names have underscores. */
export const EAR_PROFILE = 'tag:ietf.org,2026:rats/ear#03'
/** Media type application/eat+jwt (RFC 9782). */
export const EAR_TYPE = 'eat+jwt'
/** Name of the submodule that every result of this verifier has. */
export const EAR_SUBMOD = 'holdfast-node'

/** Claims of an attestation result as a JWT. Source: draft-ietf-rats-ear-03 §3, §4. */
export interface EarClaims {
  readonly eat_profile: typeof EAR_PROFILE
  /** Seconds since 1970, as exp. */
  readonly iat: number
  readonly exp: number
  readonly iss: string
  /** Node ID. */
  readonly sub: string
  /** base64url of the quote's nonce. */
  readonly eat_nonce: string
  readonly ear_verifier_id: { readonly developer: string; readonly build: string }
  readonly submods: {
    readonly [EAR_SUBMOD]: {
      readonly ear_status: Tier
      readonly ear_trustworthiness_vector: TrustworthinessVector
      readonly ear_appraisal_policy_ids: readonly string[]
    }
  }
}

export interface EarContext {
  /** SHA-256 of the SPKI of the signing key, hex. */
  readonly verifierId: string
  readonly nodeId: string
  readonly nonce: Uint8Array
  readonly issuedAt: Date
  /** How long the result may be relied on, in whole seconds: until the next quote is due. */
  readonly validForS: number
  readonly verifier: { readonly developer: string; readonly build: string }
  /** Revisions of the appraisal policies that were applied. */
  readonly policyIds: readonly string[]
}

/** @throws RangeError for a nonce that EAT cannot carry (RFC 9711 §4.1: 8 to 88 characters of text) */
export function earClaims(result: AppraisalResult, context: EarContext): EarClaims {
  const eat_nonce = base64url.encode(context.nonce)
  if (eat_nonce.length < 8 || eat_nonce.length > 88) throw new RangeError(`a nonce of ${context.nonce.length} bytes`)
  const iat = Math.floor(context.issuedAt.getTime() / 1000)
  return {
    eat_profile: EAR_PROFILE,
    iat,
    exp: iat + context.validForS,
    iss: context.verifierId,
    sub: context.nodeId,
    eat_nonce,
    ear_verifier_id: context.verifier,
    submods: {
      [EAR_SUBMOD]: {
        ear_status: result.tier,
        ear_trustworthiness_vector: result.vector,
        ear_appraisal_policy_ids: context.policyIds,
      },
    },
  }
}

/** @param key private P-256 key that `claims.iss` names */
export function signEar(claims: EarClaims, key: CryptoKey | KeyObject): Promise<string> {
  return new CompactSign(utf8(JSON.stringify(claims)))
    .setProtectedHeader({ alg: 'ES256', typ: EAR_TYPE, kid: claims.iss })
    .sign(key)
}
