import { isIP } from 'node:net'
import { UsageError } from '../../attestation/base/index.ts'

/** What /etc/resolv.conf says (resolv.conf(5)). */
export interface Resolver {
  readonly nameservers: readonly string[]
  readonly domain?: string
  readonly search: readonly string[]
  readonly options: readonly string[]
}

/** A line of /etc/hosts. */
export interface HostsEntry {
  readonly ip: string
  readonly names: readonly string[]
}

/** How the apps of a pod find names, as the options say. */
export interface NameResolution {
  /**
   * `default`: what the pod's network says, or the host's file where the pod has the host's network. `host`: a copy of
   * the host's file. `none`: what the image has.
   */
  readonly dns: 'default' | 'host' | 'none' | Resolver
  /** `host`: a copy of the host's file. */
  readonly hosts: 'host' | readonly HostsEntry[]
}

/** The options as they were typed. */
export interface NameOptions {
  readonly dns: readonly string[]
  readonly domain?: string
  readonly search: readonly string[]
  readonly options: readonly string[]
  readonly hosts: readonly string[]
}

const MAX_ENTRIES = 64

/** @throws UsageError */
export function parseNameOptions(o: NameOptions): NameResolution {
  return { dns: parseDns(o), hosts: parseHosts(o.hosts) }
}

function parseDns(o: NameOptions): NameResolution['dns'] {
  const more = o.search.length > 0 || o.options.length > 0 || o.domain !== undefined
  const [first] = o.dns
  if (first === 'host' || first === 'none') {
    if (o.dns.length > 1 || more) throw new UsageError(`--dns ${first} goes with no other option of names`)
    return first
  }
  if (first === undefined && !more) return 'default'
  for (const [option, values] of [
    ['--dns', o.dns],
    ['--dns-search', o.search],
    ['--dns-opt', o.options],
  ] as const) {
    if (values.length > MAX_ENTRIES) throw new UsageError(`${option}: at most ${MAX_ENTRIES}`)
  }
  for (const ip of o.dns)
    if (isIP(ip) === 0) throw new UsageError(`--dns ${ip.slice(0, 40)}: give an IP address, host or none`)
  for (const name of o.search) checkName('--dns-search', name)
  if (o.domain !== undefined) checkName('--dns-domain', o.domain)
  for (const option of o.options) {
    if (!/^[a-z0-9-]{1,64}(:[0-9]{1,5})?$/.test(option))
      throw new UsageError(`--dns-opt ${option.slice(0, 40)}: as ndots:2`)
  }
  return {
    nameservers: o.dns,
    search: o.search,
    options: o.options,
    ...(o.domain === undefined ? {} : { domain: o.domain }),
  }
}

/** `IP=NAME`, several separated by commas, or `host`. Entries of one address are one line. */
function parseHosts(values: readonly string[]): NameResolution['hosts'] {
  if (values.includes('host')) {
    if (values.length > 1) throw new UsageError('--hosts-entry host goes with no other entry')
    return 'host'
  }
  const names = new Map<string, string[]>()
  for (const text of values.flatMap((v) => v.split(','))) {
    const at = text.indexOf('=')
    const [ip, name] = [text.slice(0, Math.max(at, 0)), text.slice(at + 1)]
    if (isIP(ip) === 0) throw new UsageError(`--hosts-entry ${text.slice(0, 80)}: write IP=NAME, or host`)
    checkName('--hosts-entry', name)
    names.set(ip, [...(names.get(ip) ?? []), name])
  }
  if (names.size > MAX_ENTRIES) throw new UsageError(`--hosts-entry: at most ${MAX_ENTRIES} addresses`)
  return [...names].map(([ip, list]) => ({ ip, names: list }))
}

function checkName(option: string, name: string): void {
  if (name.length > 253 || !/^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$/.test(name)) {
    throw new UsageError(`${option}: '${name.slice(0, 40)}' is no name of a host or domain`)
  }
}

/** What a pod's files are made of besides its options. */
export interface NameFacts {
  readonly hostname: string
  /** Addresses of the pod, without prefix lengths; empty where it has no network of its own. */
  readonly addresses: readonly string[]
  /** What the networks say of names. */
  readonly network: Resolver
  /** The host's files, where they are wanted. */
  readonly hostResolvConf: () => string
  readonly hostHosts: () => string
  readonly sharesHostNetwork: boolean
}

/** Content of /etc/resolv.conf and /etc/hosts of each app; empty leaves what the image has. */
export function nameFiles(n: NameResolution, f: NameFacts): { readonly resolvConf: string; readonly hosts: string } {
  return { resolvConf: resolvConf(n.dns, f), hosts: hosts(n.hosts, f) }
}

function resolvConf(dns: NameResolution['dns'], f: NameFacts): string {
  if (dns === 'none') return ''
  if (dns === 'host' || (dns === 'default' && f.sharesHostNetwork)) return f.hostResolvConf()
  if (dns === 'default') return resolverText(f.network)
  const { domain = f.network.domain } = dns
  return resolverText({
    nameservers: dns.nameservers.length > 0 ? dns.nameservers : f.network.nameservers,
    search: dns.search.length > 0 ? dns.search : f.network.search,
    options: dns.options.length > 0 ? dns.options : f.network.options,
    ...(domain === undefined ? {} : { domain }),
  })
}

function resolverText({ domain, search, nameservers, options }: Resolver): string {
  const lines = [
    ...(domain === undefined ? [] : [`domain ${domain}`]),
    ...(search.length === 0 ? [] : [`search ${search.join(' ')}`]),
    ...nameservers.map((ip) => `nameserver ${ip}`),
    ...(options.length === 0 ? [] : [`options ${options.join(' ')}`]),
  ]
  return lines.map((line) => `${line}\n`).join('')
}

function hosts(entries: NameResolution['hosts'], f: NameFacts): string {
  if (entries === 'host') return f.hostHosts()
  if (entries.length === 0 && f.addresses.length === 0) return ''
  const lines = [
    '127.0.0.1 localhost',
    '::1 localhost ip6-localhost ip6-loopback',
    ...f.addresses.map((ip) => `${ip} ${f.hostname}`),
    ...entries.map(({ ip, names }) => `${ip} ${names.join(' ')}`),
  ]
  return lines.map((line) => `${line}\n`).join('')
}
