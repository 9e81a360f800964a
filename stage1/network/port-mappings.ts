import { isIP } from 'node:net'
import { UsageError } from '../../attestation/base/index.ts'
import type { PortMapping } from '../manifest/index.ts'

/** A port that an app says it listens on. */
export interface AppPort {
  readonly name: string
  readonly protocol: string
  readonly port: number
}

/** `--port` as it was typed. */
export interface PortWish {
  readonly name: string
  readonly hostPort: number
  readonly hostIp?: string
}

const MAX_PORTS = 64

/** Reads `--port NAME:[IP:]PORT`; an IPv6 address stands in brackets. @throws UsageError */
export function parsePortWishes(values: readonly string[]): PortWish[] {
  if (values.length > MAX_PORTS) throw new UsageError(`--port: at most ${MAX_PORTS} ports`)
  return values.map((text) => {
    const parts = /^([a-z0-9]+(?:-[a-z0-9]+)*):(?:(\[[^\]]{1,45}\]|[^:[\]]{1,45}):)?([0-9]{1,5})$/.exec(text)
    const [, name = '', address, port = ''] = parts ?? []
    const hostIp = address?.replace(/^\[(.*)\]$/, '$1')
    if (parts === null || !isPort(Number(port)) || (hostIp !== undefined && isIP(hostIp) === 0)) {
      throw new UsageError(
        `--port ${text.slice(0, 80)}: write NAME:PORT or NAME:IP:PORT, as web:8080 or 80-tcp:127.0.0.1:8080`,
      )
    }
    return { name, hostPort: Number(port), ...(hostIp === undefined ? {} : { hostIp }) }
  })
}

/**
 * Finds the pod's port for each wish. A name like `80-tcp` needs no image that says so; names of OCI images are all of
 * that form.
 *
 * @param ports of all apps of the pod; apps share one network, so a name must mean one port
 * @throws UsageError
 */
export function mapPorts(wishes: readonly PortWish[], ports: readonly AppPort[]): PortMapping[] {
  const mappings = wishes.map((wish) => ({ ...podPortOf(wish.name, ports), ...wish }))
  for (const [i, a] of mappings.entries()) {
    if (mappings.slice(0, i).some((b) => portsCollide(a, b))) {
      throw new UsageError(`--port ${a.name}: port ${a.hostPort}/${a.protocol} of the host is asked for twice`)
    }
  }
  return mappings
}

function podPortOf(name: string, ports: readonly AppPort[]): Pick<PortMapping, 'podPort' | 'protocol'> {
  const [, number = '', ending] = /^([0-9]{1,5})-(tcp|udp)$/.exec(name) ?? []
  const found = ports.filter((p) => p.name === name)
  const [first] = found
  if (first === undefined) {
    if (isPort(Number(number)) && ending !== undefined)
      return { podPort: Number(number), protocol: protocolOf(name, ending) }
    throw new UsageError(
      `--port ${name}: the pod has no port of that name; it has ${ports.map((p) => p.name).join(', ') || 'none'}. NUMBER-tcp and NUMBER-udp need no name in the image`,
    )
  }
  if (found.some((p) => p.port !== first.port || p.protocol !== first.protocol)) {
    throw new UsageError(
      `--port ${name}: apps of the pod have several ports of that name; write it as NUMBER-tcp or NUMBER-udp`,
    )
  }
  return { podPort: first.port, protocol: protocolOf(name, first.protocol) }
}

function protocolOf(name: string, protocol: string): 'tcp' | 'udp' {
  if (protocol === 'tcp' || protocol === 'udp') return protocol
  throw new UsageError(`--port ${name}: only tcp and udp can be forwarded, and it is ${protocol.slice(0, 20)}`)
}

/** Whether both would want the same packets. */
export function portsCollide(
  a: Pick<PortMapping, 'hostPort' | 'protocol' | 'hostIp'>,
  b: Pick<PortMapping, 'hostPort' | 'protocol' | 'hostIp'>,
): boolean {
  return (
    a.hostPort === b.hostPort && a.protocol === b.protocol && (everywhere(a) || everywhere(b) || a.hostIp === b.hostIp)
  )
}

function everywhere({ hostIp }: Pick<PortMapping, 'hostIp'>): boolean {
  return hostIp === undefined || hostIp === '0.0.0.0' || hostIp === '::'
}

function isPort(n: number): boolean {
  return Number.isInteger(n) && n >= 1 && n <= 65535
}
