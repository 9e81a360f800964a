import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { canonicalJson, fromUtf8 } from '../base/index.ts'
import { checkRequestSize, LaunchRequestError } from './launch-request-error.ts'
import { schemaProblems } from './schema-problems.ts'

/** A manifest is a handful of levels deep; the canonical form is written recursively, so depth is bounded first. */
const MAX_JSON_DEPTH = 64

const closed = { additionalProperties: false }
const Sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' })
const ImageIdText = Type.String({ pattern: '^(sha256|sha512)-[0-9a-f]{64}$' })
/** Version 1 is in logs of boots that began before an upgrade. */
const TreeDigestText = Type.String({ pattern: '^erofs-verity-[12]:sha256:[0-9a-f]{64}$' })
const Verification = Type.Union([Type.Literal('full-file'), Type.Literal('stat-cache'), Type.Literal('dm-verity')])
const Name = Type.String({ minLength: 1, maxLength: 512 })

/** A program of the host that takes part in the launch, by its content. */
const HostProgram = Type.Object({ path: Type.String({ minLength: 1, maxLength: 4096 }), sha256: Sha256 }, closed)

/** What a stage1 that is a virtual machine runs on and with, whatever the pod. */
const Machine = Type.Object(
  {
    /** `tcg` is emulation: slow, and no boundary that QEMU's authors vouch for. */
    accelerator: Type.Union([Type.Literal('kvm'), Type.Literal('tcg')]),
    kernel: Sha256,
    initramfs: Sha256,
    commandLine: Type.String({ maxLength: 2048 }),
    /** Files of the host that the machine monitor loads into the guest. */
    firmware: Type.Array(HostProgram, { maxItems: 16 }),
  },
  closed,
)

/** A software TPM that lives as long as its pod, made before the pod's launch is asked for. */
const PodTpm = Type.Object(
  {
    /** SHA-256 of the EK's public area (its TPM name without the algorithm): the node ID that the pod has at the verifier. */
    node: Sha256,
    /** SHA-256 of its EK certificate, DER. */
    certificate: Sha256,
    /** SHA-256 of the SubjectPublicKeyInfo, DER, of the node's own CA that issued it. */
    authority: Sha256,
  },
  closed,
)

/** What the virtual machine of one pod is given. */
const Guest = Type.Object(
  {
    /** SHA-256 of the archive that the guest's PID 1 reads: plan, root hashes, a salt that nobody else knows. */
    archive: Sha256,
    memoryMiB: Type.Integer({ minimum: 1, maximum: 1 << 24 }),
    processors: Type.Integer({ minimum: 1, maximum: 1024 }),
    /** The TPM of this pod alone, where it has one. */
    tpm: Type.Optional(PodTpm),
  },
  closed,
)

const Stage1 = Type.Object(
  {
    flavour: Name,
    name: Name,
    id: ImageIdText,
    tree: TreeDigestText,
    verification: Verification,
    interfaceVersion: Type.Integer({ minimum: 1, maximum: 1000 }),
    hostPrograms: Type.Array(HostProgram, { maxItems: 16 }),
    /** Of a flavour that is a virtual machine. */
    machine: Type.Optional(Machine),
  },
  closed,
)

/** Whose signature was checked. Requests of boots that began before an upgrade have no `kind`. */
const Signer = Type.Object(
  {
    kind: Type.Optional(Type.Union([Type.Literal('openpgp'), Type.Literal('public-key'), Type.Literal('certificate')])),
    key: Name,
    checkedAt: Name,
  },
  closed,
)
/** By its content, and which of its scopes was used: a transport and a reference or path. */
const ImagePolicy = Type.Object({ sha256: Sha256, scope: Type.String({ maxLength: 4352 }) }, closed)

const Image = Type.Object(
  {
    name: Name,
    id: ImageIdText,
    /** Digest of the OCI manifest as `sha256:<hex>`; absent for an ACI. */
    manifest: Type.Optional(Type.String({ pattern: '^sha256:[0-9a-f]{64}$' })),
    tree: TreeDigestText,
    verification: Verification,
    signers: Type.Array(Signer, { maxItems: 16 }),
    /** The image policy that let it in when it was fetched; absent where none was asked. */
    policy: Type.Optional(ImagePolicy),
    /** Names of the checks that `--insecure-options` relaxed when the image was fetched. */
    relaxed: Type.Array(Name, { maxItems: 16 }),
  },
  closed,
)

const Volume = Type.Object(
  { name: Name, kind: Name, source: Type.Optional(Type.String({ maxLength: 4096 })), readOnly: Type.Boolean() },
  closed,
)
/** A CNI network that the pod joins, by the content of everything that sets it up. */
const Network = Type.Object(
  {
    name: Name,
    /** SHA-256 of the configuration's file. */
    config: Sha256,
    /** CNI_ARGS, as `NAME=VALUE`. */
    args: Type.Array(Type.String({ maxLength: 512 }), { maxItems: 16 }),
    /** Programs that run as root on the host for it. */
    plugins: Type.Array(HostProgram, { minItems: 1, maxItems: 32 }),
  },
  closed,
)
const PortNumber = Type.Integer({ minimum: 1, maximum: 65535 })
/** A port of the host that leads to one of the pod. */
const Port = Type.Object(
  {
    name: Name,
    protocol: Type.Union([Type.Literal('tcp'), Type.Literal('udp')]),
    podPort: PortNumber,
    hostPort: PortNumber,
    /** All addresses of the host where it is absent. */
    hostIp: Type.Optional(Type.String({ pattern: '^[0-9a-fA-F:.]{2,45}$' })),
  },
  closed,
)
const Isolator = Type.Object({ name: Name, value: Type.String({ maxLength: 4096 }) }, closed)

