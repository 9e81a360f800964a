import { type Brand, equalBytes, toHex } from '../base/index.ts'
import { decodeNvAttest } from './attest.ts'
import { AttestError } from './attest-errors.ts'
import { nvName } from './name.ts'
import { type NvPublic, TPMA_NV } from './nv.ts'
import { type ProvenHeader, provenHeader, type SignedAttest, verifyAttest } from './signed-attest.ts'

/** TPM2_NV_Certify by the AK over a whole index. */
export interface NvCertifyInput extends SignedAttest {
  /** The index as it must be: attributes, with WRITTEN, and policy are part of its Name. */
  readonly nvPublic: NvPublic
}

/** Contents of an index of that TPM. Only verifyNvCertify() makes one. */
export type VerifiedNv = Brand<
  ProvenHeader & { readonly nvPublic: NvPublic; readonly contents: Uint8Array },
  'VerifiedNv'
>

/**
 * Checks certified contents of an NV index, e.g. an extend index that serves as a register.
 *
 * @throws AttestError
 */
export function verifyNvCertify(input: NvCertifyInput): VerifiedNv {
  const { nvPublic } = input
  const claimed = verifyAttest(input, decodeNvAttest)
  const index = `NV index 0x${nvPublic.index.toString(16)}`
  const wanted = nvName(nvPublic)
  if (!equalBytes(claimed.indexName, wanted)) {
    throw new AttestError('NV_NAME_MISMATCH', `${index}: Name is ${toHex(claimed.indexName)}, wanted ${toHex(wanted)}`)
  }
  if ((nvPublic.attributes & TPMA_NV.WRITTEN) === 0) {
    throw new AttestError('NV_NOT_WRITTEN', `${index}: expected without WRITTEN, so its contents are nobody's`)
  }
  if (claimed.offset !== 0 || claimed.contents.length !== nvPublic.dataSizeBytes) {
    const got = `${claimed.contents.length} bytes at ${claimed.offset}`
    throw new AttestError('NV_PARTIAL', `${index}: ${got} were certified, wanted all ${nvPublic.dataSizeBytes}`)
  }
  const value = { ...provenHeader(claimed, input.ak), nvPublic, contents: claimed.contents }
  return value as VerifiedNv // the checks are the constructor
}
