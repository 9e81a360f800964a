import { type Static, Type } from '@sinclair/typebox'
import { MAX_LAUNCH_REQUEST_BYTES } from './launch-request-error.ts'

/** WebSocket subprotocol; its number is the protocol's version. */
export const SUBPROTOCOL = 'holdfast.v1'
/** A launch log of 100,000 records is about 60 MB and is sent in several rounds; one frame holds at most this. */
export const MAX_FRAME_BYTES = 8 << 20
/** Longest piece of launch log in one message; a longer tail is sent over several rounds, oldest first. */
export const MAX_LOG_BYTES = 6 << 20
/**
 * Longest part of all logs together in the login of a connection. Until then anybody may be speaking in the node's name, which is public; what does not
 * fit is asked for when the login is done.
 */
export const MAX_SESSION_LOG_BYTES = 128 << 10
/** Longest piece of the machine's own logs in one message, all of them together. */
export const MAX_MACHINE_LOG_BYTES = 1 << 20
/**
 * Logs of the machine that travel beside the launch log: the TCG firmware log, systemd's tpm2-measure.log, the kernel's
 * IMA list. They are read after the quote was made, so they may run ahead of it; what proves them is their replay, not
 * the quote's extraData.
 */
export const MACHINE_LOGS = ['firmware', 'systemd', 'ima'] as const
export type MachineLogSource = (typeof MACHINE_LOGS)[number]
export const NONCE_BYTES = 32
export const NONCE_LIFETIME_MS = 60_000

export const QUOTE_LABELS = {
  session: 'holdfast/quote/session/1',
  periodic: 'holdfast/quote/periodic/1',
  launch: 'holdfast/quote/launch/1',
} as const
export type QuotePurpose = keyof typeof QUOTE_LABELS
export const COLLECTION_LABEL = 'holdfast/quote/collect/1'
export const ACTIVATION_LABEL = 'holdfast/activation/1'
/** RFC 9266 §3: label, no context, 32 bytes. */
export const TLS_EXPORTER_LABEL = 'EXPORTER-Channel-Binding'
export const TLS_EXPORTER_BYTES = 32

const closed = { additionalProperties: false }
const bytes = (min: number, max: number) => Type.Uint8Array({ minByteLength: min, maxByteLength: max })
const Bank = Type.Union([Type.Literal('sha1'), Type.Literal('sha256'), Type.Literal('sha384'), Type.Literal('sha512')])
const Pcr = Type.Integer({ minimum: 0, maximum: 23 })
const U32 = Type.Integer({ minimum: 0, maximum: 0xffffffff })
const Offset = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const Nonce = bytes(NONCE_BYTES, NONCE_BYTES)
const Text = Type.String({ maxLength: 2048 })
const Code = Type.String({ minLength: 1, maxLength: 64, pattern: '^[A-Z0-9_]+$' })

const Selection = Type.Object({ bank: Bank, pcrs: Type.Array(Pcr, { minItems: 1, maxItems: 24 }) }, closed)
const PcrValue = Type.Object({ bank: Bank, pcr: Pcr, value: bytes(20, 64) }, closed)
/** Whole records from `offset` on. `more` says that the log went on behind them when the quote was made. */
const LogPiece = Type.Object(
  { resetCount: U32, restartCount: U32, offset: Offset, bytes: bytes(0, MAX_LOG_BYTES), more: Type.Boolean() },
  closed,
)
const Source = Type.Union([Type.Literal('firmware'), Type.Literal('systemd'), Type.Literal('ima')])
/**
 * Bytes of a machine log from `offset` on. `more` says that it goes on behind them; a log that does not is cut nowhere.
 */
const MachineLogPiece = Type.Object(
  { source: Source, offset: Offset, bytes: bytes(0, MAX_MACHINE_LOG_BYTES), more: Type.Boolean() },
  closed,
)
/** From where each machine log is wanted. A log that is not named is not wanted. */
const WantedMachineLogs = Type.Array(Type.Object({ source: Source, offset: Offset }, closed), { maxItems: 3 })
const Finding = Type.Object(
  {
    rule: Type.String({ minLength: 1, maxLength: 128 }),
    tier: Type.Union([
      Type.Literal('affirming'),
      Type.Literal('warning'),
      Type.Literal('contraindicated'),
      Type.Literal('none'),
    ]),
    message: Text,
  },
  closed,
)

export const HelloSchema = Type.Object(
  {
    t: Type.Literal('hello'),
    agent: Type.String({ minLength: 1, maxLength: 64 }),
    hostname: Type.String({ maxLength: 253 }),
    ekPublic: bytes(1, 2048),
    ekCertificate: Type.Optional(bytes(1, 8192)),
    ekChain: Type.Array(bytes(1, 8192), { maxItems: 8 }),
    /** Binds the EK to a chassis: an X.509 or an attribute certificate. */
    platformCertificate: Type.Optional(bytes(1, 8192)),
    akPublic: bytes(1, 2048),
    pcr: Pcr,
    banks: Type.Array(Bank, { minItems: 1, maxItems: 4, uniqueItems: true }),
    mode: Type.Union([Type.Literal('enforce'), Type.Literal('audit'), Type.Literal('off')]),
    token: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
  },
  closed,
)
export const ActivationSchema = Type.Object({ t: Type.Literal('activation'), proof: bytes(32, 32) }, closed)
export const QuotedSchema = Type.Object(
  {
    t: Type.Literal('quoted'),
    body: bytes(1, MAX_FRAME_BYTES),
    attest: bytes(1, 4096),
    signature: bytes(1, 2048),
    /** At most one of each source; a log that the node does not have is left out. */
    machineLogs: Type.Array(MachineLogPiece, { maxItems: 3 }),
  },
  closed,
)
/** A nonce in place of one that grows old; nothing else is said of the node. */
export const RenewSchema = Type.Object({ t: Type.Literal('renew') }, closed)
/** Outer messages of the agent. */
export const AgentMessageSchema = Type.Union([HelloSchema, ActivationSchema, QuotedSchema, RenewSchema])
export type AgentMessage = Static<typeof AgentMessageSchema>

