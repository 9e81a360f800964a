export { type NetworkChoice, type NetworkWish, parseNetworkChoice } from './choice.ts'
export { type ConfiguredNetwork, NETWORK_DIRS, readConfiguredNetworks } from './configured.ts'
export { NetworkError, type NetworkErrorCode } from './errors.ts'
export {
  type HostsEntry,
  type NameFacts,
  type NameOptions,
  type NameResolution,
  nameFiles,
  parseNameOptions,
  type Resolver,
} from './name-resolution.ts'
export { type NetworkConfig, type PluginConfig, parseNetworkConfig } from './network-config.ts'
export { type Attachment, neededPlugins, pluginEnvironment, pluginInput } from './plugin-call.ts'
export { PLUGIN_DIRS, type PluginProgram } from './plugin-programs.ts'
export { parsePluginResult, pluginFailure } from './plugin-result.ts'
export { type PodInterface, podInterface } from './pod-interface.ts'
export { type JanitorCgroups, type JoinedNetwork, NAMESPACE_DIR, PodNetworkDir } from './pod-network-dir.ts'
export {
  type AppPort,
  mapPorts,
  type PortWish,
  parsePortWishes,
  portsCollide,
} from './port-mappings.ts'
export { type NetworkDirs, type PodNetwork, programsOf, resolveNetworks } from './resolve.ts'
export { type NetworksUp, type PodToConnect, type SetUpOptions, setUpNetworks } from './set-up.ts'
export { tearDownNetworks } from './tear-down.ts'
