import { canonicalJson, fromUtf8, toHex, utf8 } from '../../attestation/base/index.ts'
import { type AcIdentifier, type AcName, acIdentifier, acName } from './ac-name.ts'
import {
  type App,
  type Isolator,
  readApp,
  readId,
  readIsolators,
  readTextMap,
  requireAbsolute,
  type TextMap,
} from './app.ts'
import { ManifestError } from './errors.ts'
import { type ImageId, imageId } from './image-id.ts'
import { type NameValue, readAcVersion, readPairs } from './image-manifest.ts'
import { type ExposedPort, readExposedPorts } from './ports.ts'
import { parseJson, ShapeReader } from './reader.ts'

/** Directory or file for apps to share; `empty` is made for the pod and goes with it. */
export type Volume =
  | {
      readonly name: AcName
      readonly kind: 'empty'
      /** Octal permission bits as text; 0755 unless given. */
      readonly mode?: string
      /** Owner; 0 unless given. */
      readonly uid?: number
      readonly gid?: number
    }
  | {
      readonly name: AcName
      readonly kind: 'host'
      readonly source: string
      readonly readOnly: boolean
      /** Whether what is mounted below the source comes with it; it does unless this is false. */
      readonly recursive?: boolean
    }

/** One member of the pod: an image, under a name unique in the pod, and how it is run here. */
export interface PodApp {
  readonly name: AcName
  readonly image: { readonly id: ImageId; readonly name: AcIdentifier }
  /** The image's app section with everything the user set merged in: what is written here is what runs. */
  readonly app: App
  readonly readOnlyRootFS: boolean
  /** Where volumes are mounted in the app's root, beside and before what its mount points say. */
  readonly mounts: readonly Mount[]
  /** The pod's word on this app; an image's annotation of the same name gives way. */
  readonly annotations: readonly NameValue[]
}

/** A volume of the pod at a place of an app's root. */
export interface Mount {
  readonly volume: AcName
  /** Absolute path in the app's root. */
  readonly path: string
}

/** App Container specification v0.8.11, "Pod Manifest Schema": what Holdfast uses of it. */
export interface PodManifest {
  readonly acKind: 'PodManifest'
  readonly acVersion: string
  readonly apps: readonly PodApp[]
  readonly volumes: readonly Volume[]
  readonly isolators: readonly Isolator[]
  /** Ports of the host that lead to the pod; absent where none do. */
  readonly ports?: readonly ExposedPort[]
  readonly annotations: readonly NameValue[]
  readonly userAnnotations: TextMap
  readonly userLabels: TextMap
}

/** Limits and grants of all apps, then of the pod: values as RFC 8785 text, for a launch request and its policies. */
export function manifestIsolators(manifest: PodManifest): { readonly name: string; readonly value: string }[] {
  return [...manifest.apps.flatMap((a) => a.app.isolators), ...manifest.isolators].map(({ name, value }) => ({
    name,
    value: canonicalJson(value),
  }))
}

/** Volumes of the pod for a launch request and its policies: `source` is a path of the host. */
export function manifestVolumes(
  manifest: PodManifest,
): { readonly name: string; readonly kind: string; readonly source?: string; readonly readOnly: boolean }[] {
  return manifest.volumes.map((v) =>
    v.kind === 'empty'
      ? { name: v.name, kind: v.kind, readOnly: false }
      : { name: v.name, kind: v.kind, source: v.source, readOnly: v.readOnly },
  )
}

const MAX_APPS = 64
const MAX_VOLUMES = 256
const MAX_MOUNTS = 256
const POD_MEMBERS = [
  ...['acKind', 'acVersion', 'apps', 'volumes', 'isolators', 'annotations'],
  ...['ports', 'userAnnotations', 'userLabels'],
]
const POD_APP_MEMBERS = ['name', 'image', 'app', 'readOnlyRootFS', 'mounts', 'annotations']

