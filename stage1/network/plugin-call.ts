import type { PortMapping } from '../manifest/index.ts'
import type { JsonObject, NetworkConfig, PluginConfig } from './network-config.ts'

/** Where a pod joins a network, as its plugins are told (CNI specification 1.0.0, section 2, "Parameters"). */
export interface Attachment {
  readonly podUuid: string
  /** Absolute path of the network namespace. */
  readonly namespace: string
  /** Name of the interface in the pod. */
  readonly interfaceName: string
  /** Absolute directories in which plugins find each other. */
  readonly pluginDirs: readonly string[]
  /** CNI_ARGS, as `NAME=VALUE`. */
  readonly args: readonly string[]
}

const CAPABILITY_PORTS = 'portMappings'

/** Plugins look for iptables and the like; what the caller has in its environment is none of their business. */
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** The environment of one call, as `NAME=VALUE`. */
export function pluginEnvironment(command: 'ADD' | 'DEL', a: Attachment): string[] {
  return [
    `PATH=${PATH}`,
    `CNI_COMMAND=${command}`,
    `CNI_CONTAINERID=${a.podUuid}`,
    `CNI_NETNS=${a.namespace}`,
    `CNI_IFNAME=${a.interfaceName}`,
    `CNI_PATH=${a.pluginDirs.join(':')}`,
    ...(a.args.length === 0 ? [] : [`CNI_ARGS=${a.args.join(';')}`]),
  ]
}

/**
 * The configuration that a plugin gets on its standard input (section 3, "Deriving execution configuration from plugin
 * configuration").
 *
 * @param previous for ADD the result of the plugin before it; for DEL that of the last one, where there is one
 */
export function pluginInput(
  network: NetworkConfig,
  plugin: PluginConfig,
  ports: readonly PortMapping[],
  previous?: JsonObject,
): string {
  const { capabilities: _, runtimeConfig: __, prevResult: ___, ...own } = plugin.object
  return JSON.stringify({
    ...own,
    cniVersion: network.cniVersion,
    name: network.name,
    ...(forwards(plugin) && ports.length > 0 ? { runtimeConfig: { [CAPABILITY_PORTS]: ports.map(portMapping) } } : {}),
    ...(previous === undefined ? {} : { prevResult: previous }),
  })
}

/**
 * The plugins that a pod needs of a network: all, but for `portmap` where no port is forwarded. It would only hand its
 * input on, which costs a tenth of a launch.
 */
export function neededPlugins(network: NetworkConfig, ports: readonly PortMapping[]): readonly PluginConfig[] {
  return network.plugins.filter(({ type }, i) => type !== 'portmap' || i === 0 || ports.length > 0)
}

/** Whether a plugin takes ports to be forwarded. */
export function forwards(plugin: PluginConfig): boolean {
  return plugin.capabilities.includes(CAPABILITY_PORTS)
}

function portMapping(p: PortMapping): JsonObject {
  return {
    hostPort: p.hostPort,
    containerPort: p.podPort,
    protocol: p.protocol,
    ...(p.hostIp ? { hostIP: p.hostIp } : {}),
  }
}
