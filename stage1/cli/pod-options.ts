import { UsageError } from '../../attestation/base/index.ts'
import type { Mount, Volume } from '../manifest/index.ts'
import { type PortWish, parsePortWishes } from '../network/index.ts'
import { diskIsolator } from '../pod/index.ts'
import type { ConfigDirectories } from '../signatures/index.ts'
import { type AppOptions, readAppOptions } from './app-options.ts'
import { CONFIG_OPTIONS, readConfigOptions } from './config-options.ts'
import { type EnvironmentOptions, POD_ENVIRONMENT_OPTIONS, podEnvironment } from './environment-options.ts'
import { parseInsecureOptions, RUN_CHECKS } from './insecure-options.ts'
import { DEFAULT_DIR } from './installation.ts'
import { PORT_OPTION } from './network-options.ts'
import type { OptionSpec, PodWords } from './option-table.ts'
import { parseMount, parseVolume, VOLUME_OPTION } from './volume-options.ts'

/** What a pod is to be made of, as `run` and `prepare` are asked for it. */
export interface PodOptions {
  readonly dir: string
  /** Empty with `podManifest`. */
  readonly apps: readonly AppOptions[]
  /** File of a pod manifest, as typed. */
  readonly podManifest?: string
  readonly environment: EnvironmentOptions
  readonly volumes: readonly Volume[]
  readonly mounts: readonly Mount[]
  readonly ports: readonly PortWish[]
  readonly hostname?: string
  readonly uuidFile?: string
  readonly stage1: string
  readonly relaxed: readonly string[]
  /** As typed. */
  readonly config: ConfigDirectories
  /** Whether the pod is to be known by the metadata service. */
  readonly metadata: boolean
  readonly privateUsers: boolean
  /** Size of the disk for what apps write, as typed. */
  readonly disk?: string
  readonly tpm: boolean
}

export const DIR_OPTION: OptionSpec = {
  name: 'dir',
  value: 'DIRECTORY',
  of: 'command',
  help: [`images and pods (default ${DEFAULT_DIR})`],
}

/** Options of `run` and `prepare` about the pod. */
export const POD_OPTIONS: readonly OptionSpec[] = [
  ...CONFIG_OPTIONS,
  VOLUME_OPTION,
  PORT_OPTION,
  ...POD_ENVIRONMENT_OPTIONS,
  { name: 'hostname', value: 'NAME', of: 'pod', help: ['default: pod- and the beginning of the UUID'] },
  {
    name: 'pod-manifest',
    value: 'FILE',
    of: 'pod',
    help: ['a pod manifest (JSON, App Container specification) instead of images and their options'],
  },
  {
    name: 'mds-register',
    of: 'pod',
    help: ['let the apps find holdfast metadata-service, at AC_METADATA_URL; the pod needs a network to reach it'],
  },
  {
    name: 'private-users',
    of: 'pod',
    help: [
      'a user namespace: root and the 65535 users of the pod are users of their own on the host, and no other pod has them.',
      "Files of host volumes keep the host's owners; policies see it",
    ],
  },
  {
    name: 'disk',
    value: 'SIZE',
    of: 'pod',
    help: [
      'with --stage1 kvm: what apps write is on a disk of this size (16Mi to 8Ti) instead of the memory of the machine.',
      'It is a file of the pod that takes the room that it needs, and is removed with the pod; policies see it',
    ],
  },
  {
    name: 'tpm',
    of: 'pod',
    help: [
      'with --stage1 kvm: a software TPM 2.0 of its own, /dev/tpmrm0 in its apps, removed with the pod. It is measured before',
      'the pod starts, so what runs in the pod can be attested as a child of this machine; policies see it',
    ],
  },
  { name: 'uuid-file-save', value: 'FILE', of: 'pod', help: ["write the pod's UUID there before anything else"] },
  {
    name: 'stage1',
    value: 'nspawn|kvm|IMAGE',
    of: 'pod',
    help: [
      'what isolates the pod: namespaces (nspawn, default), a virtual machine (kvm), an .aci, or an image of the store',
    ],
  },
  {
    name: 'insecure-options',
    value: 'LIST',
    of: 'pod',
    help: [
      'relax checks, separated by commas; they are measured and policies see them. seccomp: no system call filter;',
      'http, tls: for fetching; image: an image without the signature that is asked for; all-fetch, all-run, all, none.',
      'What was relaxed when an image was fetched has to be named at each launch of it',
    ],
  },
]

/** @throws UsageError, and PodError POD_ISOLATOR_BAD for a limit of the wrong form */
export function readPodOptions({ options: o, images }: PodWords): PodOptions {
  const relaxed = parseInsecureOptions(o.last('insecure-options') ?? '', RUN_CHECKS)
  const [hostname, uuidFile, podManifest] = [o.last('hostname'), o.last('uuid-file-save'), o.last('pod-manifest')]
  const disk = o.last('disk')
  if (disk !== undefined) diskIsolator(disk) // the size is checked before anything is fetched
  const options: PodOptions = {
    dir: o.last('dir') ?? DEFAULT_DIR,
    apps: images.map(readAppOptions),
    environment: podEnvironment(o),
    volumes: o.all('volume').map(parseVolume),
    mounts: o.all('mount').map(parseMount),
    ports: parsePortWishes(o.all('port')),
    stage1: o.last('stage1') ?? 'nspawn',
    relaxed,
    config: readConfigOptions(o),
    metadata: o.flag('mds-register'),
    privateUsers: o.flag('private-users'),
    tpm: o.flag('tpm'),
    ...(disk === undefined ? {} : { disk }),
    ...(hostname === undefined ? {} : { hostname: checkHostname(hostname) }),
    ...(uuidFile === undefined ? {} : { uuidFile }),
    ...(podManifest === undefined ? {} : { podManifest }),
  }
  checkVolumes(options)
  if (podManifest === undefined) {
    if (images.length === 0) throw new UsageError('no image given')
    return options
  }
  const contradicts = [
    'volume',
    'mount',
    'port',
    'set-env',
    'set-env-file',
    'inherit-env',
    'private-users',
    'disk',
    'tpm',
  ].find((name) => o.names().includes(name))
  if (images.length > 0 || contradicts !== undefined) {
    const what = images.length > 0 ? 'images' : `--${contradicts}`
    throw new UsageError(`--pod-manifest says all of the pod: give no ${what} beside it`)
  }
  return options
}

/** Every volume is there once, and mounts name none that is not. */
function checkVolumes({ volumes, mounts, apps }: PodOptions): void {
  const known = new Set<string>()
  for (const { name } of volumes) {
    if (known.has(name)) throw new UsageError(`--volume ${name} is given twice`)
    known.add(name)
  }
  for (const { volume } of [...mounts, ...apps.flatMap((a) => a.overrides.mounts ?? [])]) {
    if (!known.has(volume)) throw new UsageError(`--mount volume=${volume}: there is no --volume ${volume}`)
  }
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
