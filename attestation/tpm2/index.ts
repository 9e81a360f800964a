export { AK_ERRORS, AkError, type AkErrorCode, type AkExpectation, type VerifiedAk, verifyAkPublic } from './ak.ts'
export { curveFromId, curveId, hashFromId, hashId } from './algorithms.ts'
export {
  type AttestHeader,
  type ClaimedCertify,
  type ClaimedCreation,
  type ClaimedNv,
  type ClaimedQuote,
  type ClaimedTime,
  decodeCertifyAttest,
  decodeCreationAttest,
  decodeNvAttest,
  decodeQuoteAttest,
  decodeTimeAttest,
  encodeCertifyAttest,
  encodeCreationAttest,
  encodeNvAttest,
  encodeQuoteAttest,
  encodeTimeAttest,
} from './attest.ts'
export { ATTEST_ERRORS, AttestError, type AttestErrorCode, QUOTE_ERRORS, type QuoteErrorCode } from './attest-errors.ts'
export { attributeNames, hasAttribute, type ObjectAttribute, objectAttributes, TPMA_OBJECT } from './attributes.ts'
export { type Binding, bindingDigest } from './binding.ts'
export {
  type CertifyCreationInput,
  type CertifyInput,
  type VerifiedCertify,
  type VerifiedCreation,
  verifyCertify,
  verifyCertifyCreation,
} from './certify.ts'
export { type ClockInfo, decodeTimeInfo, encodeTimeInfo, TIME_INFO_OFFSET, type TimeInfo } from './clock.ts'
export {
  type CommandAuthorization,
  decodePlainResponse,
  decodeSessionResponse,
  encodeCommand,
  type NamedHandle,
  type Refusal,
  type ResponseAuthorization,
  type SessionResponse,
  type TpmCommand,
} from './command.ts'
export {
  MAX_ATTEST_BYTES,
  MAX_DATA_BYTES,
  MAX_DIGEST_BYTES,
  MAX_ECC_PARAMETER_BYTES,
  MAX_NAME_BYTES,
  MAX_NV_BUFFER_BYTES,
  MAX_PCR_BANKS,
  MAX_PUBLIC_BYTES,
  MAX_RSA_BYTES,
  MAX_SIGNATURE_BYTES,
  TPM_ALG_AES,
  TPM_ALG_CAMELLIA,
  TPM_ALG_CBC,
  TPM_ALG_CFB,
  TPM_ALG_CTR,
  TPM_ALG_ECB,
  TPM_ALG_ECC,
  TPM_ALG_ECDAA,
  TPM_ALG_ECDH,
  TPM_ALG_ECDSA,
  TPM_ALG_ECMQV,
  TPM_ALG_ECSCHNORR,
  TPM_ALG_HMAC,
  TPM_ALG_KDF1_SP800_56A,
  TPM_ALG_KDF1_SP800_108,
  TPM_ALG_KDF2,
  TPM_ALG_KEYEDHASH,
  TPM_ALG_NULL,
  TPM_ALG_OAEP,
  TPM_ALG_OFB,
  TPM_ALG_RSA,
  TPM_ALG_RSAES,
  TPM_ALG_RSAPSS,
  TPM_ALG_RSASSA,
  TPM_ALG_SHA1,
  TPM_ALG_SHA256,
  TPM_ALG_SHA384,
  TPM_ALG_SHA512,
  TPM_ALG_SM2,
  TPM_ALG_SM4,
  TPM_ALG_SYMCIPHER,
  TPM_ALG_XOR,
  TPM_CC_FlushContext,
  TPM_CC_GetCapability,
  TPM_CC_PCR_Extend,
  TPM_CC_PCR_Read,
  TPM_CC_PolicyAuthorize,
  TPM_CC_PolicyCommandCode,
  TPM_CC_PolicyCounterTimer,
  TPM_CC_PolicyNV,
  TPM_CC_PolicyOR,
  TPM_CC_PolicyPCR,
  TPM_CC_PolicySecret,
  TPM_CC_PolicySigned,
  TPM_CC_Quote,
  TPM_CC_ReadClock,
  TPM_CC_StartAuthSession,
  TPM_ECC_NIST_P256,
  TPM_ECC_NIST_P384,
  TPM_ECC_NIST_P521,
  TPM_EO_BITCLEAR,
  TPM_EO_BITSET,
  TPM_EO_EQ,
  TPM_EO_NEQ,
  TPM_EO_SIGNED_GE,
  TPM_EO_SIGNED_GT,
  TPM_EO_SIGNED_LE,
  TPM_EO_SIGNED_LT,
  TPM_EO_UNSIGNED_GE,
  TPM_EO_UNSIGNED_GT,
  TPM_EO_UNSIGNED_LE,
  TPM_EO_UNSIGNED_LT,
  TPM_GENERATED_VALUE,
  TPM_RH_ENDORSEMENT,
  TPM_RH_LOCKOUT,
  TPM_RH_NULL,
  TPM_RH_OWNER,
  TPM_RH_PLATFORM,
  TPM_ST_ATTEST_CERTIFY,
  TPM_ST_ATTEST_CREATION,
  TPM_ST_ATTEST_NV,
  TPM_ST_ATTEST_QUOTE,
  TPM_ST_ATTEST_TIME,
  TPM_ST_NO_SESSIONS,
  TPM_ST_SESSIONS,
} from './constants.ts'
export { type CreationData, decodeCreationData, encodeCreationData, unwrapCreationData } from './creation.ts'
export { CREDENTIAL_ERRORS, type Credential, CredentialError, makeCredential, openCredential } from './credential.ts'
export {
  decodeEccPoint,
  decodeEncryptedSecret,
  decodeIdObject,
  encodeEccPoint,
  encodeEncryptedSecret,
  encodeIdObject,
  type IdObject,
} from './credential-wire.ts'
export { decodeDigestList, encodeDigestList } from './digest-list.ts'
export { kdfa, kdfe } from './kdf.ts'
export { publicKeyOf } from './key.ts'
export { handleName, nameHash, nodeIdOf, nvName, objectName, type QualifiedParent, qualifiedName } from './name.ts'
export {
  decodeNvPublic,
  decodeSizedNvPublic,
  encodeNvPublic,
  encodeSizedNvPublic,
  type NvPublic,
  TPMA_NV,
} from './nv.ts'
export { type NvCertifyInput, type VerifiedNv, verifyNvCertify } from './nv-certify.ts'
export { type Digest, makeDigest, type PcrIndex, type PcrSelection, type PcrValue, pcrIndex } from './pcr.ts'
export { pcrDigest } from './pcr-digest.ts'
export {
  decodePcrAllocation,
  decodePcrSelections,
  encodePcrSelections,
  formatPcrSelections,
  type PcrAllocation,
  readPcrSelections,
} from './pcr-selection.ts'
export { type PolicyDigest, policyAuthorizeMessage, policySignedMessage, startPolicy } from './policy.ts'
export {
  decodePublic,
  decodeSizedPublic,
  type EccPublic,
  encodePublic,
  encodeSizedPublic,
  type KeyedHashPublic,
  type RsaPublic,
  type SymCipherPublic,
  type TpmPublic,
} from './public.ts'
export {
  provenPcr,
  type QuoteFinding,
  type QuoteInput,
  type VerifiedQuote,
  verifyQuote,
  verifyQuoteInPool,
} from './quote.ts'
export {
  type EccScheme,
  encodeSymDef,
  type KdfId,
  type KdfScheme,
  type KeyedHashScheme,
  type RsaScheme,
  type SymCipher,
  type SymDef,
} from './schemes.ts'
export { openSecret, type SecretLabel, type SharedSecret, shareSecret } from './secret-sharing.ts'
export {
  type HmacSession,
  openResponse,
  openStartedSession,
  SESSION_ERRORS,
  type SealedCommand,
  SessionError,
  sealCommand,
  startSessionCommand,
  TPMA_SESSION,
} from './session.ts'
export { decodeSignature, encodeSignature, type TpmSignature } from './signature.ts'
export type { ProvenHeader, SignedAttest } from './signed-attest.ts'
export {
  AK_TEMPLATE_P256,
  AK_TEMPLATE_RSA2048,
  EK_CHAIN_INDICES,
  EK_POLICY_A_SHA256,
  EK_POLICY_B_SHA256,
  EK_POLICY_B_SHA384,
  EK_POLICY_B_SHA512,
  EK_TEMPLATES,
  type EkTemplate,
  SRK_TEMPLATE_P256,
  SRK_TEMPLATE_RSA2048,
} from './templates.ts'
export { type CounterAddend, clearCounters, type VerifiedTime, verifyTime } from './time.ts'
export { limitInput, WIRE_ERRORS, WireError, type WireErrorCode, WireReader, WireWriter } from './wire.ts'
