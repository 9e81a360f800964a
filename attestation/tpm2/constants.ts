/*
 * Numbers of TPM 2.0 Part 2 r1.59 under their own names: algorithms (§6.3), curves (§6.4), command codes (§6.5.2),
 * structure tags (§6.9), comparison operators (§6.8), handles (§7.4). Only those that something here reads or writes.
 */

export const TPM_ALG_RSA = 0x0001
export const TPM_ALG_SHA1 = 0x0004
export const TPM_ALG_HMAC = 0x0005
export const TPM_ALG_AES = 0x0006
export const TPM_ALG_KEYEDHASH = 0x0008
export const TPM_ALG_XOR = 0x000a
export const TPM_ALG_SHA256 = 0x000b
export const TPM_ALG_SHA384 = 0x000c
export const TPM_ALG_SHA512 = 0x000d
export const TPM_ALG_NULL = 0x0010
export const TPM_ALG_SM4 = 0x0013
export const TPM_ALG_RSASSA = 0x0014
export const TPM_ALG_RSAES = 0x0015
export const TPM_ALG_RSAPSS = 0x0016
export const TPM_ALG_OAEP = 0x0017
export const TPM_ALG_ECDSA = 0x0018
export const TPM_ALG_ECDH = 0x0019
export const TPM_ALG_ECDAA = 0x001a
export const TPM_ALG_SM2 = 0x001b
export const TPM_ALG_ECSCHNORR = 0x001c
export const TPM_ALG_ECMQV = 0x001d
export const TPM_ALG_KDF1_SP800_56A = 0x0020
export const TPM_ALG_KDF2 = 0x0021
export const TPM_ALG_KDF1_SP800_108 = 0x0022
export const TPM_ALG_ECC = 0x0023
export const TPM_ALG_SYMCIPHER = 0x0025
export const TPM_ALG_CAMELLIA = 0x0026
export const TPM_ALG_CTR = 0x0040
export const TPM_ALG_OFB = 0x0041
export const TPM_ALG_CBC = 0x0042
export const TPM_ALG_CFB = 0x0043
export const TPM_ALG_ECB = 0x0044

export const TPM_ECC_NIST_P256 = 0x0003
export const TPM_ECC_NIST_P384 = 0x0004
export const TPM_ECC_NIST_P521 = 0x0005

/** Every structure that a TPM itself made starts so; a restricted key signs no foreign bytes that do. */
export const TPM_GENERATED_VALUE = 0xff544347

/** Tags of commands and responses: without and with sessions. */
export const TPM_ST_NO_SESSIONS = 0x8001
export const TPM_ST_SESSIONS = 0x8002
export const TPM_ST_ATTEST_NV = 0x8014
export const TPM_ST_ATTEST_CERTIFY = 0x8017
export const TPM_ST_ATTEST_QUOTE = 0x8018
export const TPM_ST_ATTEST_TIME = 0x8019
export const TPM_ST_ATTEST_CREATION = 0x801a

export const TPM_CC_PolicyNV = 0x00000149
export const TPM_CC_PolicySecret = 0x00000151
export const TPM_CC_Quote = 0x00000158
export const TPM_CC_PolicySigned = 0x00000160
export const TPM_CC_FlushContext = 0x00000165
export const TPM_CC_PolicyAuthorize = 0x0000016a
export const TPM_CC_PolicyCommandCode = 0x0000016c
export const TPM_CC_PolicyCounterTimer = 0x0000016d
export const TPM_CC_PolicyOR = 0x00000171
export const TPM_CC_StartAuthSession = 0x00000176
export const TPM_CC_GetCapability = 0x0000017a
export const TPM_CC_PCR_Read = 0x0000017e
export const TPM_CC_PolicyPCR = 0x0000017f
export const TPM_CC_ReadClock = 0x00000181
export const TPM_CC_PCR_Extend = 0x00000182

export const TPM_EO_EQ = 0x0000
export const TPM_EO_NEQ = 0x0001
export const TPM_EO_SIGNED_GT = 0x0002
export const TPM_EO_UNSIGNED_GT = 0x0003
export const TPM_EO_SIGNED_LT = 0x0004
export const TPM_EO_UNSIGNED_LT = 0x0005
export const TPM_EO_SIGNED_GE = 0x0006
export const TPM_EO_UNSIGNED_GE = 0x0007
export const TPM_EO_SIGNED_LE = 0x0008
export const TPM_EO_UNSIGNED_LE = 0x0009
export const TPM_EO_BITSET = 0x000a
export const TPM_EO_BITCLEAR = 0x000b

export const TPM_RH_OWNER = 0x40000001
export const TPM_RH_NULL = 0x40000007
export const TPM_RH_LOCKOUT = 0x4000000a
export const TPM_RH_ENDORSEMENT = 0x4000000b
export const TPM_RH_PLATFORM = 0x4000000c

/** The largest digest a TPM here makes: SHA-512 (TPM2B_DIGEST, §10.4.2). */
export const MAX_DIGEST_BYTES = 64
/** TPM2B_NAME, §10.5.3: algorithm and digest; a handle is shorter. */
export const MAX_NAME_BYTES = 2 + MAX_DIGEST_BYTES
/** TPM2B_DATA, §10.4.3: as large as a TPMT_HA. */
export const MAX_DATA_BYTES = 2 + MAX_DIGEST_BYTES
/** RSA-4096: more than any PC Client TPM makes. */
export const MAX_RSA_BYTES = 512
/** tpm2-tss' own bound on a coordinate; leaves room for leading zeros before a P-521 value of 66 bytes. */
export const MAX_ECC_PARAMETER_BYTES = 128
/** Banks in one selection list: tpm2-tss' TPM2_NUM_PCR_BANKS. */
export const MAX_PCR_BANKS = 16
/** tpm2-tss' TPM2_MAX_NV_BUFFER_SIZE; what one TPM2_NV_Certify can carry. */
export const MAX_NV_BUFFER_BYTES = 2048
/** Above any TPMS_ATTEST: the largest carries MAX_NV_BUFFER_BYTES beside 250 bytes of header. */
export const MAX_ATTEST_BYTES = 2560
/** Above any TPMT_PUBLIC: an RSA-4096 modulus, an authPolicy and 22 bytes of parameters. */
export const MAX_PUBLIC_BYTES = 1024
/** Above any TPMT_SIGNATURE: RSA-4096 and 6 bytes of header. */
export const MAX_SIGNATURE_BYTES = 1024
