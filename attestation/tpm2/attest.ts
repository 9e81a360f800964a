import { type ClockInfo, readClockInfo, readTimeInfo, type TimeInfo, writeClockInfo, writeTimeInfo } from './clock.ts'
import {
  MAX_ATTEST_BYTES,
  MAX_DATA_BYTES,
  MAX_DIGEST_BYTES,
  MAX_NAME_BYTES,
  MAX_NV_BUFFER_BYTES,
  TPM_GENERATED_VALUE,
  TPM_ST_ATTEST_CERTIFY,
  TPM_ST_ATTEST_CREATION,
  TPM_ST_ATTEST_NV,
  TPM_ST_ATTEST_QUOTE,
  TPM_ST_ATTEST_TIME,
} from './constants.ts'
import type { PcrSelection } from './pcr.ts'
import { readPcrSelections, writePcrSelections } from './pcr-selection.ts'
import { limitInput, WireReader, WireWriter } from './wire.ts'

/**
 * What every TPMS_ATTEST begins with, after magic and type. Counters and version are obfuscated for some keys: see
 * verifyTime().
 */
export interface AttestHeader {
  /** Qualified Name of the signing key; empty when TPM_RH_NULL signed. */
  readonly qualifiedSigner: Uint8Array
  /** The challenger's bytes, at most 66. */
  readonly extraData: Uint8Array
  readonly clockInfo: ClockInfo
  /** Vendor-defined: compare, never order. */
  readonly firmwareVersion: bigint
}

/** TPMS_ATTEST with TPMS_QUOTE_INFO as it was sent. Nothing in it is trustworthy until verifyQuote() has seen it. */
export interface ClaimedQuote extends AttestHeader {
  readonly pcrSelections: readonly PcrSelection[]
  readonly pcrDigest: Uint8Array
}

/** TPMS_ATTEST with TPMS_CERTIFY_INFO as it was sent. */
export interface ClaimedCertify extends AttestHeader {
  readonly name: Uint8Array
  readonly qualifiedName: Uint8Array
}

/** TPMS_ATTEST with TPMS_CREATION_INFO as it was sent. */
export interface ClaimedCreation extends AttestHeader {
  readonly objectName: Uint8Array
  readonly creationHash: Uint8Array
}

/** TPMS_ATTEST with TPMS_TIME_ATTEST_INFO as it was sent; its body is never obfuscated. */
export interface ClaimedTime extends AttestHeader {
  readonly time: TimeInfo
  readonly attestedFirmwareVersion: bigint
}

/** TPMS_ATTEST with TPMS_NV_CERTIFY_INFO as it was sent. */
export interface ClaimedNv extends AttestHeader {
  readonly indexName: Uint8Array
  readonly offset: number
  readonly contents: Uint8Array
}

/**
 * TPMS_ATTEST carrying TPMS_QUOTE_INFO, as the AK signed it.
 * Source: TPM 2.0 Part 2 r1.59 §10.12.12 and §10.12.4 (in r1.38, TPMS_ATTEST is §10.12.8).
 *
 * @param bytes the signed octets, big-endian, without a TPM2B size in front
 * @returns the fields as sent
 * @throws WireError
 */
export function decodeQuoteAttest(bytes: Uint8Array): ClaimedQuote {
  return decode(bytes, TPM_ST_ATTEST_QUOTE, (r) => ({
    pcrSelections: readPcrSelections(r),
    pcrDigest: r.tpm2b('pcrDigest', MAX_DIGEST_BYTES),
  }))
}

/** TPMS_ATTEST carrying TPMS_CERTIFY_INFO (§10.12.3), else as decodeQuoteAttest(). */
export function decodeCertifyAttest(bytes: Uint8Array): ClaimedCertify {
  return decode(bytes, TPM_ST_ATTEST_CERTIFY, (r) => ({
    name: r.tpm2b('name', MAX_NAME_BYTES),
    qualifiedName: r.tpm2b('qualifiedName', MAX_NAME_BYTES),
  }))
}

