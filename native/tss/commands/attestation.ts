import {
  encodePcrSelections,
  MAX_ATTEST_BYTES,
  MAX_SIGNATURE_BYTES,
  objectName,
  type PcrSelection,
  TPM_CC_Quote,
  TPMA_SESSION,
  WireReader,
  WireWriter,
} from '../../../attestation/tpm2/index.ts'
import { type TpmConnection, tpmHandleOf } from '../connection.ts'
import { type CallResult, ESYS_TR_RH_ENDORSEMENT, type EsysTr, type SessionUse } from '../esys-call.ts'
import { SCHEME_OF_KEY, sized, unsized } from './wire.ts'

type Auth = SessionUse | EsysTr

/** TPMS_ATTEST and TPMT_SIGNATURE in wire form, without a TPM2B size in front. */
export interface Attestation {
  readonly attest: Uint8Array
  readonly signature: Uint8Array
}

function attestation(got: CallResult, name: string): Attestation {
  return { attest: unsized(got.bytes(name), 'TPM2B_ATTEST'), signature: got.bytes('signature') }
}

/**
 * TPM2_Quote with the key's own scheme, for a key with an empty authorization value.
 *
 * @param key with its TPMT_PUBLIC, of which its Name is computed here: Esys_TR_GetName sets OpenSSL up for it, half a
 * millisecond
 */
export async function quote(
  c: TpmConnection,
  key: { readonly tr: EsysTr; readonly public: Uint8Array },
  extraData: Uint8Array,
  selection: readonly PcrSelection[],
): Promise<Attestation> {
  const parameters = new WireWriter().tpm2b(extraData).bytes(SCHEME_OF_KEY).bytes(encodePcrSelections(selection))
  const got = await c.send({
    name: 'TPM2_Quote',
    code: TPM_CC_Quote,
    handles: [{ handle: await tpmHandleOf(c, key.tr), name: objectName(key.public) }],
    parameters: parameters.finish(),
    attributes: TPMA_SESSION.decrypt | TPMA_SESSION.encrypt,
  })
  const r = new WireReader(got, 'TPM2_Quote')
  return { attest: r.tpm2b('quoted', MAX_ATTEST_BYTES), signature: r.rest('signature', MAX_SIGNATURE_BYTES) }
}

/** TPM2_Certify. `auths` are for the object (ADMIN) and for the signing key. */
export async function certify(
  c: TpmConnection,
  object: EsysTr,
  key: EsysTr,
  extraData: Uint8Array,
  auths: readonly [Auth, Auth],
): Promise<Attestation> {
  const args = { objectHandle: object, signHandle: key, qualifyingData: sized(extraData), inScheme: SCHEME_OF_KEY }
  return attestation(await c.call('Esys_Certify', args, auths), 'certifyInfo')
}

/** TPM2_CertifyCreation with hash and ticket from TPM2_Create. */
export async function certifyCreation(
  c: TpmConnection,
  key: EsysTr,
  object: EsysTr,
  created: { readonly creationHash: Uint8Array; readonly creationTicket: Uint8Array },
  extraData: Uint8Array,
  auth: Auth,
): Promise<Attestation> {
  const got = await c.call(
    'Esys_CertifyCreation',
    {
      signHandle: key,
      objectHandle: object,
      qualifyingData: sized(extraData),
      creationHash: sized(created.creationHash),
      inScheme: SCHEME_OF_KEY,
      creationTicket: created.creationTicket,
    },
    [auth],
  )
  return attestation(got, 'certifyInfo')
}

/** TPM2_GetTime. `auths` are for the endorsement hierarchy and for the signing key. */
export async function getTime(
  c: TpmConnection,
  key: EsysTr,
  extraData: Uint8Array,
  auths: readonly [Auth, Auth],
): Promise<Attestation> {
  const args = { privacyAdminHandle: ESYS_TR_RH_ENDORSEMENT, signHandle: key, qualifyingData: sized(extraData) }
  return attestation(await c.call('Esys_GetTime', { ...args, inScheme: SCHEME_OF_KEY }, auths), 'timeInfo')
}

/** TPM2_GetSessionAuditDigest: signs what an audit session has seen. */
export async function getSessionAuditDigest(
  c: TpmConnection,
  key: EsysTr,
  session: EsysTr,
  extraData: Uint8Array,
  auths: readonly [Auth, Auth],
): Promise<Attestation> {
  const args = { privacyAdminHandle: ESYS_TR_RH_ENDORSEMENT, signHandle: key, sessionHandle: session }
  const got = await c.call(
    'Esys_GetSessionAuditDigest',
    { ...args, qualifyingData: sized(extraData), inScheme: SCHEME_OF_KEY },
    auths,
  )
  return attestation(got, 'auditInfo')
}

/**
 * TPM2_NV_Certify of the whole index. `auths` are for the signing key and for `reader`, the index itself or the owner.
 */
export async function nvCertify(
  c: TpmConnection,
  key: EsysTr,
  index: EsysTr,
  reader: EsysTr,
  sizeBytes: number,
  extraData: Uint8Array,
  auths: readonly [Auth, Auth],
): Promise<Attestation> {
  const args = { signHandle: key, authHandle: reader, nvIndex: index, qualifyingData: sized(extraData) }
  const got = await c.call('Esys_NV_Certify', { ...args, inScheme: SCHEME_OF_KEY, size: sizeBytes, offset: 0 }, auths)
  return attestation(got, 'certifyInfo')
}

/**
 * TPMT_TK_HASHCHECK that claims nothing: for unrestricted keys, or digests of data that does not begin like an
 * attestation.
 */
const NO_TICKET = Uint8Array.of(0x80, 0x24, 0x40, 0x00, 0x00, 0x07, 0x00, 0x00)

/** TPM2_Sign of a digest by an unrestricted key. @returns TPMT_SIGNATURE */
export async function sign(c: TpmConnection, key: EsysTr, digest: Uint8Array, auth: Auth): Promise<Uint8Array> {
  const args = { keyHandle: key, digest: sized(digest), inScheme: SCHEME_OF_KEY, validation: NO_TICKET }
  return (await c.call('Esys_Sign', args, [auth])).bytes('signature')
}

/** TPM2_VerifySignature. @returns TPMT_TK_VERIFIED, as TPM2_PolicyAuthorize wants it */
export async function verifySignature(
  c: TpmConnection,
  key: EsysTr,
  digest: Uint8Array,
  signature: Uint8Array,
): Promise<Uint8Array> {
  const args = { keyHandle: key, digest: sized(digest), signature }
  return (await c.call('Esys_VerifySignature', args)).bytes('validation')
}
