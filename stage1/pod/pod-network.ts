import fs from 'node:fs'
import path from 'node:path'
import { codeOf, messageOf, utf8 } from '../../attestation/base/index.ts'
import type { PodLaunch } from '../../attestation/protocol/index.ts'
import { manifestPorts, type PodManifest, valueNamed } from '../manifest/index.ts'
import {
  type JanitorCgroups,
  NAMESPACE_DIR,
  type NameResolution,
  type NetworkChoice,
  type NetworkDirs,
  type NetworksUp,
  nameFiles,
  type PodNetwork,
  PodNetworkDir,
  programsOf,
  resolveNetworks,
  setUpNetworks,
  tearDownNetworks,
} from '../network/index.ts'
import type { CgroupMounts } from './cgroup-layout.ts'
import { type LockedPod, podParent } from './pod-directory.ts'
import { HOSTNAME_ANNOTATION } from './pod-manifest.ts'

/** The network that a pod is launched with, as the options of a launch say. */
export interface NetworkRequest {
  readonly choice: NetworkChoice
  readonly dirs: NetworkDirs
  readonly names: NameResolution
  /** Those options of names as they were given, for the launch request. */
  readonly nameWords: readonly string[]
}

/** The same, with everything found that takes part in it; nothing is done yet. */
export interface ResolvedNetwork {
  readonly request: NetworkRequest
  /** The plan's word for it. */
  readonly planned: string
  readonly measured: Pick<PodLaunch, 'network' | 'networks' | 'ports' | 'names'>
  /** Empty for `none` and `host`. */
  readonly networks: readonly PodNetwork[]
}

/** @throws NetworkError: the pod cannot have what was asked for */
export function resolvePodNetwork(request: NetworkRequest, uuid: string, manifest: PodManifest): ResolvedNetwork {
  const { choice, dirs, nameWords } = request
  const ports = manifestPorts(manifest)
  const networks = resolveNetworks(choice, ports, dirs)
  const cni = choice.kind === 'named' || choice.kind === 'all'
  return {
    request,
    planned: cni ? path.join(NAMESPACE_DIR, uuid) : choice.kind,
    measured: {
      network: cni ? 'cni' : choice.kind,
      ...(networks.length === 0 ? {} : { networks: networks.map(measuredNetwork) }),
      ...(ports.length === 0 ? {} : { ports }),
      ...(nameWords.length === 0 ? {} : { names: [...nameWords] }),
    },
    networks,
  }
}

function measuredNetwork(network: PodNetwork): NonNullable<PodLaunch['networks']>[number] {
  const { config, sha256 } = network.configured
  const plugins = programsOf(network).map((p) => ({ path: p.path, sha256: p.sha256 }))
  return { name: config.name, config: sha256, args: [...network.args], plugins }
}

/** What it takes to connect a pod, besides its networks. */
export interface Connecting {
  /** Data directory. */
  readonly dir: string
  readonly pod: LockedPod
  readonly stage1Program: string
  readonly cgroups: CgroupMounts
  readonly onLeft: (message: string) => void
  readonly signal: AbortSignal
}

/**
 * Sets the networks up, where the pod has any of its own.
 * @throws NetworkError; what was done by then is for tearDownNetworks, or for the janitor when the pod's lock is free
 */
export async function connectPod(
  { networks, request }: ResolvedNetwork,
  c: Connecting,
): Promise<NetworksUp | undefined> {
  if (networks.length === 0) return undefined
  return setUpNetworks({
    pod: c.pod,
    networks,
    pluginDirs: request.dirs.plugins,
    stage1Program: c.stage1Program,
    janitorCgroups: janitorCgroups(c.cgroups),
    podParents: (['run', 'exited-garbage', 'garbage'] as const).map((name) => podParent(c.dir, name)),
    onLeft: c.onLeft,
    signal: c.signal,
  })
}

/**
 * Undoes what connectPod did or was about to do, for a pod that is not started. Why it is not started matters more than
 * what may be left then: that is told, and is the business of the next launch, `gc` or `rm`.
 *
 * @param connecting what connectPod gave; it comes to its end by its signal
 */
export async function disconnectPod(
  connecting: Promise<NetworksUp | undefined>,
  pod: LockedPod,
  { stage1Program, onLeft }: Pick<Connecting, 'stage1Program' | 'onLeft'>,
): Promise<void> {
  await Promise.allSettled([connecting]) // its error is why, or comes after it
  try {
    await tearDownNetworks(pod.path, stage1Program)
    new PodNetworkDir(pod.path).remove()
  } catch (err) {
    if (codeOf(err) === undefined) throw err
    onLeft(messageOf(err))
  }
}

/** Plan files by which the apps of a pod find names; an empty one leaves what the image has. */
export function nameFilesOfPod(
  { request }: ResolvedNetwork,
  manifest: PodManifest,
  up: NetworksUp | undefined,
): readonly (readonly [name: string, content: Uint8Array])[] {
  const { resolvConf, hosts } = nameFiles(request.names, {
    hostname: valueNamed(manifest.annotations, HOSTNAME_ANNOTATION) ?? 'localhost',
    addresses: (up?.joined ?? []).flatMap((n) => n.addresses).map((address) => address.replace(/\/.*$/, '')),
    network: up?.resolver ?? { nameservers: [], search: [], options: [] },
    hostResolvConf: () => hostFile('/etc/resolv.conf'),
    hostHosts: () => hostFile('/etc/hosts'),
    sharesHostNetwork: request.choice.kind === 'host',
  })
  return [
    ['resolv.conf', utf8(resolvConf)],
    ['hosts', utf8(hosts)],
  ]
}

/** A host without one has nothing to be copied. */
function hostFile(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8')
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return ''
    throw err
  }
}

/** Beside all pods: a janitor outlives its pod, and must not end with the unit or session that the pod was started in. */
function janitorCgroups({ v1, named, v2 }: CgroupMounts): JanitorCgroups {
  const group = (root: string): string => `${root}/holdfast/janitors`
  const withTasks = [...new Set([...Object.values(v1), ...(named === undefined ? [] : [named])])].map(group)
  const unified = v2 === undefined ? [] : [group(v2)]
  return {
    make: [...withTasks, ...unified],
    join: [...withTasks.map((g) => `${g}/tasks`), ...unified.map((g) => `${g}/cgroup.procs`)],
  }
}
