import { fromUtf8 } from '../base/index.ts'
import {
  type AaelLog,
  type CelLog,
  type CelNumbering,
  celEncoding,
  decodeCelAny,
  EventLogError,
  type FirmwareLog,
  type ImaList,
  type MeasureLog,
  readAael,
  readFirmwareLog,
  readImaList,
  readMeasureLog,
} from '../event-log/index.ts'
import { decodeEvidenceFile, type EvidenceFile, looksLikeEvidenceFile } from '../evidence-file/index.ts'
import { EvidenceError } from './errors.ts'

/** A file that somebody wants to look at: evidence with its quote, or one log alone. */
export type OpenedEvidence = { readonly bytes: Uint8Array } & (
  | { readonly kind: 'evidence'; readonly file: EvidenceFile }
  | { readonly kind: 'firmware'; readonly log: FirmwareLog }
  | { readonly kind: 'ima'; readonly list: ImaList }
  | { readonly kind: 'systemd'; readonly log: MeasureLog }
  | { readonly kind: 'cel'; readonly log: CelLog; readonly numbering: CelNumbering }
  | { readonly kind: 'aael'; readonly log: AaelLog }
)
export type EvidenceKind = OpenedEvidence['kind']

/**
 * Reads a file as what its content shows it to be; names are not asked. It is read whole or not at all.
 *
 * @throws EvidenceError for what is none of these; EvidenceFileError, EventLogError of the reader whose format it is
 */
export function openEvidence(bytes: Uint8Array): OpenedEvidence {
  if (bytes.length === 0) throw new EvidenceError('EVIDENCE_EMPTY', 'the file is empty')
  const kind = kindOf(bytes)
  switch (kind) {
    case 'evidence':
      return { kind, bytes, file: decodeEvidenceFile(bytes) }
    case 'firmware':
      return { kind, bytes, log: firmwareLog(bytes) }
    case 'ima':
      return { kind, bytes, list: readImaList(bytes) }
    case 'systemd':
      return { kind, bytes, log: readMeasureLog(bytes) }
    case 'cel':
      return { kind, bytes, ...celLog(bytes) }
    case 'aael':
      return { kind, bytes, log: readAael(bytes) }
    case undefined:
      throw new EvidenceError(
        'EVIDENCE_UNKNOWN',
        'this is no evidence file, no attestation result (EAR, EAT), and no event log that is known: TCG firmware log, ' +
          'CCEL, IMA list (binary or ASCII), tpm2-measure.log, CEL (TLV, JSON, CBOR), AAEL',
      )
  }
}

const RECORD_SEPARATOR = 0x1e
/** Where the data of a first firmware event lie, which is in the TPM 1.2 form. */
const FIRST_DATA = 32
const SPEC_ID = 'Spec ID Event'
const IMA_LINE = /^ ?[0-9]{1,2} [0-9a-f]{40,128} [!-~]+ /
/** Sizes of the template digests that a list can have; the length of the template's name stands behind. */
const TEMPLATE_DIGESTS = [20, 32, 48, 64] as const
const IMA_TEMPLATE = /^(ima(-[a-z0-9]+)?|evm-sig|[a-z0-9-]+(\|[a-z0-9-]+)+)$/

/** What only one of the formats begins with; of nothing else is more read than its beginning. */
function kindOf(bytes: Uint8Array): EvidenceKind | undefined {
  if (looksLikeEvidenceFile(bytes)) return 'evidence'
  if (text(bytes, FIRST_DATA, SPEC_ID.length) === SPEC_ID) return 'firmware'
  if (text(bytes, 0, 5) === 'INIT/') return 'aael'
  if (IMA_LINE.test(text(bytes, 0, 256)) || isBinaryImaList(bytes)) return 'ima'
  if (bytes[0] === RECORD_SEPARATOR) return isMeasureLog(bytes) ? 'systemd' : 'cel'
  if (isCelTlv(bytes) || (bytes[0] !== 0 && celEncoding(bytes) !== undefined)) return 'cel'
  return isFirmwareLog(bytes) ? 'firmware' : undefined
}

function text(bytes: Uint8Array, from: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(from, from + length))
}

