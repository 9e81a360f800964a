import { CodedError } from '../base/index.ts'

/** Why a signed TPMS_ATTEST is refused, whatever it carries, one sentence each. */
const COMMON = {
  ATTEST_TOO_LARGE: 'The attest structure or its signature is larger than any TPM makes one.',
  ATTEST_MALFORMED: 'The bytes are no TPMS_ATTEST of that type; the cause says where.',
  ATTEST_TRAILING_BYTES: 'Bytes are left over after the attest structure or the signature.',
  ATTEST_MAGIC: 'The magic is not TPM_GENERATED_VALUE: no TPM made this structure, whoever signed it.',
  ATTEST_TYPE: 'It is an attest structure, but of another type than the one asked for.',
  ATTEST_SIGNATURE_MALFORMED: 'The bytes are no TPMT_SIGNATURE; the cause says where.',
  ATTEST_SCHEME_UNKNOWN: 'The signature scheme is none of RSASSA, RSAPSS and ECDSA.',
  ATTEST_HASH_UNKNOWN: 'The signature is over a hash that is not known here.',
  ATTEST_HASH_WEAK: 'The signature is over a SHA-1 digest.',
  ATTEST_SCHEME_MISMATCH: "The signature's scheme is not the one in the key's public area.",
  ATTEST_HASH_MISMATCH: "The signature's hash is not the one in the key's public area.",
  ATTEST_SIGNATURE_INVALID: 'The signature is not by this key over these bytes.',
  ATTEST_EXTRA_DATA_EMPTY: 'extraData is empty: the structure answers no challenge and could be of any age.',
  ATTEST_EXTRA_DATA_LENGTH: 'extraData has another length than the challenge, so it is padded, cut or of another use.',
  ATTEST_EXTRA_DATA_MISMATCH: 'extraData is not the challenge.',
  ATTEST_SIGNER_UNQUALIFIED:
    'qualifiedSigner is no qualified Name: empty, of another form, or the bare Name of the key.',
  ATTEST_SIGNER_MISMATCH: 'qualifiedSigner is not this key under the parent it should have.',
} as const satisfies Record<string, string>

/** Why a quote is refused, beyond what holds for any attest structure. */
const QUOTE = {
  QUOTE_SELECTION_FORM: 'A selection has a sizeofSelect other than 3, or 4 with an empty last byte.',
  QUOTE_SELECTION_EMPTY:
    'Nothing is selected, or a bank is listed without a register, as for one that is not allocated.',
  QUOTE_SELECTION_COUNT: 'The number of selections is not the number asked for.',
  QUOTE_SELECTION_BANK: 'A bank was quoted that was not asked for.',
  QUOTE_SELECTION_ORDER: 'The banks are those asked for, in another order.',
  QUOTE_SELECTION_BITMAP: 'Other registers of a bank were quoted than were asked for.',
  QUOTE_BANK_UNKNOWN: 'A bank of a hash was quoted that is not known here.',
  QUOTE_BANK_WEAK: 'Only SHA-1 registers stand behind what is to be read from the quote.',
  QUOTE_PCR_NOT_SELECTED: 'A register that the policy reads is not in the quote.',
  QUOTE_PCR_RESETTABLE: 'The policy reads PCR 16 or 23, which anybody on the machine can reset.',
  QUOTE_PCR_DRTM: 'The policy reads one of PCR 17 to 22, which a dynamic launch resets.',
  QUOTE_PCR_VALUE_MISSING: 'A quoted register comes without its value.',
  QUOTE_PCR_VALUE_DUPLICATE: 'A register comes with two values.',
  QUOTE_PCR_VALUE_UNSELECTED: 'A value is given for a register that was not quoted, so nothing proves it.',
  QUOTE_PCR_VALUE_SIZE: "A value has another size than its bank's digests.",
  QUOTE_PCR_DIGEST_MISMATCH: 'The values are not those that the TPM hashed.',
} as const satisfies Record<string, string>

/** Why another kind of attest structure is refused, beyond what holds for any. */
const OTHER = {
  CERTIFY_KEY_MALFORMED: 'The certified public area is no TPMT_PUBLIC.',
  CERTIFY_NAME_MISMATCH: 'The certified Name is not that of the public area.',
  CERTIFY_QUALIFIED_NAME_MISMATCH: 'The certified key is not under the parent it should have.',
  CERTIFY_NOT_FIXED_TPM: 'The certified key can leave its TPM.',
  CERTIFY_NOT_FIXED_PARENT: 'The certified key can be duplicated to another parent.',
  CERTIFY_NOT_TPM_GENERATED: 'Somebody outside the TPM chose the certified private key.',
  CERTIFY_USE: 'The certified key is neither restricted nor for signing only.',
  CREATION_DATA_MALFORMED: 'The creation data is no TPMS_CREATION_DATA.',
  CREATION_HASH_MISMATCH: 'creationHash is not over this creation data.',
  CREATION_PCR_MISMATCH: 'The object was not made in the expected state of the registers.',
  NV_NAME_MISMATCH: 'The certified index is not the expected one: other attributes, policy or size.',
  NV_NOT_WRITTEN: 'The expected index is one that was never written.',
  NV_PARTIAL: 'Not the whole of the index was certified.',
} as const satisfies Record<string, string>

/** Every code, once. */
export const ATTEST_ERRORS = { ...COMMON, ...QUOTE, ...OTHER } as const

/** What verifyQuote() may throw. */
export const QUOTE_ERRORS = { ...COMMON, ...QUOTE } as const

export type AttestErrorCode = keyof typeof ATTEST_ERRORS
export type QuoteErrorCode = keyof typeof QUOTE_ERRORS

/** A signed structure that proves nothing; from verifyQuote() the code is a QuoteErrorCode. */
export class AttestError extends CodedError<AttestErrorCode> {}
