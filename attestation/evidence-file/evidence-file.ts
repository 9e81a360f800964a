import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { messageOf } from '../base/index.ts'
import { decodeCbor, encodeCbor, schemaProblems } from '../protocol/index.ts'
import { EvidenceFileError } from './errors.ts'

/** An IMA list of a million entries has about 150 MB; nobody reads more than this at once. */
export const MAX_EVIDENCE_FILE_BYTES = 256 << 20

const closed = { additionalProperties: false }
const bytes = (min: number, max: number) => Type.Uint8Array({ minByteLength: min, maxByteLength: max })
const log = Type.Optional(bytes(0, MAX_EVIDENCE_FILE_BYTES))
const U32 = Type.Integer({ minimum: 0, maximum: 0xffffffff })
const Pcr = Type.Integer({ minimum: 0, maximum: 23 })
const Bank = Type.Union([Type.Literal('sha1'), Type.Literal('sha256'), Type.Literal('sha384'), Type.Literal('sha512')])

const EvidenceFileSchema = Type.Object(
  {
    t: Type.Literal('holdfast-evidence'),
    v: Type.Literal(1),
    /** RFC 3339, by the node's clock: for people, not for decisions. */
    collectedAt: Type.String({ maxLength: 40 }),
    hostname: Type.String({ maxLength: 253 }),
    collector: Type.String({ maxLength: 64 }),
    /** TPMT_PUBLIC; DER certificates. */
    ekPublic: bytes(1, 2048),
    ekCertificate: Type.Optional(bytes(1, 8192)),
    ekChain: Type.Array(bytes(1, 8192), { maxItems: 8 }),
    platformCertificate: Type.Optional(bytes(1, 8192)),
    akPublic: bytes(1, 2048),
    /**
     * TPMS_ATTEST and TPMT_SIGNATURE of the quote. Its extraData is collectionBinding(nonce), or, of other tools,
     * `nonce` itself.
     */
    attest: bytes(1, 4096),
    signature: bytes(1, 2048),
    nonce: bytes(0, 64),
    /** The registers quoted, in the order of the selection. */
    pcrs: Type.Array(Type.Object({ bank: Bank, pcr: Pcr, value: bytes(20, 64) }, closed), {
      minItems: 1,
      maxItems: 96,
    }),
    /** As they were read after the quote; a log that the machine does not have is left out. */
    logs: Type.Object(
      {
        firmware: log,
        systemd: log,
        ima: log,
        launch: Type.Optional(
          Type.Object(
            { pcr: Pcr, resetCount: U32, restartCount: U32, bytes: bytes(0, MAX_EVIDENCE_FILE_BYTES) },
            closed,
          ),
        ),
      },
      closed,
    ),
  },
  closed,
)
/** What `holdfast evidence collect` writes: all that is needed to judge one machine offline, believed in nothing. */
export type EvidenceFile = Static<typeof EvidenceFileSchema>

/** Deterministic CBOR of the file. */
export function encodeEvidenceFile(file: EvidenceFile): Uint8Array {
  return encodeCbor(file)
}

/**
 * Whether bytes claim to be an evidence file: its first member, in deterministic CBOR, is `t`. Other files are raw
 * logs.
 */
export function looksLikeEvidenceFile(bytes: Uint8Array): boolean {
  return bytes.length > 3 && ((bytes[0] ?? 0) & 0xe0) === 0xa0 && bytes[1] === 0x61 && bytes[2] === 0x74
}

/** @throws EvidenceFileError */
export function decodeEvidenceFile(bytes: Uint8Array): EvidenceFile {
  if (bytes.length > MAX_EVIDENCE_FILE_BYTES) {
    const why = `${bytes.length} bytes, an evidence file has at most ${MAX_EVIDENCE_FILE_BYTES}`
    throw new EvidenceFileError('EVIDENCE_FILE_TOO_LARGE', why)
  }
  let value: unknown
  try {
    value = decodeCbor(bytes)
  } catch (cause) {
    throw new EvidenceFileError('EVIDENCE_FILE_INVALID', `not an evidence file: ${messageOf(cause)}`, { cause })
  }
  if (!Value.Check(EvidenceFileSchema, value)) {
    const why = schemaProblems(EvidenceFileSchema, value)
    throw new EvidenceFileError('EVIDENCE_FILE_INVALID', `not an evidence file of version 1: ${why}`)
  }
  return value
}
