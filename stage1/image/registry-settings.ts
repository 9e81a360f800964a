import fs from 'node:fs'
import path from 'node:path'
import { type Static, Type } from '@sinclair/typebox'
import { codeOf, messageOf } from '../../attestation/base/index.ts'
import { parseSettings, type SettingsRules } from '../../attestation/settings/index.ts'
import { ImageError } from './errors.ts'
import { isRegistryHost } from './reference.ts'

/** Where settings of registries are looked for unless a command names another file. */
export const DEFAULT_REGISTRIES_FILE = '/etc/holdfast/registries.yaml'

/** Stands in for a registry: has its repositories under the same names, perhaps below a prefix. */
export interface Mirror {
  /** `host` or `host:port` */
  readonly host: string
  /** Empty, or ending in a slash. */
  readonly prefix: string
  /** Whether it is believed what a tag stands for; else it is asked only for what has a digest. */
  readonly tags: boolean
}

/** What an administrator says of one registry. */
export interface RegistrySettings {
  /** Whether it is spoken to in plain HTTP. */
  readonly http: boolean
  /** PEM certificates to trust for it, instead of the system's. */
  readonly certificateAuthorities?: string
  readonly mirrors: readonly Mirror[]
}

const MAX_FILE_BYTES = 64 << 10
const MAX_CA_BYTES = 1 << 20
const MirrorSchema = Type.Object(
  {
    location: Type.String({ description: "'HOST[:PORT][/PREFIX]' of a mirror, without a scheme" }),
    tags: Type.Optional(
      Type.Boolean({ description: 'true or false: whether the mirror may say what a tag stands for' }),
    ),
  },
  { additionalProperties: false, description: 'a mirror' },
)
const Schema = Type.Object(
  {
    registries: Type.Record(
      Type.String(),
      Type.Object(
        {
          http: Type.Optional(Type.Boolean({ description: 'true or false: plain HTTP instead of TLS' })),
          ca: Type.Optional(Type.String({ description: 'the path of a file of PEM certificates' })),
          mirrors: Type.Optional(
            Type.Array(MirrorSchema, { maxItems: 16, description: 'a list of at most 16 mirrors' }),
          ),
        },
        { additionalProperties: false, description: 'settings of a registry' },
      ),
      { description: 'registries by HOST[:PORT]' },
    ),
  },
  { additionalProperties: false, description: 'settings of registries' },
)

const RULES: SettingsRules<typeof Schema> = {
  schema: Schema,
  error: (mistakes) => new ImageError('IMAGE_SETTINGS_BAD', mistakes),
  together: ({ registries }, complain) => {
    for (const [name, settings] of Object.entries(registries)) {
      if (!isRegistryHost(name)) complain(['registries', name], `'${name}' is not HOST[:PORT] in lower case`)
      for (const [i, mirror] of (settings.mirrors ?? []).entries()) {
        if (mirrorOf(mirror) === undefined) {
          complain(
            ['registries', name, 'mirrors', String(i), 'location'],
            "wants 'HOST[:PORT][/PREFIX]', without a scheme",
          )
        }
      }
    }
  },
}

/**
 * Reads the settings of registries. A file that the caller did not name may be missing.
 *
 * @param file named by the caller; the default one otherwise
 * @returns by `host` or `host:port`
 * @throws ImageError IMAGE_SETTINGS_BAD with every mistake by line and column, or when a file cannot be read
 */
export function readRegistrySettings(file: string | undefined): ReadonlyMap<string, RegistrySettings> {
  const text = read(file ?? DEFAULT_REGISTRIES_FILE, MAX_FILE_BYTES, file === undefined)
  return text === undefined ? new Map() : parseRegistrySettings(text, file ?? DEFAULT_REGISTRIES_FILE)
}

/** @param file its name, for messages, and what paths in it are relative to */
export function parseRegistrySettings(text: string, file: string): ReadonlyMap<string, RegistrySettings> {
  const { registries }: Static<typeof Schema> = parseSettings(RULES, text, file)
  return new Map(
    Object.entries(registries).map(([name, { http = false, ca, mirrors = [] }]) => {
      const authorities = ca === undefined ? undefined : read(path.resolve(path.dirname(file), ca), MAX_CA_BYTES, false)
      return [
        name,
        {
          http,
          ...(authorities !== undefined && { certificateAuthorities: authorities }),
          mirrors: mirrors.flatMap((m) => mirrorOf(m) ?? []),
        },
      ]
    }),
  )
}

function mirrorOf({ location, tags = false }: Static<typeof MirrorSchema>): Mirror | undefined {
  const slash = location.indexOf('/')
  const host = slash < 0 ? location : location.slice(0, slash)
  const prefix = slash < 0 ? '' : location.slice(slash + 1).replace(/\/$/, '')
  if (!isRegistryHost(host) || !/^([a-z0-9]+([._-]+[a-z0-9]+)*(\/|$))*$/.test(prefix)) return undefined
  return { host, prefix: prefix === '' ? '' : `${prefix}/`, tags }
}

function read(file: string, maxBytes: number, mayBeMissing: boolean): string | undefined {
  try {
    if (fs.statSync(file).size > maxBytes) throw new RangeError(`has more than ${maxBytes} bytes`)
    return fs.readFileSync(file, 'utf8')
  } catch (cause) {
    if (mayBeMissing && codeOf(cause) === 'ENOENT') return undefined
    throw new ImageError('IMAGE_SETTINGS_BAD', `${file} cannot be read: ${messageOf(cause)}`, { cause })
  }
}
