import { isIP } from 'node:net'
import { fromUtf8, printable } from '../../attestation/base/index.ts'
import { ManifestError, parseJson, ShapeReader } from '../manifest/index.ts'
import { NetworkError } from './errors.ts'
import type { Resolver } from './name-resolution.ts'
import type { JsonObject } from './network-config.ts'

/** What ADD gave (CNI specification 1.0.0, section 5, "Success"). */
export interface PluginResult {
  /** As it came: the next plugin gets it, and DEL. */
  readonly object: JsonObject
  /** Of the pod's interfaces, with prefix lengths, such as `172.16.28.2/24`. */
  readonly addresses: readonly string[]
  readonly dns: Resolver
}

const MAX_ITEMS = 64

/**
 * @param bytes of the plugin's standard output
 * @param what names plugin and network in messages
 * @throws NetworkError NETWORK_RESULT_BAD with every bad member
 */
export function parsePluginResult(bytes: Uint8Array, cniVersion: string, what: string): PluginResult {
  const r = new ShapeReader(`the result of ${what}`)
  try {
    const object = r.object(parseJson(bytes, `the result of ${what}`), '$')
    JSON.stringify(object) // it is handed on
    if (object['cniVersion'] !== cniVersion)
      r.complain('$.cniVersion', `must be ${cniVersion}, as in the configuration`)
    const sandboxed = r
      .list(object['interfaces'], '$.interfaces', MAX_ITEMS)
      .map((v, i) =>
        Boolean(r.optionalString(r.object(v, `$.interfaces[${i}]`)['sandbox'], `$.interfaces[${i}].sandbox`)),
      )
    const addresses = r
      .list(object['ips'], '$.ips', MAX_ITEMS)
      .flatMap((v, i) => readAddress(r, v, `$.ips[${i}]`, sandboxed))
    const dns = readResolver(r, object['dns'])
    r.finish()
    return { object, addresses, dns }
  } catch (err) {
    if (err instanceof ManifestError || err instanceof RangeError) {
      throw new NetworkError('NETWORK_RESULT_BAD', err.message, {
        hint: 'The plugin is at fault: look for another version of it.',
      })
    }
    throw err
  }
}

/** An address of an interface of the host, such as that of a bridge, is not the pod's. */
function readAddress(r: ShapeReader, value: unknown, path: string, sandboxed: readonly boolean[]): string[] {
  const o = r.object(value, path)
  const address = r.string(o['address'], `${path}.address`)
  const [ip = '', prefix = ''] = address.split('/')
  if (isIP(ip) === 0 || !/^[0-9]{1,3}$/.test(prefix))
    r.complain(`${path}.address`, 'must be an address with its prefix length')
  const at = o['interface']
  return typeof at === 'number' && sandboxed[at] === false ? [] : [address]
}

function readResolver(r: ShapeReader, value: unknown): Resolver {
  const o = r.optionalObject(value, '$.dns') ?? {}
  const words = (name: string): readonly string[] => {
    const list = r.strings(o[name], `$.dns.${name}`, MAX_ITEMS)
    // each becomes a word of a line of /etc/resolv.conf
    for (const [i, word] of list.entries())
      if (!/^[\x21-\x7e]+$/.test(word)) r.complain(`$.dns.${name}[${i}]`, 'must be one word')
    return list
  }
  const domain = r.optionalString(o['domain'], '$.dns.domain') || undefined
  if (domain !== undefined && !/^[\x21-\x7e]+$/.test(domain)) r.complain('$.dns.domain', 'must be one word')
  const nameservers = words('nameservers')
  return {
    nameservers,
    search: words('search'),
    options: words('options'),
    ...(domain === undefined ? {} : { domain }),
  }
}

const MAX_SAID = 600

/**
 * What a plugin that failed says: its error code and words (section 5, "Error"), or whatever else it printed. Fit for a
 * terminal.
 */
export function pluginFailure(
  stdout: Uint8Array,
  stderr: Uint8Array,
): { readonly code?: number; readonly said: string } {
  try {
    const value: unknown = JSON.parse(fromUtf8(stdout))
    if (typeof value === 'object' && value !== null && 'msg' in value && typeof value.msg === 'string') {
      const details =
        'details' in value && typeof value.details === 'string' && value.details !== '' ? `; ${value.details}` : ''
      const said = printable(`${value.msg}${details}`).slice(0, MAX_SAID)
      return 'code' in value && typeof value.code === 'number' ? { code: value.code, said } : { said }
    }
  } catch (err) {
    if (!(err instanceof SyntaxError || err instanceof TypeError)) throw err
  }
  const text = [stderr, stdout].map((bytes) => new TextDecoder().decode(bytes.subarray(0, MAX_SAID)).trim())
  return { said: printable(text.find((t) => t !== '') ?? 'it said nothing').slice(0, MAX_SAID) }
}