/** `PCR, template digest, length of the name, name`, little-endian. */
function isBinaryImaList(bytes: Uint8Array): boolean {
  const view = viewOf(bytes)
  return TEMPLATE_DIGESTS.some((size) => {
    const at = 4 + size
    if (bytes.length < at + 4 || view.getUint32(0, true) > 23) return false
    const length = view.getUint32(at, true)
    return length <= 128 && IMA_TEMPLATE.test(text(bytes, at + 4, length))
  })
}

/** PCR, NV index, and the measurement registers of Google's confidential VMs. */
const CEL_INDEX_TYPES: ReadonlySet<number> = new Set([1, 2, 108])

/** A record number of 1 to 8 bytes, then a register. */
function isCelTlv(bytes: Uint8Array): boolean {
  if (bytes[0] !== 0 || bytes.length < 7) return false
  const length = viewOf(bytes).getUint32(1)
  const next = bytes[5 + length]
  return length >= 1 && length <= 8 && next !== undefined && CEL_INDEX_TYPES.has(next)
}

/** systemd's records say so; other CEL-JSON can come as such a sequence too. */
function isMeasureLog(bytes: Uint8Array): boolean {
  const next = bytes.indexOf(RECORD_SEPARATOR, 1)
  try {
    const record: unknown = JSON.parse(fromUtf8(bytes.subarray(1, next < 0 ? undefined : next)))
    return (
      typeof record === 'object' && record !== null && 'content_type' in record && record.content_type === 'systemd'
    )
  } catch {
    return next < 0 // one record that is cut: whose it is nobody can say, and systemd's reader knows what to do
  }
}

/** A log of the TPM 1.2 form has no mark of its own, so its reader is asked. */
function isFirmwareLog(bytes: Uint8Array): boolean {
  if (bytes.length < FIRST_DATA || viewOf(bytes).getUint32(0, true) > 23) return false
  if (bytes.subarray(0, FIRST_DATA).every((byte) => byte === 0)) return false // an empty file of some size
  try {
    readFirmwareLog(bytes)
    return true
  } catch (err) {
    if (err instanceof EventLogError) return false
    throw err
  }
}

function firmwareLog(bytes: Uint8Array): FirmwareLog {
  const log = readFirmwareLog(bytes)
  return looksLikeCcel(log) ? readFirmwareLog(bytes, { kind: 'ccel' }) : log
}

/** A CCEL counts its registers from 1 to 4 and knows SHA-384 alone; nothing else in it says that it is one. */
export function looksLikeCcel(log: FirmwareLog): boolean {
  const sha384 = log.format === 'crypto-agile' && log.algorithms.every((algorithm) => algorithm.bank === 'sha384')
  return sha384 && log.events.every((event) => event.register <= 4)
}

/** Numbers run through the whole log, or, with some writers, through each register. */
function celLog(bytes: Uint8Array): { log: CelLog; numbering: CelNumbering } {
  try {
    return { log: decodeCelAny(bytes), numbering: 'log' }
  } catch (err) {
    if (!(err instanceof EventLogError) || err.code !== 'EVENT_LOG_BAD_RECNUM') throw err
    try {
      return { log: decodeCelAny(bytes, { numbering: 'register' }), numbering: 'register' }
    } catch {
      throw err
    }
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}

/** What was found, for people. */
export function describeKind(opened: OpenedEvidence): string {
  switch (opened.kind) {
    case 'evidence':
      return 'evidence file'
    case 'firmware':
      return opened.log.registers === 'rtmr'
        ? 'TDX firmware log (CCEL)'
        : `TCG firmware log (${opened.log.format === 'sha1' ? 'TPM 1.2 form, SHA-1' : 'crypto-agile'})`
    case 'ima':
      return `IMA list (${opened.list.form === 'ascii' ? 'ASCII' : 'binary'})`
    case 'systemd':
      return "systemd's tpm2-measure.log"
    case 'cel':
      return `canonical event log (CEL-${opened.log.encoding.toUpperCase()}${opened.numbering === 'register' ? ', numbered by register' : ''})`
    case 'aael':
      return 'event log of an attestation agent (AAEL)'
  }
}
