import { isIP } from 'node:net'
import { ShapeReader } from '../manifest/index.ts'
import type { JsonObject } from './network-config.ts'
import type { PluginResult } from './plugin-result.ts'

/** An interface of a pod as its plugins made it, for who has to make it anew elsewhere: a guest with a kernel of its own. */
export interface PodInterface {
  readonly name: string
  /** Lowercase, such as `0a:58:0a:00:00:02`. */
  readonly mac: string
  readonly mtu?: number
  /** With prefix lengths. */
  readonly addresses: readonly string[]
  /** A route without a gateway leads to the link itself. */
  readonly routes: readonly { readonly destination: string; readonly gateway?: string }[]
}

const MAX_ITEMS = 64

/**
 * CNI specification 1.0.0, section 5, "Success": `interfaces`, `ips`, `routes`. A route that names no gateway takes that of
 * the first address of its family that has one.
 *
 * @returns undefined where the plugins do not say which hardware address the interface has
 * @throws ManifestError for a member of the wrong form
 */
export function podInterface({ object, addresses }: PluginResult, name: string): PodInterface | undefined {
  const r = new ShapeReader('the result of the plugins')
  const at = r
    .list(object['interfaces'], '$.interfaces', MAX_ITEMS)
    .map((v, i) => r.object(v, `$.interfaces[${i}]`))
    .find((o) => o['name'] === name && o['sandbox'])
  const mac = at === undefined ? undefined : r.optionalString(at['mac'], '$.interfaces.mac')?.toLowerCase()
  const gateways = r
    .list(object['ips'], '$.ips', MAX_ITEMS)
    .flatMap((v, i) => addressWord(r, r.object(v, `$.ips[${i}]`)['gateway'], `$.ips[${i}].gateway`))
  const routes = r.list(object['routes'], '$.routes', MAX_ITEMS).flatMap((v, i) => {
    const o = r.object(v, `$.routes[${i}]`)
    const destination = r.string(o['dst'], `$.routes[${i}].dst`)
    const [ip = '', prefix = ''] = destination.split('/')
    if (isIP(ip) === 0 || !/^[0-9]{1,3}$/.test(prefix))
      r.complain(`$.routes[${i}].dst`, 'must be an address with a prefix')
    const [own] = addressWord(r, o['gw'], `$.routes[${i}].gw`)
    const gateway = own ?? gateways.find((g) => isIP(g) === isIP(ip))
    return [{ destination, ...(gateway === undefined ? {} : { gateway }) }]
  })
  r.finish()
  if (mac === undefined || !/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac)) return undefined
  const mtu = mtuOf(at)
  return { name, mac, ...(mtu === undefined ? {} : { mtu }), addresses, routes }
}

/** Version 1.1.0 has it; those of plugins that say nothing are the kernel's default. */
function mtuOf(interfaceOfPod: JsonObject | undefined): number | undefined {
  const mtu = interfaceOfPod?.['mtu']
  return typeof mtu === 'number' && Number.isInteger(mtu) && mtu >= 68 && mtu <= 65_535 ? mtu : undefined
}

function addressWord(r: ShapeReader, value: unknown, path: string): string[] {
  const word = r.optionalString(value, path)
  if (word === undefined || word === '') return []
  if (isIP(word) === 0) r.complain(path, 'must be an address')
  return [word]
}
