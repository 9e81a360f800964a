import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { CodedError, canonicalJson, fromUtf8, utf8 } from '../base/index.ts'
import {
  type AgentRecord,
  encodeLaunchLogContent,
  fromBankValues,
  type ImageRecord,
  type LaunchLogContent,
  parseLaunchLogContent,
  type Stage1Record,
  toBankValues,
} from '../event-log/index.ts'
import type { BootProof } from './launch-log.ts'
import { imageKey } from './launch-log-state.ts'
import type { NodeState } from './node-state.ts'

/** NODE_STATE_INVALID: the stored text is not a node state of this version; the node must be released to start anew. */
export type NodeStateErrorCode = 'NODE_STATE_INVALID'
export class NodeStateError extends CodedError<NodeStateErrorCode> {}

const closed = { additionalProperties: false }
const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const U32 = Type.Integer({ minimum: 0, maximum: 0xffffffff })
const Registers = Type.Object(
  {
    sha1: Type.Optional(Type.String({ pattern: '^[0-9a-f]{40}$' })),
    sha256: Type.Optional(Type.String({ pattern: '^[0-9a-f]{64}$' })),
    sha384: Type.Optional(Type.String({ pattern: '^[0-9a-f]{96}$' })),
    sha512: Type.Optional(Type.String({ pattern: '^[0-9a-f]{128}$' })),
  },
  { ...closed, minProperties: 1 },
)
const StoredFinding = Type.Object(
  {
    rule: Type.String(),
    tier: Type.Union([
      Type.Literal('affirming'),
      Type.Literal('warning'),
      Type.Literal('contraindicated'),
      Type.Literal('none'),
    ]),
    claim: Type.Union([
      Type.Literal('instance-identity'),
      Type.Literal('configuration'),
      Type.Literal('executables'),
      Type.Literal('file-system'),
      Type.Literal('hardware'),
      Type.Literal('runtime-opaque'),
      Type.Literal('storage-opaque'),
      Type.Literal('sourced-data'),
    ]),
    message: Type.String(),
    value: Type.Optional(Type.Integer({ minimum: -128, maximum: 127 })),
    expected: Type.Optional(Type.String()),
    seen: Type.Optional(Type.String()),
    event: Type.Optional(
      Type.Object(
        {
          source: Type.Union([
            Type.Literal('firmware'),
            Type.Literal('systemd'),
            Type.Literal('ima'),
            Type.Literal('launch-log'),
            Type.Literal('cel'),
            Type.Literal('aael'),
          ]),
          index: Count,
          register: Type.Object(
            { kind: Type.Union([Type.Literal('pcr'), Type.Literal('nv'), Type.Literal('rtmr')]), index: Count },
            closed,
          ),
        },
        closed,
      ),
    ),
    changed: Type.Optional(Type.String()),
    policy: Type.Optional(
      Type.Object(
        {
          rule: Type.String(),
          mode: Type.Union([Type.Literal('observe'), Type.Literal('warn'), Type.Literal('enforce')]),
        },
        closed,
      ),
    ),
  },
  closed,
)
const Boot = Type.Object(
  {
    replay: Type.Object({ banks: Registers, nextRecnum: Count, offset: Count }, closed),
    log: Type.Object(
      {
        /** RFC 8785 text of the records, as they were measured. */
        agent: Type.String(),
        stage1s: Type.Array(Type.String()),
        images: Type.Array(Type.String()),
        pods: Type.Array(
          Type.Object(
            {
              uuid: Type.String(),
              request: Type.String(),
              manifest: Type.String(),
              stage1: Type.String(),
              images: Type.Array(Type.String()),
              guest: Type.Optional(Type.String()),
              launched: Type.Boolean(),
              unticketed: Type.Boolean(),
            },
            closed,
          ),
        ),
        violations: Type.Array(StoredFinding),
        start: Registers,
        resumed: Type.Boolean(),
      },
      closed,
    ),
  },
  closed,
)
const Stored = Type.Object(
  {
    v: Type.Literal(1),
    clock: Type.Object(
      { clockMs: Type.String({ pattern: '^[0-9]{1,20}$' }), resetCount: U32, restartCount: U32, safe: Type.Boolean() },
      closed,
    ),
    pcr: Type.Integer({ minimum: 0, maximum: 23 }),
    boot: Type.Optional(Boot),
    tickets: Type.Array(
      Type.Object(
        {
          id: Type.String(),
          uuid: Type.String(),
          request: Type.String(),
          before: Registers,
          after: Registers,
          resetCount: U32,
          restartCount: U32,
          deadlineMs: Count,
          overdue: Type.Boolean(),
        },
        closed,
      ),
    ),
    firstContact: Type.Boolean(),
    anotherAk: Type.Optional(Type.Literal(true)),
    quarantine: Type.Optional(Type.Object({ rule: Type.String(), reason: Type.String(), at: Type.String() }, closed)),
  },
  closed,
)
type Stored = Static<typeof Stored>

