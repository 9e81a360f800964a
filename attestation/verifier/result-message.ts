import { type AppraisalResult, EAR_SUBMOD, earClaims, signEar } from '../appraisal/index.ts'
import type { VerifierMessage } from '../protocol/index.ts'
import type { RegisterChoice } from './evidence.ts'
import type { VerifierService } from './service.ts'

/** What goes with a result beside what was found: from where to go on. */
type Next = Pick<Extract<VerifierMessage, { t: 'result' }>, 'nonce' | 'logOffset' | 'machineLogs'>

/** Findings that an agent is told; the attestation result has its own bound. */
const MAX_TOLD = 256

/**
 * An appraisal result as it goes to the agent, with its signed attestation result.
 *
 * @param of the node, the nonce that its quote answered, and by what it was judged
 */
export async function resultMessage(
  result: AppraisalResult,
  of: { readonly nodeId: string; readonly nonce: Uint8Array; readonly choice: RegisterChoice },
  next: Next,
  { identity, config, build, now }: Pick<VerifierService, 'identity' | 'config' | 'build' | 'now'>,
): Promise<VerifierMessage> {
  const ear = earClaims(result, {
    verifierId: identity.verifierIdHex,
    nodeId: of.nodeId,
    nonce: of.nonce,
    issuedAt: now(),
    validForS: Math.ceil(config.attestation.silentAfterMs / 1000),
    verifier: build,
    policyIds: [policyId(of.choice)],
  })
  return {
    t: 'result',
    tier: result.tier,
    result: await signEar(ear, identity.ticketKey.privateKey),
    findings: result.findings.slice(0, MAX_TOLD).map(({ rule, tier, message }) => ({ rule, tier, message })),
    ...next,
  }
}

function policyId({ policy }: RegisterChoice): string {
  return policy === undefined ? `${EAR_SUBMOD}/1` : `${policy.name}@sha256:${policy.revision}`
}
