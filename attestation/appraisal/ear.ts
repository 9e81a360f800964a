import { EAR_PROFILE, EAR_PROFILE_VERAISON, type Ear, type EarDialect, toBase64url } from '../results/index.ts'
import type { AppraisalResult } from './result.ts'

/** Name of the submodule that every result of this verifier has. */
export const EAR_SUBMOD = 'holdfast-node'

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
  /** 'draft-03' unless a relying party asks for the older names. */
  readonly dialect?: EarDialect
}

/**
 * An appraisal's result as an EAR, with what each rule said.
 * @throws RangeError for a nonce that EAT cannot carry (RFC 9711 §4.1: 8 to 88 characters of text)
 */
export function earClaims(result: AppraisalResult, context: EarContext): Ear {
  const nonce = toBase64url(context.nonce)
  if (nonce.length < 8 || nonce.length > 88) throw new RangeError(`a nonce of ${context.nonce.length} bytes`)
  const issuedAt = Math.floor(context.issuedAt.getTime() / 1000)
  const dialect = context.dialect ?? 'draft-03'
  return {
    dialect,
    profile: dialect === 'draft-03' ? EAR_PROFILE : EAR_PROFILE_VERAISON,
    issuedAt,
    expiresAt: issuedAt + context.validForS,
    issuer: context.verifierId,
    subject: context.nodeId,
    nonces: [nonce],
    verifier: context.verifier,
    submods: new Map([
      [
        EAR_SUBMOD,
        {
          status: result.tier,
          vector: result.vector,
          policyIds: context.policyIds,
          nonces: [],
          findings: result.findings,
        },
      ],
    ]),
  }
}