const quotedBody = {
  nonce: Nonce,
  pcrs: Type.Array(PcrValue, { minItems: 1, maxItems: 96 }),
  log: LogPiece,
}
export const EvidenceSchema = Type.Object(
  {
    t: Type.Literal('evidence'),
    purpose: Type.Union([Type.Literal('session'), Type.Literal('periodic')]),
    ...quotedBody,
  },
  closed,
)
export const LaunchSchema = Type.Object(
  { t: Type.Literal('launch'), id: U32, request: bytes(1, MAX_LAUNCH_REQUEST_BYTES), ...quotedBody },
  closed,
)
/** Inner messages, the bodies of `quoted`. */
export const QuotedBodySchema = Type.Union([EvidenceSchema, LaunchSchema])
export type QuotedBody = Static<typeof QuotedBodySchema>

export const ActivateSchema = Type.Object(
  { t: Type.Literal('activate'), idObject: bytes(1, 1024), encryptedSecret: bytes(1, 1024) },
  closed,
)
export const StatusSchema = Type.Object(
  {
    t: Type.Literal('status'),
    nodeId: Type.String({ pattern: '^[0-9a-f]{64}$' }),
    admission: Type.Union([Type.Literal('admitted'), Type.Literal('pending'), Type.Literal('refused')]),
    akCertificate: Type.Optional(bytes(1, 8192)),
    message: Text,
  },
  closed,
)
export const ChallengeSchema = Type.Object(
  {
    t: Type.Literal('challenge'),
    purpose: Type.Union([Type.Literal('session'), Type.Literal('periodic')]),
    nonce: Nonce,
    selection: Type.Array(Selection, { minItems: 1, maxItems: 4 }),
    /** What the verifier has of the log, and for which TPM start. */
    log: Type.Object({ resetCount: U32, restartCount: U32, offset: Offset }, closed),
    machineLogs: WantedMachineLogs,
  },
  closed,
)
export const ResultSchema = Type.Object(
  {
    t: Type.Literal('result'),
    tier: Type.Union([
      Type.Literal('affirming'),
      Type.Literal('warning'),
      Type.Literal('contraindicated'),
      Type.Literal('none'),
    ]),
    /** EAR as a JWT (ES256, draft-ietf-rats-ear-03). */
    result: Type.String({ minLength: 1, maxLength: 65_536 }),
    findings: Type.Array(Finding, { maxItems: 256 }),
    nonce: Nonce,
    logOffset: Offset,
    machineLogs: WantedMachineLogs,
  },
  closed,
)
export const TicketSchema = Type.Object(
  {
    t: Type.Literal('ticket'),
    id: U32,
    ticket: Type.String({ minLength: 1, maxLength: 16_384 }),
    nonce: Nonce,
    logOffset: Offset,
    machineLogs: WantedMachineLogs,
  },
  closed,
)
export const DeniedSchema = Type.Object(
  {
    t: Type.Literal('denied'),
    id: U32,
    code: Code,
    /** Failed rules or policies, in words. */
    reasons: Type.Array(Text, { minItems: 1, maxItems: 64 }),
    nonce: Nonce,
    logOffset: Offset,
    machineLogs: WantedMachineLogs,
  },
  closed,
)
export const RenewedSchema = Type.Object({ t: Type.Literal('renewed'), nonce: Nonce }, closed)
/** The node has failed, and its policy is that running pods do not outlive that. */
export const StopPodsSchema = Type.Object({ t: Type.Literal('stop-pods'), reason: Text }, closed)
/** `retryAfterMs`: sooner than this the same is refused again, so that is when to come back. */
export const ErrorSchema = Type.Object(
  {
    t: Type.Literal('error'),
    code: Code,
    message: Text,
    retryAfterMs: Type.Optional(Type.Integer({ minimum: 0, maximum: 86_400_000 })),
  },
  closed,
)
export const VerifierMessageSchema = Type.Union([
  ActivateSchema,
  StatusSchema,
  ChallengeSchema,
  ResultSchema,
  TicketSchema,
  DeniedSchema,
  RenewedSchema,
  StopPodsSchema,
  ErrorSchema,
])
export type VerifierMessage = Static<typeof VerifierMessageSchema>
export type MachineLogPiece = Static<typeof MachineLogPiece>
export type WantedMachineLogs = Static<typeof WantedMachineLogs>
export type Finding = Static<typeof Finding>