/** The state as text for the store; what a node sent ahead of any proof is left out. */
export function serialiseNodeState(state: NodeState): string {
  const { clock, boot, pcr, tickets, firstContact, quarantine, anotherAk } = state
  return canonicalJson({
    v: 1,
    clock: { ...clock, clockMs: clock.clockMs.toString() },
    pcr,
    boot: boot && storedBoot(boot),
    tickets,
    firstContact,
    quarantine,
    anotherAk,
  })
}

/** @throws NodeStateError NODE_STATE_INVALID: a state that cannot be read is never taken for no state */
export function parseNodeState(text: string): NodeState {
  try {
    const stored: unknown = JSON.parse(text)
    if (!Value.Check(Stored, stored)) {
      const first = Value.Errors(Stored, stored).First()
      throw new RangeError(`${first?.path}: ${first?.message}`)
    }
    const { v: _, clock, boot, ...rest } = stored
    return {
      ...rest,
      clock: { ...clock, clockMs: BigInt(clock.clockMs) },
      ...(boot !== undefined && { boot: parseBoot(boot) }),
    }
  } catch (cause) {
    throw new NodeStateError('NODE_STATE_INVALID', `the stored state of the node cannot be read: ${cause}`, { cause })
  }
}

function storedBoot({ replay, log }: BootProof): NonNullable<Stored['boot']> {
  return {
    replay: { ...replay, banks: toBankValues(replay.banks) },
    log: {
      agent: recordText(log.agent),
      stage1s: [...log.stage1s.values()].map(recordText),
      images: [...log.images.values()].map(recordText),
      pods: [...log.pods].map(([uuid, pod]) => ({ uuid, ...pod, images: [...pod.images] })),
      violations: [...log.violations],
      start: toBankValues(log.start),
      resumed: log.resumed,
    },
  }
}

function parseBoot({ replay, log }: NonNullable<Stored['boot']>): BootProof {
  const stage1s = log.stage1s.map((text) => parseRecord<Stage1Record>(text, 'stage1'))
  const images = log.images.map((text) => parseRecord<ImageRecord>(text, 'image'))
  return {
    replay: { ...replay, banks: fromBankValues(replay.banks) },
    log: {
      agent: parseRecord<AgentRecord>(log.agent, 'agent'),
      stage1s: new Map(stage1s.map((r) => [imageKey(r), r])),
      images: new Map(images.map((r) => [imageKey(r), r])),
      pods: new Map(log.pods.map(({ uuid, ...pod }) => [uuid, pod])),
      violations: log.violations,
      start: fromBankValues(log.start),
      resumed: log.resumed,
    },
  }
}

function recordText(content: LaunchLogContent): string {
  return fromUtf8(encodeLaunchLogContent(content))
}

function parseRecord<R extends LaunchLogContent>(text: string, kind: R['record']): R {
  const content = parseLaunchLogContent(utf8(text))
  if (content.record !== kind) throw new RangeError(`a ${content.record} record where a ${kind} record is kept`)
  return content as R // its discriminant has just been compared
}
