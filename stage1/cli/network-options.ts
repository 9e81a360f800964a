import path from 'node:path'
import {
  type NameResolution,
  NETWORK_DIRS,
  type NetworkChoice,
  PLUGIN_DIRS,
  parseNameOptions,
  parseNetworkChoice,
} from '../network/index.ts'
import type { NetworkRequest } from '../pod/index.ts'
import { installation } from './installation.ts'
import type { OptionSpec, OptionValues } from './option-table.ts'

/** The network of a launch, as `run` and `run-prepared` are asked for it. */
export interface NetworkOptions {
  readonly choice: NetworkChoice
  readonly names: NameResolution
  /** Options of names as they were given. */
  readonly nameWords: readonly string[]
  /** As typed; empty for the usual ones. */
  readonly configDirs: readonly string[]
  readonly pluginDirs: readonly string[]
}

/** Of `run` and `prepare`: ports are of the pod, whatever network it is launched with. */
export const PORT_OPTION: OptionSpec = {
  name: 'port',
  value: 'NAME:[IP:]PORT',
  several: true,
  of: 'pod',
  help: [
    "a port of the host that leads to the pod's; NAME is a port of an image, or the port itself: 80-tcp:8080, 53-udp:10.0.0.1:53",
    'It needs a network that forwards ports, as default does; policies see it',
  ],
}

/** Options of `run` and `run-prepared`. */
export const NETWORK_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'net',
    value: 'NETWORKS',
    several: true,
    of: 'pod',
    help: [
      "none (default): only loopback; host: the host's interfaces; default: a network of its own with a way out;",
      'default-restricted: one that reaches the host only; all; or names of CNI networks with arguments: lan:IP=10.1.0.9;K=V,default',
    ],
  },
  {
    name: 'dns',
    value: 'IP|host|none',
    several: true,
    of: 'pod',
    help: [
      "name servers; host: a copy of the host's resolv.conf; none: the image's (default: what the network says; with --net host the host's)",
    ],
  },
  { name: 'dns-search', value: 'DOMAIN', several: true, of: 'pod', help: ['search domain of resolv.conf'] },
  { name: 'dns-opt', value: 'OPTION', several: true, of: 'pod', help: ['option of resolv.conf, as ndots:2'] },
  { name: 'dns-domain', value: 'DOMAIN', of: 'pod', help: ['domain of resolv.conf'] },
  {
    name: 'hosts-entry',
    value: 'IP=NAME|host',
    several: true,
    of: 'pod',
    help: ["a line of /etc/hosts; host: a copy of the host's file"],
  },
  {
    name: 'net-dir',
    value: 'DIRECTORY',
    several: true,
    of: 'command',
    help: [`configurations of networks (default ${NETWORK_DIRS.join(', ')}, and what came with holdfast)`],
  },
  {
    name: 'cni-dir',
    value: 'DIRECTORY',
    several: true,
    of: 'command',
    help: [`plugins of networks (default ${PLUGIN_DIRS.join(', ')})`],
  },
]

/** @throws UsageError */
export function readNetworkOptions(o: OptionValues): NetworkOptions {
  const domain = o.last('dns-domain')
  const names = ['dns', 'dns-search', 'dns-opt', 'dns-domain', 'hosts-entry']
  return {
    choice: parseNetworkChoice(o.all('net')),
    names: parseNameOptions({
      dns: o.all('dns'),
      search: o.all('dns-search'),
      options: o.all('dns-opt'),
      hosts: o.all('hosts-entry'),
      ...(domain === undefined ? {} : { domain }),
    }),
    nameWords: names.flatMap((name) => o.all(name).map((value) => `${name}=${value}`)),
    configDirs: o.all('net-dir'),
    pluginDirs: o.all('cni-dir'),
  }
}

/** @param cwd what typed paths are relative to */
export function networkRequest(
  { choice, names, nameWords, configDirs, pluginDirs }: NetworkOptions,
  cwd: string,
): NetworkRequest {
  const at = (dir: string): string => path.resolve(cwd, dir)
  return {
    choice,
    names,
    nameWords,
    dirs: {
      configs: configDirs.length === 0 ? [...NETWORK_DIRS, installation().networks] : configDirs.map(at),
      plugins: pluginDirs.length === 0 ? PLUGIN_DIRS : pluginDirs.map(at),
    },
  }
}
