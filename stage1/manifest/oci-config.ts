import type { AcIdentifier } from './ac-name.ts'
import type { App, EnvironmentVariable, MountPoint } from './app.ts'
import { AC_VERSION, type ImageManifest, type NameValue } from './image-manifest.ts'
import { mountPointsFromOci } from './oci-volumes.ts'
import { type Port, portsFromOci } from './ports.ts'
import { parseJson, ShapeReader } from './reader.ts'

/** What Holdfast uses of an OCI image configuration (OCI image-spec v1.1, config.md) or its Docker predecessor. */
export interface OciImageConfig {
  readonly os: string
  readonly architecture: string
  readonly variant?: string
  /** `sha256:<hex>` of each layer's uncompressed tar, lowest first. */
  readonly diffIds: readonly string[]
  readonly entrypoint: readonly string[]
  readonly cmd: readonly string[]
  readonly environment: readonly EnvironmentVariable[]
  /** Empty where the image names none. */
  readonly workingDirectory: string
  /** `user`, `uid`, `user:group`, `uid:gid` or empty. */
  readonly user: string
  /** `EXPOSE`: what the image says it listens on. */
  readonly ports: readonly Port[]
  /** `VOLUME`: where the image expects data that outlives it. */
  readonly mountPoints: readonly MountPoint[]
  readonly labels: readonly NameValue[]
}

const MAX_LAYERS = 4096
const MAX_STRINGS = 4096
/** What an app finds where the image sets no PATH: the list the App Container executor specification prescribes. */
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/**
 * @param bytes the configuration blob
 * @throws ManifestError MANIFEST_NOT_JSON or MANIFEST_INVALID with every bad path
 */
export function parseOciImageConfig(bytes: Uint8Array): OciImageConfig {
  const r = new ShapeReader('OCI image configuration')
  const o = r.object(parseJson(bytes, 'OCI image configuration'), '$')
  const rootfs = r.object(o['rootfs'], '$.rootfs')
  if (rootfs['type'] !== 'layers') r.complain('$.rootfs.type', "must be 'layers'")
  const diffIds = r.strings(rootfs['diff_ids'], '$.rootfs.diff_ids', MAX_LAYERS)
  diffIds.forEach((d, i) => {
    if (!/^sha256:[0-9a-f]{64}$/.test(d)) r.complain(`$.rootfs.diff_ids[${i}]`, 'must be sha256: and 64 hex digits')
  })
  const config = r.optionalObject(o['config'], '$.config') ?? {}
  const variant = r.optionalString(o['variant'], '$.variant')
  const labels = Object.entries(r.optionalObject(config['Labels'], '$.config.Labels') ?? {})
  const result: OciImageConfig = {
    os: r.string(o['os'], '$.os'),
    architecture: r.string(o['architecture'], '$.architecture'),
    ...(variant === undefined ? {} : { variant }),
    diffIds,
    entrypoint: r.strings(config['Entrypoint'], '$.config.Entrypoint', MAX_STRINGS),
    cmd: r.strings(config['Cmd'], '$.config.Cmd', MAX_STRINGS),
    environment: readEnvironment(r, config['Env']),
    workingDirectory: r.optionalString(config['WorkingDir'], '$.config.WorkingDir') ?? '',
    user: r.optionalString(config['User'], '$.config.User') ?? '',
    ports: portsFromOci(Object.keys(r.optionalObject(config['ExposedPorts'], '$.config.ExposedPorts') ?? {})),
    mountPoints: readVolumes(r, config['Volumes']),
    labels: labels.map(([name, v]) => ({ name, value: r.string(v, `$.config.Labels.${name}`) })),
  }
  if (result.user.split(':').length > 2) r.complain('$.config.User', "has more than one ':'")
  if (result.workingDirectory.split('/').includes('..')) r.complain('$.config.WorkingDir', "must not contain '..'")
  r.finish()
  return result
}

/**
 * The app an OCI configuration describes: Entrypoint followed by Cmd, root where it names no user, / where no
 * directory.
 */
export function appFromOciConfig(config: OciImageConfig): App {
  const [user, group] = config.user.split(':')
  const hasPath = config.environment.some((v) => v.name === 'PATH')
  return {
    exec: [...config.entrypoint, ...config.cmd],
    user: user || '0',
    ...(group ? { group } : user ? {} : { group: '0' }),
    supplementaryGIDs: [],
    environment: hasPath ? config.environment : [{ name: 'PATH', value: DEFAULT_PATH }, ...config.environment],
    workingDirectory: config.workingDirectory.startsWith('/') ? config.workingDirectory : `/${config.workingDirectory}`,
    mountPoints: config.mountPoints,
    ...(config.ports.length === 0 ? {} : { ports: config.ports }),
    isolators: [],
    userAnnotations: {},
    userLabels: {},
  }
}

/**
 * The appc image manifest that stands for an OCI image. It is a function of the configuration alone, so that it can be
 * derived again from the verified bytes whenever the image is used.
 *
 * @param name what to call it: the image ID, as the reference it was fetched by is not part of the content
 */
export function imageManifestFromOci(config: OciImageConfig, name: AcIdentifier): ImageManifest {
  return {
    acKind: 'ImageManifest',
    acVersion: AC_VERSION,
    name,
    labels: [
      { name: 'os', value: config.os },
      { name: 'arch', value: config.architecture },
    ],
    app: appFromOciConfig(config),
    annotations: [...config.labels].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)),
  }
}

function readVolumes(r: ShapeReader, value: unknown): MountPoint[] {
  const path = '$.config.Volumes'
  const volumes = Object.keys(r.optionalObject(value, path) ?? {})
  return r.checked(() => mountPointsFromOci(volumes), path) ?? []
}

function readEnvironment(r: ShapeReader, value: unknown): EnvironmentVariable[] {
  return r.strings(value, '$.config.Env', MAX_STRINGS).map((text, i) => {
    const at = text.indexOf('=')
    if (at <= 0) r.complain(`$.config.Env[${i}]`, 'must be NAME=VALUE')
    return { name: text.slice(0, Math.max(at, 0)), value: text.slice(at + 1) }
  })
}
