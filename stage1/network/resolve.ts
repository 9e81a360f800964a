import type { PortMapping } from '../manifest/index.ts'
import type { NetworkChoice, NetworkWish } from './choice.ts'
import { type ConfiguredNetwork, readConfiguredNetworks } from './configured.ts'
import { NetworkError } from './errors.ts'
import type { PluginConfig } from './network-config.ts'
import { forwards, neededPlugins } from './plugin-call.ts'
import { findPlugin, type PluginProgram } from './plugin-programs.ts'

/** A plugin of a network with its program. */
export interface PluginStep {
  readonly plugin: PluginConfig
  readonly program: PluginProgram
}

/** A network that a pod is to join, with everything that takes part in it. */
export interface PodNetwork {
  readonly configured: ConfiguredNetwork
  readonly args: readonly string[]
  readonly interfaceName: string
  readonly steps: readonly PluginStep[]
  /** Programs that plugins call: those that give addresses. */
  readonly helpers: readonly PluginProgram[]
  /** What this network forwards to the pod. */
  readonly ports: readonly PortMapping[]
}

/** Where configurations and plugins are looked for, absolute, first one first. */
export interface NetworkDirs {
  readonly configs: readonly string[]
  readonly plugins: readonly string[]
}

/**
 * Finds everything that a pod's networks need. Nothing is done yet.
 *
 * @returns without any for `none` and `host`
 * @throws NetworkError NETWORK_NOT_FOUND, NETWORK_PORTS_IMPOSSIBLE, and those of configurations and plugins
 */
export function resolveNetworks(
  choice: NetworkChoice,
  ports: readonly PortMapping[],
  dirs: NetworkDirs,
): readonly PodNetwork[] {
  const chosen =
    choice.kind === 'named' || choice.kind === 'all' ? choose(choice, readConfiguredNetworks(dirs.configs)) : []
  // several could forward a port, but only one of them would get its packets
  const forwarding = chosen.findIndex(({ configured }) => configured.config.plugins.some(forwards))
  if (ports.length > 0 && forwarding < 0) throw portsImpossible(choice)
  return chosen.map(({ configured, wish }, i) => {
    const own = i === forwarding ? ports : []
    const { name } = configured.config
    const plugins = neededPlugins(configured.config, own)
    const find = (type: string): PluginProgram => findPlugin(type, dirs.plugins, name)
    const helpers = new Set(plugins.flatMap((p) => p.ipam ?? []))
    return {
      configured,
      args: wish.args,
      interfaceName: `eth${i}`,
      steps: plugins.map((plugin) => ({ plugin, program: find(plugin.type) })),
      helpers: [...helpers].map(find),
      ports: own,
    }
  })
}

/** All programs that take part in a network, each once. */
export function programsOf(network: PodNetwork): readonly PluginProgram[] {
  const programs = [...network.steps.map((s) => s.program), ...network.helpers]
  return programs.filter((p, i) => programs.findIndex((q) => q.path === p.path) === i)
}

function choose(
  choice: Extract<NetworkChoice, { kind: 'named' | 'all' }>,
  all: ReadonlyMap<string, ConfiguredNetwork>,
): { readonly configured: ConfiguredNetwork; readonly wish: NetworkWish }[] {
  const wishes = choice.kind === 'named' ? choice.networks : [...all.keys()].map((name) => ({ name, args: [] }))
  return wishes.map((wish) => {
    const configured = all.get(wish.name)
    if (configured !== undefined) return { configured, wish }
    throw new NetworkError(
      'NETWORK_NOT_FOUND',
      `no network is called ${wish.name}; there are ${[...all.keys()].join(', ') || 'none'}`,
      {
        hint: 'Configure it in a file of /etc/holdfast/net.d (CNI, .conf or .conflist).',
      },
    )
  })
}

function portsImpossible({ kind }: NetworkChoice): NetworkError {
  if (kind === 'host') {
    return new NetworkError(
      'NETWORK_PORTS_IMPOSSIBLE',
      'a pod with the network of the host has the ports of the host already',
      {
        hint: 'Leave --port out, or give the pod a network of its own: --net default.',
      },
    )
  }
  const why = kind === 'none' ? 'a pod without a network has no ports' : 'none of the networks forwards ports'
  const hint =
    kind === 'none'
      ? 'Give it one: --net default.'
      : 'Add { "type": "portmap", "capabilities": { "portMappings": true } } to the plugins of one.'
  return new NetworkError('NETWORK_PORTS_IMPOSSIBLE', why, { hint })
}
