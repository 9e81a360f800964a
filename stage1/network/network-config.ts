import { messageOf } from '../../attestation/base/index.ts'
import { ManifestError, parseJson, ShapeReader } from '../manifest/index.ts'
import { NetworkError } from './errors.ts'

/** Versions of the CNI specification whose configurations and results are understood. */
export const CNI_VERSIONS = ['0.3.0', '0.3.1', '0.4.0', '1.0.0'] as const

/** A JSON object as it was read. */
export type JsonObject = Readonly<Record<string, unknown>>

/** One plugin of a network, in the order of ADD. */
export interface PluginConfig {
  /** Name of the program. */
  readonly type: string
  /** Name of the program that it calls for addresses. */
  readonly ipam?: string
  /** Names of the capabilities that it declares, such as `portMappings`. */
  readonly capabilities: readonly string[]
  /** All of it, members unknown here too: the plugin's own. */
  readonly object: JsonObject
}

/** A network as an administrator configured it (CNI specification 1.0.0, section 1). */
export interface NetworkConfig {
  readonly name: string
  readonly cniVersion: string
  readonly plugins: readonly PluginConfig[]
}

export const MAX_CONFIG_BYTES = 256 << 10
const MAX_PLUGINS = 16
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/
/** They mean something else in `--net`. */
export const RESERVED_NAMES = ['none', 'host', 'all'] as const

/**
 * Reads a configuration: a list of plugins (`.conflist`), or one plugin alone (`.conf`), which is a list of one.
 *
 * @param file what messages call it
 * @throws NetworkError NETWORK_CONFIG_BAD with every bad member
 */
export function parseNetworkConfig(bytes: Uint8Array, file: string): NetworkConfig {
  if (bytes.length > MAX_CONFIG_BYTES) throw bad(`${file} has more than ${MAX_CONFIG_BYTES} bytes`)
  const r = new ShapeReader(file)
  try {
    const o = r.object(parseJson(bytes, file), '$')
    JSON.stringify(o) // what cannot be written again, for its depth, cannot be given to a plugin
    const config = 'plugins' in o ? readList(r, o) : { ...readHead(r, o), plugins: [readPlugin(r, o, '$')] }
    r.finish()
    return config
  } catch (err) {
    if (err instanceof ManifestError) throw bad(err.message)
    if (err instanceof RangeError) throw bad(`${file}: ${messageOf(err)}`)
    throw err
  }
}

function readList(r: ShapeReader, o: JsonObject): NetworkConfig {
  const plugins = r.list(o['plugins'], '$.plugins', MAX_PLUGINS)
  if (plugins.length === 0) r.complain('$.plugins', 'names no plugin')
  return { ...readHead(r, o), plugins: plugins.map((v, i) => readPlugin(r, v, `$.plugins[${i}]`)) }
}

function readHead(r: ShapeReader, o: JsonObject): Pick<NetworkConfig, 'name' | 'cniVersion'> {
  const cniVersion = r.string(o['cniVersion'], '$.cniVersion')
  if (!(CNI_VERSIONS as readonly string[]).includes(cniVersion)) {
    r.complain('$.cniVersion', `must be one of ${CNI_VERSIONS.join(', ')}`)
  }
  const name = r.string(o['name'], '$.name')
  if (!NAME.test(name)) r.complain('$.name', 'must be letters, digits, _, . and -, beginning with a letter or digit')
  if ((RESERVED_NAMES as readonly string[]).includes(name))
    r.complain('$.name', `'${name}' means something else in --net`)
  return { name, cniVersion }
}

function readPlugin(r: ShapeReader, value: unknown, path: string): PluginConfig {
  const object = r.object(value, path)
  const ipam = r.optionalObject(object['ipam'], `${path}.ipam`)
  const ipamType = ipam?.['type'] === undefined ? undefined : readType(r, ipam['type'], `${path}.ipam.type`)
  const capabilities = Object.entries(r.optionalObject(object['capabilities'], `${path}.capabilities`) ?? {})
  return {
    type: readType(r, object['type'], `${path}.type`),
    ...(ipamType === undefined ? {} : { ipam: ipamType }),
    capabilities: capabilities.flatMap(([name, on]) => (r.boolean(on, `${path}.capabilities.${name}`) ? [name] : [])),
    object,
  }
}

/** It becomes a part of a path. */
function readType(r: ShapeReader, value: unknown, path: string): string {
  const type = r.string(value, path)
  if (!NAME.test(type)) r.complain(path, 'must be the name of a plugin, without a path')
  return type
}

function bad(message: string): NetworkError {
  return new NetworkError('NETWORK_CONFIG_BAD', message, {
    hint: 'https://www.cni.dev/docs/spec/ says what such a file holds; correct it, or move it away.',
  })
}
