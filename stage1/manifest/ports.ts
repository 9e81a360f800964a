import { type AcName, acName } from './ac-name.ts'
import type { ShapeReader } from './reader.ts'

/** A port that an app listens on (App Container specification v0.8.11, "Image Manifest Schema", `ports`). */
export interface Port {
  readonly name: AcName
  /** `tcp` or `udp`; others are read and cannot be forwarded. */
  readonly protocol: string
  readonly port: number
}

/** A port of the host that leads to one of the pod ("Pod Manifest Schema", `ports`). */
export interface ExposedPort {
  readonly name: AcName
  readonly hostPort: number
  /** All addresses of the host where it is absent. */
  readonly hostIP?: string
  readonly podPort: Port & { readonly protocol: 'tcp' | 'udp' }
}

const MAX_PORTS = 256

/**
 * Reads the ports of an app. A range (`count`) is the port that it begins with, and `socketActivated` is not used: nobody
 * else listens for an app here.
 */
export function readPorts(r: ShapeReader, value: unknown, path: string): Port[] {
  return r.list(value, path, MAX_PORTS).flatMap((v, i) => readPort(r, v, `${path}[${i}]`))
}

/** Reads the ports of a pod. Each says its port of the pod itself: a name alone may mean another in another image. */
export function readExposedPorts(r: ShapeReader, value: unknown, path: string): ExposedPort[] {
  return r.list(value, path, MAX_PORTS).flatMap((v, i) => {
    const at = `${path}[${i}]`
    const o = r.object(v, at)
    r.onlyKnown(o, at, ['name', 'hostPort', 'hostIP', 'podPort'])
    const name = r.checked(() => acName(r.string(o['name'], `${at}.name`)), `${at}.name`)
    const hostIP = r.optionalString(o['hostIP'], `${at}.hostIP`)
    if (hostIP !== undefined && !/^[0-9a-fA-F:.]{2,45}$/.test(hostIP))
      r.complain(`${at}.hostIP`, 'must be an IP address')
    const hostPort = readNumber(r, o['hostPort'], `${at}.hostPort`)
    const [podPort] = readPort(r, o['podPort'], `${at}.podPort`)
    if (name === undefined || podPort === undefined) return []
    const { protocol } = podPort
    if (protocol === 'tcp' || protocol === 'udp') {
      return [{ name, hostPort, podPort: { ...podPort, protocol }, ...(hostIP === undefined ? {} : { hostIP }) }]
    }
    r.complain(`${at}.podPort.protocol`, "must be 'tcp' or 'udp' to be forwarded")
    return []
  })
}

/** Ports of an OCI image configuration, as `80/tcp` or `80`: named `80-tcp`. What has another form forwards nothing. */
export function portsFromOci(exposed: readonly string[]): Port[] {
  return exposed.flatMap((text) => {
    const [, digits, protocol = 'tcp'] = /^([0-9]{1,5})(?:\/([a-z]{1,8}))?$/.exec(text) ?? []
    const port = Number(digits)
    return port >= 1 && port <= LAST_PORT ? [{ name: acName(`${port}-${protocol}`), protocol, port }] : []
  })
}

/** A port of the host that leads to the pod, as a launch request says it. */
export interface PortMapping {
  readonly name: string
  readonly protocol: 'tcp' | 'udp'
  readonly podPort: number
  readonly hostPort: number
  readonly hostIp?: string
}

/** Ports of a pod for a launch request and its policies, and for what forwards them. */
export function manifestPorts({ ports = [] }: { readonly ports?: readonly ExposedPort[] }): PortMapping[] {
  return ports.map(({ name, hostPort, hostIP, podPort }) => ({
    name,
    protocol: podPort.protocol,
    podPort: podPort.port,
    hostPort,
    ...(hostIP === undefined ? {} : { hostIp: hostIP }),
  }))
}

const LAST_PORT = 65535

function readPort(r: ShapeReader, value: unknown, path: string): Port[] {
  const o = r.object(value, path)
  const name = r.checked(() => acName(r.string(o['name'], `${path}.name`)), `${path}.name`)
  const protocol = r.string(o['protocol'], `${path}.protocol`)
  if (!/^[a-z0-9]{1,16}$/.test(protocol)) r.complain(`${path}.protocol`, "must be a protocol such as 'tcp'")
  const port = readNumber(r, o['port'], `${path}.port`)
  return name === undefined ? [] : [{ name, protocol, port }]
}

function readNumber(r: ShapeReader, value: unknown, path: string): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= LAST_PORT) return value
  r.complain(path, `must be a port from 1 to ${LAST_PORT}`)
  return 1
}
