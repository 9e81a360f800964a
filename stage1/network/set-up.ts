import { codeOf, messageOf, printable } from '../../attestation/base/index.ts'
import { NetworkError } from './errors.ts'
import type { Resolver } from './name-resolution.ts'
import type { JsonObject } from './network-config.ts'
import { checkPortsFree, connectedPods, findPodPath } from './other-pods.ts'
import { type Attachment, pluginEnvironment, pluginInput } from './plugin-call.ts'
import { checkPluginsUnchanged } from './plugin-programs.ts'
import { type PluginResult, parsePluginResult, pluginFailure } from './plugin-result.ts'
import { type JanitorCgroups, type JoinedNetwork, PodNetworkDir } from './pod-network-dir.ts'
import { type PluginStep, type PodNetwork, programsOf } from './resolve.ts'
import { runProgram, startFailure } from './run-program.ts'
import { tearDownAbandoned } from './tear-down.ts'

/** A pod that networks are set up for: its directory is there, and this process holds its lock. */
export interface PodToConnect {
  readonly uuid: string
  readonly path: string
  readonly fd: number
}

export interface SetUpOptions {
  readonly pod: PodToConnect
  /** At least one. */
  readonly networks: readonly PodNetwork[]
  readonly pluginDirs: readonly string[]
  /** Path of the static `holdfast-stage1`. */
  readonly stage1Program: string
  readonly janitorCgroups: JanitorCgroups
  /** Directories in which the pods of this data directory are that may have networks. */
  readonly podParents: readonly string[]
  /** Told what of other pods could not be undone; this one does not need it. */
  readonly onLeft: (message: string) => void
  readonly signal?: AbortSignal
}

/** What a pod found when its networks were set up. */
export interface NetworksUp {
  /** Absolute path of the namespace. */
  readonly namespace: string
  readonly joined: readonly JoinedNetwork[]
  /** What the last plugin of each network gave, in the same order. */
  readonly results: readonly PluginResult[]
  readonly resolver: Resolver
}

/** ADD takes 0.1 s at most here; one that waits for a DHCP server takes seconds. */
const PLUGIN_DEADLINE_MS = 30_000
const NAMESPACE_DEADLINE_MS = 10_000
const MAX_STEPS = 64

/**
 * Makes the pod's network namespace, leaves the janitor that will undo everything when the lock on the pod is given up,
 * and has the pod join its networks one after another.
 *
 * @throws NetworkError: what was done by then is undone as soon as the pod's lock is free
 */
export async function setUpNetworks(o: SetUpOptions): Promise<NetworksUp> {
  const directory = new PodNetworkDir(o.pod.path)
  const namespace = directory.create(o.pod.uuid, o.janitorCgroups)
  const ports = o.networks.flatMap((n) => n.ports)
  directory.writePorts(ports) // before it looks at those of others, who do the same: one of two sees the other
  const [others] = await Promise.all([undoOthers(o), makeNamespace(o)])
  checkPortsFree(ports, others)
  const joined: JoinedNetwork[] = []
  const results: PluginResult[] = []
  let position = 0
  for (const network of o.networks) {
    const attachment = {
      ...o,
      podUuid: o.pod.uuid,
      namespace,
      interfaceName: network.interfaceName,
      args: network.args,
    }
    const result = await join(o, directory, network, attachment, position)
    position += network.steps.length
    const { name } = network.configured.config
    joined.push({ name, interfaceName: network.interfaceName, addresses: result.addresses })
    results.push(result)
  }
  checkPluginsUnchanged(o.networks.flatMap(programsOf))
  directory.writeJoined(joined)
  // the first network that knows of name servers is the one that names are looked up by
  const resolvers = results.map((r) => r.dns)
  const resolver = resolvers.find((r) => r.nameservers.length > 0) ?? resolvers[0]
  return { namespace, joined, results, resolver: resolver ?? { nameservers: [], search: [], options: [] } }
}

/**
 * Where a janitor was killed, what its pod held is given back here at the latest.
 * @returns directories of the other pods that have networks now
 */
async function undoOthers({ pod, podParents, stage1Program, onLeft }: SetUpOptions): Promise<string[]> {
  const others = connectedPods()
    .filter((uuid) => uuid !== pod.uuid)
    .flatMap((uuid) => findPodPath(podParents, uuid) ?? [])
  for (const path of others) {
    await tearDownAbandoned(path, stage1Program).catch((err) => {
      if (codeOf(err) === undefined) throw err
      onLeft(messageOf(err))
    })
  }
  return others.filter((path) => new PodNetworkDir(path).needsUndo())
}

