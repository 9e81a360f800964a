import { parseArgs } from 'node:util'
import { UsageError } from '../../attestation/base/index.ts'
import type { EnvironmentVariable, Isolator } from '../manifest/index.ts'
import { DEFAULT_AGENT_SOCKET, DEFAULT_TRUST_FILE, type Network, parseCpu, parseMemory } from '../pod/index.ts'
import { DEFAULT_DIR } from './installation.ts'
import { DEFAULT_STAGE0_SOCKET } from './stage0-protocol.ts'

/** `holdfast run` as it was typed. */
export interface RunOptions {
  readonly images: readonly string[]
  readonly args?: readonly string[]
  readonly dir: string
  readonly agent: string
  readonly trust: string
  readonly stage1: string
  readonly network: Network
  readonly hostname?: string
  readonly uuidFile?: string
  readonly environment: readonly EnvironmentVariable[]
  readonly exec?: string
  readonly user?: string
  readonly group?: string
  readonly workingDirectory?: string
  readonly isolators: readonly Isolator[]
  readonly relaxed: readonly string[]
}

/** Printed by `holdfast run --help`. */
export const RUN_HELP = `Usage: holdfast run [options] IMAGE... [-- ARGUMENTS]

Has the launch of a pod measured into the TPM and authorised by the verifier, then becomes the pod.
The exit status is the app's; 254 means that Holdfast failed or refused, 125 to 127 that the app could not be set up, executed or found.

An IMAGE is a name or ID of the store (holdfast image list), or docker://HOST[:PORT]/NAME[:TAG], oci:PATH[:REF] or a path of an .aci,
which are fetched unless they are in the store.
The app is named after the last part of the image's name, without its tag: busybox for oci:/srv/busybox:1.
ARGUMENTS replace the Cmd of an OCI image, and follow the exec of an ACI. They are for a pod of one image.

Options for the app:
  --exec PROGRAM            run this instead of the image's program
  --set-env NAME=VALUE      set a variable (may be repeated); the launch log shows a keyed digest of the value, never the value
  --user USER               name or number, looked up in the image
  --group GROUP             name or number; the user's own group unless given
  --working-dir PATH        absolute path in the image; made where it is absent
  --memory SIZE             limit, as 64Mi or 1G
  --cpu SHARE               limit in processors, as 500m or 2

Options for the pod:
  --net none|host           none (default): only loopback; host: the host's interfaces
  --hostname NAME           default: pod- and the beginning of the UUID
  --uuid-file-save FILE     write the pod's UUID there before anything else
  --stage1 nspawn|IMAGE     what isolates the pod: the stage1 of this installation (default), an .aci, or an image of the store
  --insecure-options LIST   relax checks, separated by commas; they are measured and policies see them. seccomp: no system call filter;
                            http, tls: for fetching; image: fetch an image without the signature that is asked for

Other options:
  --agent SOCKET            the node agent (default ${DEFAULT_AGENT_SOCKET})
  --stage0 SOCKET|none      the stage0 server, which makes launches faster and is not needed (default ${DEFAULT_STAGE0_SOCKET})
  --trust FILE              the verifier's trust.json, whose keys sign tickets (default ${DEFAULT_TRUST_FILE})
  --dir DIRECTORY           images and pods (default ${DEFAULT_DIR})
  --help

Examples:
  holdfast run docker://registry.example/busybox:1 -- echo hello
  holdfast run --set-env TOKEN=secret --memory 128Mi --user 1000 registry.example/app
  holdfast run --uuid-file-save /run/web.uuid web; holdfast rm --uuid-file /run/web.uuid
`

/** Names of `--insecure-options` that `run` knows; the last three are for fetching. */
const RELAXATIONS = ['seccomp', 'http', 'tls', 'image']

/**
 * @returns 'help' where it was asked for
 * @throws UsageError, and PodError POD_ISOLATOR_BAD for a limit of the wrong form
 */
