import { type TSchema, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { canonicalJson, fromUtf8 } from '../../base/index.ts'
import { EventLogError, type LogPosition } from '../errors.ts'
import { LAUNCH_LOG_VERSION, type LaunchLogContent } from './launch-log.ts'

/** A pod of 64 images with long names stays below this. */
const MAX_LAUNCH_LOG_CONTENT_BYTES = 1 << 17

const closed = { additionalProperties: false }
const Sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' })
const Uuid = Type.String({ pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' })
const Name = Type.String({ minLength: 1, maxLength: 512 })
const Reason = Type.String({ maxLength: 2048 })
const Mode = Type.Union([Type.Literal('enforce'), Type.Literal('audit'), Type.Literal('off')])
const BankValues = Type.Object(
  {
    sha1: Type.Optional(Type.String({ pattern: '^[0-9a-f]{40}$' })),
    sha256: Type.Optional(Type.String({ pattern: '^[0-9a-f]{64}$' })),
    sha384: Type.Optional(Type.String({ pattern: '^[0-9a-f]{96}$' })),
    sha512: Type.Optional(Type.String({ pattern: '^[0-9a-f]{128}$' })),
  },
  { ...closed, minProperties: 1 },
)
const HostFile = Type.Object({ path: Type.String({ minLength: 1, maxLength: 4096 }), sha256: Sha256 }, closed)
const Id = Type.Integer({ minimum: 0, maximum: 0xffffffff })
const Version = Type.Literal(LAUNCH_LOG_VERSION)
const record = (name: string) => ({ holdfast: Version, record: Type.Literal(name) })

const SCHEMAS: ReadonlyMap<string, TSchema> = new Map<string, TSchema>([
  [
    'agent',
    Type.Object(
      {
        ...record('agent'),
        version: Type.String({ minLength: 1, maxLength: 64 }),
        programSha256: Sha256,
        configSha256: Sha256,
        mode: Mode,
        found: BankValues,
        verifierKeys: Type.Array(Sha256, { maxItems: 64 }),
      },
      closed,
    ),
  ],
  [
    'stage1',
    Type.Object(
      {
        ...record('stage1'),
        flavour: Name,
        name: Name,
        id: Name,
        tree: Name,
        verification: Name,
        interfaceVersion: Type.Integer({ minimum: 1, maximum: 1000 }),
        hostPrograms: Type.Array(HostFile, { maxItems: 16 }),
        machine: Type.Optional(
          Type.Object(
            {
              accelerator: Type.Union([Type.Literal('kvm'), Type.Literal('tcg')]),
              kernel: Sha256,
              initramfs: Sha256,
              commandLine: Type.String({ maxLength: 2048 }),
              firmware: Type.Array(HostFile, { maxItems: 16 }),
            },
            closed,
          ),
        ),
      },
      closed,
    ),
  ],
  [
    'image',
    Type.Object(
      {
        ...record('image'),
        name: Name,
        id: Name,
        manifest: Type.Optional(Name),
        tree: Name,
        verification: Name,
        signers: Type.Array(Type.Object({ kind: Type.Optional(Name), key: Name, checkedAt: Name }, closed), {
          maxItems: 16,
        }),
        policy: Type.Optional(Type.Object({ sha256: Sha256, scope: Type.String({ maxLength: 4352 }) }, closed)),
        relaxed: Type.Array(Name, { maxItems: 16 }),
      },
      closed,
    ),
  ],
  [
    'pod',
    Type.Object(
      {
        ...record('pod'),
        uuid: Uuid,
        request: Sha256,
        manifest: Sha256,
        stage1: Name,
        images: Type.Array(Name, { minItems: 1, maxItems: 64 }),
        guest: Type.Optional(Sha256),
      },
      closed,
    ),
  ],
  [
    'launch',
    Type.Object(
      {
        ...record('launch'),
        uuid: Uuid,
        request: Sha256,
        ticket: Type.Optional(Type.String({ pattern: '^[0-9a-f]{32}$' })),
        verifierKey: Type.Optional(Sha256),
        policy: Type.Optional(Sha256),
        mode: Mode,
      },
      closed,
    ),
  ],
  [
    'enter',
    Type.Object(
      {
        ...record('enter'),
        uuid: Uuid,
        request: Sha256,
        app: Type.String({ pattern: '^[a-z0-9]+(-[a-z0-9]+)*$', maxLength: 63 }),
        program: Type.String({ minLength: 1, maxLength: 4096 }),
        argv: Type.String({ pattern: '^hmac-sha256:[0-9a-f]{64}$' }),
        by: Type.Object({ uid: Id, gid: Id }, closed),
        ticket: Type.Optional(Type.String({ pattern: '^[0-9a-f]{32}$' })),
        verifierKey: Type.Optional(Sha256),
        policy: Type.Optional(Sha256),
        mode: Mode,
      },
      closed,
    ),
  ],
  [
    'denied',
    Type.Object(
      {
        ...record('denied'),
        uuid: Uuid,
        request: Sha256,
        code: Type.String({ pattern: '^[A-Z0-9_]{1,64}$' }),
        action: Type.Optional(Type.Literal('enter')),
      },
      closed,
    ),
  ],
  [
    'exited',
    Type.Object(
      {
        ...record('exited'),
        uuid: Uuid,
        statuses: Type.Record(Type.String(), Type.Integer({ minimum: 0, maximum: 255 }), { maxProperties: 64 }),
        reason: Type.Union([Type.Literal('exited'), Type.Literal('killed'), Type.Literal('not-started')]),
      },
      closed,
    ),
  ],
  ['break', Type.Object({ ...record('break'), reason: Reason, expected: BankValues, found: BankValues }, closed)],
])

/**
 * @param bytes the content's value, exactly as it was hashed
 * @returns what it says; every field is checked, unknown fields and records are refused
 * @throws EventLogError EVENT_LOG_BAD_CONTENT, EVENT_LOG_NOT_CANONICAL, EVENT_LOG_UNKNOWN_VERSION, EVENT_LOG_TOO_LONG
 */
export function parseLaunchLogContent(bytes: Uint8Array, position?: LogPosition): LaunchLogContent {
  const fail = (code: EventLogError['code'], message: string, cause?: unknown) =>
    new EventLogError(code, message, { ...(position && { position }), ...(cause !== undefined && { cause }) })
  if (bytes.length > MAX_LAUNCH_LOG_CONTENT_BYTES) {
    throw fail(
      'EVENT_LOG_TOO_LONG',
      `content of ${bytes.length} bytes, at most ${MAX_LAUNCH_LOG_CONTENT_BYTES} are read`,
    )
  }
  let value: unknown
  let text: string
  try {
    text = fromUtf8(bytes)
    value = JSON.parse(text)
  } catch (cause) {
    throw fail('EVENT_LOG_BAD_CONTENT', 'the content is not UTF-8 JSON', cause)
  }
  const { holdfast, record: name } = headOf(value)
  if (holdfast !== LAUNCH_LOG_VERSION) {
    throw fail(
      'EVENT_LOG_UNKNOWN_VERSION',
      `content of version ${JSON.stringify(holdfast)?.slice(0, 32)}, known is ${LAUNCH_LOG_VERSION}`,
    )
  }
  const schema = typeof name === 'string' ? SCHEMAS.get(name) : undefined
  if (schema === undefined) {
    throw fail('EVENT_LOG_BAD_CONTENT', `no record is called ${JSON.stringify(name)?.slice(0, 64)}`)
  }
  if (!Value.Check(schema, value)) {
    const first = Value.Errors(schema, value).First()
    throw fail('EVENT_LOG_BAD_CONTENT', `${name} record: ${first?.path.slice(0, 256)}: ${first?.message}`)
  }
  if (canonicalText(value) !== text) {
    throw fail('EVENT_LOG_NOT_CANONICAL', `the ${name} record is not in RFC 8785 form`)
  }
  const { holdfast: _, ...content } = value as { holdfast: number } & LaunchLogContent // the schema of its name was checked
  return content
}

function headOf(value: unknown): { holdfast?: unknown; record?: unknown } {
  return typeof value === 'object' && value !== null ? value : {}
}

function canonicalText(value: unknown): string | undefined {
  try {
    return canonicalJson(value)
  } catch (err) {
    if (err instanceof TypeError) return undefined // an unpaired surrogate: no canonical form
    throw err
  }
}