/** RFC 8785 bytes of a pod manifest: what is written to the pod directory, and, redacted, what is measured. */
export function podManifestBytes(manifest: PodManifest): Uint8Array {
  return utf8(canonicalJson(manifest))
}

/**
 * Reads a pod manifest back from its directory.
 *
 * @param bytes must be in RFC 8785 form: they are what was hashed
 * @throws ManifestError MANIFEST_NOT_JSON, or MANIFEST_INVALID with every bad path or when the form is not canonical
 */
export function parsePodManifest(bytes: Uint8Array): PodManifest {
  const value = parseJson(bytes, 'pod manifest')
  const manifest = readPodManifest(value)
  let canonical: string
  try {
    canonical = canonicalJson(value)
  } catch (cause) {
    throw new ManifestError('MANIFEST_INVALID', 'pod manifest holds a value that has no canonical form', { cause })
  }
  if (canonical !== fromUtf8(bytes)) throw new ManifestError('MANIFEST_INVALID', 'pod manifest is not in RFC 8785 form')
  return manifest
}

/**
 * A pod manifest from a JSON value in any form, e.g. one a user wrote.
 * @throws ManifestError MANIFEST_INVALID with every bad path
 */
export function readPodManifest(value: unknown): PodManifest {
  const r = new ShapeReader('pod manifest')
  const o = r.object(value, '$')
  r.onlyKnown(o, '$', POD_MEMBERS)
  if (o['acKind'] !== 'PodManifest') r.complain('$.acKind', "must be 'PodManifest'")
  const acVersion = readAcVersion(r, o['acVersion'])
  const apps = r.list(o['apps'], '$.apps', MAX_APPS).flatMap((v, i) => readPodApp(r, v, `$.apps[${i}]`))
  if (apps.length === 0) r.complain('$.apps', 'names no app')
  const volumes = r.list(o['volumes'], '$.volumes', MAX_VOLUMES).flatMap((v, i) => readVolume(r, v, `$.volumes[${i}]`))
  refuseTwice(r, apps, '$.apps')
  refuseTwice(r, volumes, '$.volumes')
  const isolators = readIsolators(r, o['isolators'], '$.isolators')
  const annotations = readPairs(r, o['annotations'], '$.annotations')
  const userAnnotations = readTextMap(r, o['userAnnotations'], '$.userAnnotations')
  const userLabels = readTextMap(r, o['userLabels'], '$.userLabels')
  const ports = o['ports'] === undefined ? {} : { ports: readExposedPorts(r, o['ports'], '$.ports') }
  refuseUnknownVolumes(r, apps, volumes)
  r.finish()
  return {
    acKind: 'PodManifest',
    acVersion,
    apps,
    volumes,
    isolators,
    ...ports,
    annotations,
    userAnnotations,
    userLabels,
  }
}

function readPodApp(r: ShapeReader, value: unknown, path: string): PodApp[] {
  const o = r.object(value, path)
  r.onlyKnown(o, path, POD_APP_MEMBERS)
  const image = r.object(o['image'], `${path}.image`)
  r.onlyKnown(image, `${path}.image`, ['id', 'name'])
  const name = r.checked(() => acName(r.string(o['name'], `${path}.name`)), `${path}.name`)
  const id = r.checked(() => imageId(r.string(image['id'], `${path}.image.id`)), `${path}.image.id`)
  const imageName = r.checked(() => acIdentifier(r.string(image['name'], `${path}.image.name`)), `${path}.image.name`)
  const app = readApp(r, o['app'], `${path}.app`, true)
  if (app.exec.length === 0) r.complain(`${path}.app.exec`, 'is empty: there is nothing to run')
  const readOnlyRootFS =
    o['readOnlyRootFS'] === undefined ? false : r.boolean(o['readOnlyRootFS'], `${path}.readOnlyRootFS`)
  const mounts = r
    .list(o['mounts'], `${path}.mounts`, MAX_MOUNTS)
    .flatMap((v, i) => readMount(r, v, `${path}.mounts[${i}]`))
  const annotations = readPairs(r, o['annotations'], `${path}.annotations`)
  if (name === undefined || id === undefined || imageName === undefined) return []
  return [{ name, image: { id, name: imageName }, app, readOnlyRootFS, mounts, annotations }]
}