export function parseRunOptions(argv: readonly string[]): RunOptions | 'help' {
  const split = argv.indexOf('--')
  const { values, positionals } = parse(split < 0 ? argv : argv.slice(0, split))
  if (values.help === true) return 'help'
  const args = split < 0 ? undefined : argv.slice(split + 1)
  if (positionals.length === 0) throw new UsageError('no image given')
  const forOneApp = ['exec', 'user', 'group', 'working-dir', 'set-env', 'memory', 'cpu'] as const
  const given = forOneApp.find((name) => values[name] !== undefined)
  if (positionals.length > 1 && (given !== undefined || args !== undefined)) {
    throw new UsageError(
      `${given === undefined ? 'arguments' : `--${given}`} would be for every app of the pod; give one image`,
    )
  }
  const network = values.net ?? 'none'
  if (network !== 'none' && network !== 'host') throw new UsageError(`--net ${network}: there are none and host`)
  const relaxed = (values['insecure-options'] ?? '').split(',').filter((name) => name !== '')
  const unknown = relaxed.find((name) => !RELAXATIONS.includes(name))
  if (unknown !== undefined) throw new UsageError(`--insecure-options ${unknown}: there are ${RELAXATIONS.join(', ')}`)
  const workingDirectory = values['working-dir']
  if (
    workingDirectory !== undefined &&
    (!workingDirectory.startsWith('/') || workingDirectory.split('/').includes('..'))
  ) {
    throw new UsageError(`--working-dir ${workingDirectory}: give an absolute path without '..'`)
  }
  return {
    images: positionals,
    ...(args === undefined ? {} : { args }),
    dir: values.dir ?? DEFAULT_DIR,
    agent: values.agent ?? DEFAULT_AGENT_SOCKET,
    trust: values.trust ?? DEFAULT_TRUST_FILE,
    stage1: values.stage1 ?? 'nspawn',
    network,
    ...(values.hostname === undefined ? {} : { hostname: checkHostname(values.hostname) }),
    ...optional('uuidFile', values['uuid-file-save']),
    environment: (values['set-env'] ?? []).map(parseVariable),
    ...optional('exec', nonEmpty('--exec', values.exec)),
    ...optional('user', nonEmpty('--user', values.user)),
    ...optional('group', nonEmpty('--group', values.group)),
    ...optional('workingDirectory', workingDirectory),
    isolators: limits(values.memory, values.cpu),
    relaxed,
  }
}

const text = { type: 'string' } as const
const several = { type: 'string', multiple: true } as const
const OPTIONS = {
  exec: text,
  'set-env': several,
  user: text,
  group: text,
  'working-dir': text,
  memory: text,
  cpu: text,
  net: text,
  hostname: text,
  'uuid-file-save': text,
  stage1: text,
  'insecure-options': text,
  agent: text,
  stage0: text, // native/stage0 has used it by now
  trust: text,
  dir: text,
  help: { type: 'boolean', short: 'h' },
} as const

/** As they are typed, for completion. */
export const RUN_OPTION_NAMES: readonly string[] = Object.keys(OPTIONS).map((name) => `--${name}`)

function parse(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], allowPositionals: true, options: OPTIONS })
  } catch (err) {
    if (err instanceof TypeError) throw new UsageError(err.message.split('. ')[0] ?? err.message)
    throw err
  }
}

function optional<K extends string>(key: K, value: string | undefined): { [P in K]?: string } {
  const result: { [P in K]?: string } = {}
  if (value !== undefined) result[key] = value
  return result
}

function nonEmpty(option: string, value: string | undefined): string | undefined {
  if (value === '') throw new UsageError(`${option} is empty`)
  return value
}

function parseVariable(text: string): EnvironmentVariable {
  const at = text.indexOf('=')
  if (at <= 0) throw new UsageError(`--set-env ${text.slice(0, 40)}: write NAME=VALUE`)
  return { name: text.slice(0, at), value: text.slice(at + 1) }
}

/** RFC 1123 labels; the kernel takes 64 bytes. */
function checkHostname(name: string): string {
  if (
    name.length > 63 ||
    !/^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$/.test(name)
  ) {
    throw new UsageError(`--hostname ${name.slice(0, 80)}: letters, digits, inner hyphens and dots, at most 63`)
  }
  return name
}

/** Texts stay as typed: they are measured that way. */
function limits(memory: string | undefined, cpu: string | undefined): Isolator[] {
  if (memory !== undefined) parseMemory(memory)
  if (cpu !== undefined) parseCpu(cpu)
  return [
    ...(memory === undefined ? [] : [{ name: 'resource/memory', value: { limit: memory } }]),
    ...(cpu === undefined ? [] : [{ name: 'resource/cpu', value: { limit: cpu } }]),
  ]
}