async function makeNamespace({ stage1Program, pod, signal }: SetUpOptions): Promise<void> {
  const args = ['network', pod.path]
  const run = { args, environment: [], deadlineMs: NAMESPACE_DEADLINE_MS, ...(signal === undefined ? {} : { signal }) }
  const { status, stderr } = await runProgram(stage1Program, run).catch((err) => {
    throw new NetworkError('NETWORK_NAMESPACE_FAILED', startFailure(stage1Program, err), { cause: err })
  })
  if (status === 0) return
  throw new NetworkError(
    'NETWORK_NAMESPACE_FAILED',
    `no network namespace could be made: ${printable(new TextDecoder().decode(stderr).trim(), 600) || 'it was given up'}`,
  )
}

/** ADD of each plugin of one network. @param first position of its first step among all of the pod's */
async function join(
  o: SetUpOptions,
  directory: PodNetworkDir,
  network: PodNetwork,
  attachment: Attachment,
  first: number,
): Promise<PluginResult> {
  const { config } = network.configured
  if (first + network.steps.length > MAX_STEPS) {
    throw new NetworkError('NETWORK_NAMESPACE_FAILED', `the networks of a pod have at most ${MAX_STEPS} plugins`)
  }
  const noteUndo = ({ plugin, program }: PluginStep, i: number, obligation: 'must' | 'may', last?: JsonObject): void =>
    directory.writeStep(
      first + i,
      obligation,
      program.path,
      pluginInput(config, plugin, network.ports, last),
      pluginEnvironment('DEL', attachment),
    )
  let result: PluginResult | undefined
  for (const [i, step] of network.steps.entries()) {
    noteUndo(step, i, 'must')
    result = await add(o, network, step, attachment, result?.object).catch((err) => {
      if (codeOf(err) === 'NETWORK_PLUGIN_FAILED') noteUndo(step, i, 'may')
      throw err
    })
  }
  if (result === undefined) throw new TypeError('a configuration has at least one plugin')
  for (const [i, step] of network.steps.entries()) noteUndo(step, i, 'must', result.object)
  return result
}

async function add(
  o: SetUpOptions,
  network: PodNetwork,
  { plugin, program }: PluginStep,
  attachment: Attachment,
  previous: JsonObject | undefined,
): Promise<PluginResult> {
  const { config } = network.configured
  const what = `plugin ${plugin.type} of network ${config.name}`
  const end = await runProgram(program.path, {
    environment: pluginEnvironment('ADD', attachment),
    input: pluginInput(config, plugin, network.ports, previous),
    holds: o.pod.fd, // nothing is undone while it is still doing, even when this process is killed
    deadlineMs: PLUGIN_DEADLINE_MS,
    ...(o.signal === undefined ? {} : { signal: o.signal }),
  }).catch((err) => {
    throw new NetworkError('NETWORK_PLUGIN_FAILED', `${what}: ${startFailure(program.path, err)}`, { cause: err })
  })
  if (end.killed) {
    const why = o.signal?.aborted ? 'was given up' : `did not end within ${PLUGIN_DEADLINE_MS / 1000} s and was killed`
    throw new NetworkError('NETWORK_PLUGIN_TIMEOUT', `${what} ${why}`)
  }
  if (end.status === 0) return parsePluginResult(end.stdout, config.cniVersion, what)
  const { code, said } = pluginFailure(end.stdout, end.stderr)
  throw new NetworkError(
    'NETWORK_PLUGIN_FAILED',
    `${what} failed${code === undefined ? '' : ` with code ${code}`}: ${said}`,
    {
      hint: hintFor(said, network),
    },
  )
}

function hintFor(said: string, { configured }: PodNetwork): string {
  if (/iptables/.test(said) && /not found|locate/.test(said)) return 'It needs iptables: apt-get install iptables.'
  if (/failed to find plugin/.test(said))
    return 'A plugin that it calls is missing: apt-get install containernetworking-plugins.'
  if (/unknown args/.test(said))
    return 'Add ;IgnoreUnknown=1 to the arguments of --net: each plugin of the network gets them all.'
  return `The network is configured in ${configured.file}.`
}