/** TPMS_ATTEST carrying TPMS_CREATION_INFO (§10.12.7), else as decodeQuoteAttest(). */
export function decodeCreationAttest(bytes: Uint8Array): ClaimedCreation {
  return decode(bytes, TPM_ST_ATTEST_CREATION, (r) => ({
    objectName: r.tpm2b('objectName', MAX_NAME_BYTES),
    creationHash: r.tpm2b('creationHash', MAX_DIGEST_BYTES),
  }))
}

/** TPMS_ATTEST carrying TPMS_TIME_ATTEST_INFO (§10.12.2), else as decodeQuoteAttest(). */
export function decodeTimeAttest(bytes: Uint8Array): ClaimedTime {
  return decode(bytes, TPM_ST_ATTEST_TIME, (r) => ({
    time: readTimeInfo(r),
    attestedFirmwareVersion: r.u64('attested.firmwareVersion'),
  }))
}

/** TPMS_ATTEST carrying TPMS_NV_CERTIFY_INFO (§10.12.8), else as decodeQuoteAttest(). */
export function decodeNvAttest(bytes: Uint8Array): ClaimedNv {
  return decode(bytes, TPM_ST_ATTEST_NV, (r) => ({
    indexName: r.tpm2b('indexName', MAX_NAME_BYTES),
    offset: r.u16('offset'),
    contents: r.tpm2b('nvContents', MAX_NV_BUFFER_BYTES),
  }))
}

function decode<Body extends object>(
  bytes: Uint8Array,
  type: number,
  readBody: (r: WireReader) => Body,
): AttestHeader & Body {
  limitInput(bytes, 'TPMS_ATTEST', MAX_ATTEST_BYTES)
  const r = new WireReader(bytes, 'TPMS_ATTEST')
  // Magic and type come before anything else: a genuine AK signs foreign bytes that begin otherwise.
  r.expectU32('magic', TPM_GENERATED_VALUE)
  r.expectU16('type', type)
  const header = {
    // literal order is wire order
    qualifiedSigner: r.tpm2b('qualifiedSigner', MAX_NAME_BYTES),
    extraData: r.tpm2b('extraData', MAX_DATA_BYTES),
    clockInfo: readClockInfo(r),
    firmwareVersion: r.u64('firmwareVersion'),
  }
  const value = Object.assign(header, readBody(r)) // not spread: this runs for every quote
  r.end()
  return value
}

/** The octets that decodeQuoteAttest() reads: for software TPMs in tests and tools. Never to check a signature over. */
export function encodeQuoteAttest(value: ClaimedQuote): Uint8Array {
  return encode(TPM_ST_ATTEST_QUOTE, value, (w) => {
    writePcrSelections(w, value.pcrSelections)
    w.tpm2b(value.pcrDigest)
  })
}

/** The octets that decodeCertifyAttest() reads. */
export function encodeCertifyAttest(value: ClaimedCertify): Uint8Array {
  return encode(TPM_ST_ATTEST_CERTIFY, value, (w) => w.tpm2b(value.name).tpm2b(value.qualifiedName))
}

/** The octets that decodeCreationAttest() reads. */
export function encodeCreationAttest(value: ClaimedCreation): Uint8Array {
  return encode(TPM_ST_ATTEST_CREATION, value, (w) => w.tpm2b(value.objectName).tpm2b(value.creationHash))
}

/** The octets that decodeTimeAttest() reads. */
export function encodeTimeAttest(value: ClaimedTime): Uint8Array {
  return encode(TPM_ST_ATTEST_TIME, value, (w) => {
    writeTimeInfo(w, value.time)
    w.u64(value.attestedFirmwareVersion)
  })
}

/** The octets that decodeNvAttest() reads. */
export function encodeNvAttest(value: ClaimedNv): Uint8Array {
  return encode(TPM_ST_ATTEST_NV, value, (w) => w.tpm2b(value.indexName).u16(value.offset).tpm2b(value.contents))
}

function encode(type: number, header: AttestHeader, writeBody: (w: WireWriter) => void): Uint8Array {
  const w = new WireWriter().u32(TPM_GENERATED_VALUE).u16(type).tpm2b(header.qualifiedSigner).tpm2b(header.extraData)
  writeClockInfo(w, header.clockInfo)
  w.u64(header.firmwareVersion)
  writeBody(w)
  return w.finish()
}