/** What stage0 tells the agent of one launch. */
export const PodLaunchSchema = Type.Object(
  {
    v: Type.Literal(1),
    pod: Type.Object(
      {
        uuid: Type.String({ pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' }),
        /** SHA-256 of the RFC 8785 form of `manifest`. */
        manifestSha256: Sha256,
        /** The pod manifest with environment values as keyed digests: no secret. */
        manifest: Type.Record(Type.String(), Type.Unknown()),
      },
      closed,
    ),
    stage1: Stage1,
    /** Where stage1 has a machine. */
    guest: Type.Optional(Guest),
    images: Type.Array(Image, { minItems: 1, maxItems: 64 }),
    /** `cni`: those of `networks`. */
    network: Type.Union([Type.Literal('none'), Type.Literal('host'), Type.Literal('cni')]),
    /** In the order of eth0, eth1, ...; absent where there are none, as `ports` and `names` are. */
    networks: Type.Optional(Type.Array(Network, { minItems: 1, maxItems: 16 })),
    ports: Type.Optional(Type.Array(Port, { minItems: 1, maxItems: 64 })),
    /** How apps find names, where it is not as the network has it: options as they were given. */
    names: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 512 }), { minItems: 1, maxItems: 256 })),
    volumes: Type.Array(Volume, { maxItems: 64 }),
    isolators: Type.Array(Isolator, { maxItems: 64 }),
    /** Names of the checks that `--insecure-options` relaxed for this launch. */
    relaxed: Type.Array(Name, { maxItems: 16 }),
  },
  closed,
)
export type PodLaunch = Static<typeof PodLaunchSchema>

/**
 * The launch request: what stage0 asked for, and which node asks. Its bytes are RFC 8785; its SHA-256 is in the log and
 * the ticket.
 */
export const LaunchRequestSchema = Type.Object(
  {
    ...PodLaunchSchema.properties,
    node: Sha256,
    mode: Type.Union([Type.Literal('enforce'), Type.Literal('audit'), Type.Literal('off')]),
  },
  closed,
)
export type LaunchRequest = Static<typeof LaunchRequestSchema>

/**
 * @param bytes as received; the caller hashes these same bytes
 * @returns the request they say
 * @throws LaunchRequestError
 */
export function parseLaunchRequest(bytes: Uint8Array): LaunchRequest {
  checkRequestSize(bytes)
  let value: unknown
  let text: string
  try {
    text = fromUtf8(bytes)
    checkDepth(text)
    value = JSON.parse(text)
  } catch (cause) {
    if (cause instanceof LaunchRequestError) throw cause
    throw new LaunchRequestError('LAUNCH_REQUEST_INVALID', 'the launch request is not UTF-8 JSON', { cause })
  }
  if (!Value.Check(LaunchRequestSchema, value)) {
    throw new LaunchRequestError(
      'LAUNCH_REQUEST_INVALID',
      `launch request: ${schemaProblems(LaunchRequestSchema, value)}`,
    )
  }
  if (canonicalText(value) !== text) {
    throw new LaunchRequestError('LAUNCH_REQUEST_NOT_CANONICAL', 'the launch request is not in RFC 8785 form')
  }
  return value
}

/** As parseLaunchRequest, for the part that stage0 sends to its agent. */
export function parsePodLaunch(value: unknown): PodLaunch {
  if (!Value.Check(PodLaunchSchema, value)) {
    throw new LaunchRequestError('LAUNCH_REQUEST_INVALID', `launch: ${schemaProblems(PodLaunchSchema, value)}`)
  }
  return value
}

/** Counts brackets outside strings, without recursion, before anything recursive sees the text. */
function checkDepth(text: string): void {
  let depth = 0
  let inString = false
  for (let i = 0; i < text.length; i++) {
    const c = text[i]
    if (inString) {
      if (c === '\\') i++
      else if (c === '"') inString = false
    } else if (c === '"') inString = true
    else if (c === '{' || c === '[') depth++
    else if (c === '}' || c === ']') depth--
    if (depth > MAX_JSON_DEPTH) {
      throw new LaunchRequestError('LAUNCH_REQUEST_INVALID', `JSON nested deeper than ${MAX_JSON_DEPTH}`)
    }
  }
}

function canonicalText(value: LaunchRequest): string | undefined {
  try {
    return canonicalJson(value)
  } catch (err) {
    if (err instanceof TypeError) return undefined // a fraction or an unpaired surrogate: not a form that we hash
    throw err
  }
}