function readMount(r: ShapeReader, value: unknown, path: string): Mount[] {
  const o = r.object(value, path)
  r.onlyKnown(o, path, ['volume', 'path'])
  const volume = r.checked(() => acName(r.string(o['volume'], `${path}.volume`)), `${path}.volume`)
  const target = r.string(o['path'], `${path}.path`)
  requireAbsolute(r, target, `${path}.path`)
  return volume === undefined ? [] : [{ volume, path: target }]
}

function refuseUnknownVolumes(r: ShapeReader, apps: readonly PodApp[], volumes: readonly Volume[]): void {
  const known = new Set(volumes.map((v) => v.name))
  for (const [i, { mounts }] of apps.entries()) {
    for (const [j, { volume }] of mounts.entries()) {
      if (!known.has(volume)) r.complain(`$.apps[${i}].mounts[${j}].volume`, `the pod has no volume '${volume}'`)
    }
  }
}

function readVolume(r: ShapeReader, value: unknown, path: string): Volume[] {
  const o = r.object(value, path)
  const name = r.checked(() => acName(r.string(o['name'], `${path}.name`)), `${path}.name`)
  if (o['kind'] === 'empty') {
    r.onlyKnown(o, path, ['name', 'kind', 'mode', 'uid', 'gid'])
    const mode = r.optionalString(o['mode'], `${path}.mode`)
    if (mode !== undefined && !/^[0-7]{3,4}$/.test(mode)) r.complain(`${path}.mode`, 'must be octal, such as 0755')
    const [uid] = o['uid'] === undefined ? [] : readId(r, o['uid'], `${path}.uid`)
    const [gid] = o['gid'] === undefined ? [] : readId(r, o['gid'], `${path}.gid`)
    const owner = { ...(uid === undefined ? {} : { uid }), ...(gid === undefined ? {} : { gid }) }
    return name ? [{ name, kind: 'empty', ...(mode === undefined ? {} : { mode }), ...owner }] : []
  }
  if (o['kind'] !== 'host') r.complain(`${path}.kind`, "must be 'host' or 'empty'")
  r.onlyKnown(o, path, ['name', 'kind', 'source', 'readOnly', 'recursive'])
  const source = r.string(o['source'], `${path}.source`)
  requireAbsolute(r, source, `${path}.source`)
  const readOnly = o['readOnly'] === undefined ? false : r.boolean(o['readOnly'], `${path}.readOnly`)
  const recursive = o['recursive'] === undefined ? undefined : r.boolean(o['recursive'], `${path}.recursive`)
  return name ? [{ name, kind: 'host', source, readOnly, ...(recursive === undefined ? {} : { recursive }) }] : []
}

function refuseTwice(r: ShapeReader, items: readonly { readonly name: string }[], path: string): void {
  const seen = new Set<string>()
  for (const { name } of items) {
    if (seen.has(name)) r.complain(path, `'${name}' occurs twice`)
    seen.add(name)
  }
}

/**
 * The manifest as it is measured: each environment value replaced by `hmac-sha256:<hex>`, so that the log shows which
 * variables are set and, to who holds the pod's key, that they are unchanged, but never what they hold.
 *
 * The keyed digest is over app name, NUL, variable name, NUL, value: equal values of two variables do not look alike.
 *
 * @param hmac HMAC-SHA-256 under the pod's redaction key
 */
export function redactManifest(manifest: PodManifest, hmac: (message: Uint8Array) => Uint8Array): PodManifest {
  return {
    ...manifest,
    apps: manifest.apps.map((a) => ({
      ...a,
      app: {
        ...a.app,
        environment: a.app.environment.map(({ name, value }) => ({
          name,
          value: `hmac-sha256:${toHex(hmac(utf8(`${a.name}\0${name}\0${value}`)))}`,
        })),
      },
    })),
  }
}
