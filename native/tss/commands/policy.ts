import { encodeDigestList, encodePcrSelections, type PcrSelection } from '../../../attestation/tpm2/index.ts'
import type { TpmConnection } from '../connection.ts'
import type { EsysTr, SessionUse } from '../esys-call.ts'
import { EMPTY_2B, sized, unsized } from './wire.ts'

type Auth = SessionUse | EsysTr

/** TPM2_PolicySecret: the authorization of `object` satisfies the policy. No expiration, no ticket. */
export async function policySecret(c: TpmConnection, policy: SessionUse, object: EsysTr, auth: Auth): Promise<void> {
  const args = { authHandle: object, policySession: policy.tr, nonceTPM: EMPTY_2B, cpHashA: EMPTY_2B }
  await c.call('Esys_PolicySecret', { ...args, policyRef: EMPTY_2B, expiration: 0 }, [auth])
}

/** Nonce that the TPM gave the session, which TPM2_PolicySigned's signature covers. */
export async function policyNonce(c: TpmConnection, policy: SessionUse): Promise<Uint8Array> {
  const got = await c.call('Esys_TRSess_GetNonceTPM', { session: policy.tr })
  return unsized(got.bytes('nonceTPM'), 'TPM2B_NONCE')
}

/** TPM2_PolicySigned with a TPMT_SIGNATURE of `key` over nonce, expiration and policyRef. */
export async function policySigned(
  c: TpmConnection,
  policy: SessionUse,
  key: EsysTr,
  signed: {
    readonly nonce: Uint8Array
    readonly policyRef: Uint8Array
    readonly expiration: number
    readonly signature: Uint8Array
  },
): Promise<void> {
  await c.call('Esys_PolicySigned', {
    authObject: key,
    policySession: policy.tr,
    nonceTPM: sized(signed.nonce),
    cpHashA: EMPTY_2B,
    policyRef: sized(signed.policyRef),
    expiration: signed.expiration,
    auth: signed.signature,
  })
}

/** TPM2_PolicyAuthorize with the ticket of TPM2_VerifySignature. */
export async function policyAuthorize(
  c: TpmConnection,
  policy: SessionUse,
  approved: {
    readonly policy: Uint8Array
    readonly policyRef: Uint8Array
    readonly keyName: Uint8Array
    readonly ticket: Uint8Array
  },
): Promise<void> {
  await c.call('Esys_PolicyAuthorize', {
    policySession: policy.tr,
    approvedPolicy: sized(approved.policy),
    policyRef: sized(approved.policyRef),
    keySign: sized(approved.keyName),
    checkTicket: approved.ticket,
  })
}

/** TPM2_PolicyOR over two to eight branches, of which the session has reached one. */
export async function policyOr(c: TpmConnection, policy: SessionUse, branches: readonly Uint8Array[]): Promise<void> {
  await c.call('Esys_PolicyOR', { policySession: policy.tr, pHashList: encodeDigestList(branches) })
}

/** TPM2_PolicyPCR; an absent digest takes the registers as they are. */
export async function policyPcr(
  c: TpmConnection,
  policy: SessionUse,
  selection: readonly PcrSelection[],
  digest: Uint8Array = new Uint8Array(0),
): Promise<void> {
  const args = { policySession: policy.tr, pcrDigest: sized(digest), pcrs: encodePcrSelections(selection) }
  await c.call('Esys_PolicyPCR', args)
}

/** TPM2_PolicyNV: compares the index's content with `operand` by a TPM_EO operation. */
export async function policyNv(
  c: TpmConnection,
  policy: SessionUse,
  index: EsysTr,
  reader: { readonly tr: EsysTr; readonly auth: Auth },
  compare: { readonly operand: Uint8Array; readonly offset: number; readonly operation: number },
): Promise<void> {
  const args = { authHandle: reader.tr, nvIndex: index, policySession: policy.tr, operandB: sized(compare.operand) }
  await c.call('Esys_PolicyNV', { ...args, offset: compare.offset, operation: compare.operation }, [reader.auth])
}

/** TPM2_PolicyCounterTimer: compares bytes of TPMS_TIME_INFO from `offset` with `operand`. */
export async function policyCounterTimer(
  c: TpmConnection,
  policy: SessionUse,
  compare: { readonly operand: Uint8Array; readonly offset: number; readonly operation: number },
): Promise<void> {
  const args = { policySession: policy.tr, operandB: sized(compare.operand) }
  await c.call('Esys_PolicyCounterTimer', { ...args, offset: compare.offset, operation: compare.operation })
}

/** TPM2_PolicyCommandCode: only this command (TPM_CC) may use the session. */
export async function policyCommandCode(c: TpmConnection, policy: SessionUse, commandCode: number): Promise<void> {
  await c.call('Esys_PolicyCommandCode', { policySession: policy.tr, code: commandCode })
}

/** TPM2_PolicyAuthValue: the object's authorization value is needed as well. */
export async function policyAuthValue(c: TpmConnection, policy: SessionUse): Promise<void> {
  await c.call('Esys_PolicyAuthValue', { policySession: policy.tr })
}

/** TPM2_PolicyGetDigest: what the session has satisfied so far. */
export async function policyDigest(c: TpmConnection, policy: SessionUse): Promise<Uint8Array> {
  const got = await c.call('Esys_PolicyGetDigest', { policySession: policy.tr })
  return unsized(got.bytes('policyDigest'), 'TPM2B_DIGEST')
}
