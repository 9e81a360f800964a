import { type AcIdentifier, acIdentifier } from './ac-name.ts'
import { type App, readApp } from './app.ts'
import { ManifestError } from './errors.ts'
import { parseJson, ShapeReader } from './reader.ts'

/** The appc version our own manifests carry; readers take any 0.x. */
export const AC_VERSION = '0.8.11'

/** A name and a value, e.g. a label or an annotation. */
export interface NameValue {
  readonly name: string
  readonly value: string
}

/** App Container specification v0.8.11, "Image Manifest Schema": what Holdfast uses of it. */
export interface ImageManifest {
  readonly acKind: 'ImageManifest'
  readonly acVersion: string
  readonly name: AcIdentifier
  readonly labels: readonly NameValue[]
  /** Absent for an image that only holds files. */
  readonly app?: App
  readonly annotations: readonly NameValue[]
}

const MAX_PAIRS = 1024

/**
 * @param bytes the `manifest` file of an ACI
 * @throws ManifestError MANIFEST_NOT_JSON, MANIFEST_INVALID with every bad path, or MANIFEST_UNSUPPORTED for an image
 * with
 *   dependencies or a path whitelist, both of which change the file tree and are not carried out
 */
export function parseImageManifest(bytes: Uint8Array): ImageManifest {
  return readImageManifest(parseJson(bytes, 'image manifest'))
}

/** As parseImageManifest, for a value that came out of JSON already. */
function readImageManifest(value: unknown): ImageManifest {
  const r = new ShapeReader('image manifest')
  const o = r.object(value, '$')
  if (o['acKind'] !== 'ImageManifest') r.complain('$.acKind', "must be 'ImageManifest'")
  const acVersion = readAcVersion(r, o['acVersion'])
  const name = r.checked(() => acIdentifier(r.string(o['name'], '$.name')), '$.name')
  const labels = readPairs(r, o['labels'], '$.labels')
  const annotations = readPairs(r, o['annotations'], '$.annotations')
  const app = o['app'] === undefined || o['app'] === null ? undefined : readApp(r, o['app'], '$.app', false)
  const dependencies = r.list(o['dependencies'], '$.dependencies', MAX_PAIRS)
  const whitelist = r.list(o['pathWhitelist'], '$.pathWhitelist', Number.MAX_SAFE_INTEGER)
  r.finish()
  if (dependencies.length > 0 || whitelist.length > 0) {
    throw new ManifestError(
      'MANIFEST_UNSUPPORTED',
      `image ${String(name)} has ${dependencies.length > 0 ? 'dependencies' : 'a pathWhitelist'}; squash it into one image without them`,
    )
  }
  return {
    acKind: 'ImageManifest',
    acVersion,
    name: name ?? acIdentifier('image'), // finish() has thrown if the name was bad
    labels,
    ...(app === undefined ? {} : { app }),
    annotations,
  }
}

/** The value of a label or annotation; undefined where there is none. */
export function valueNamed(pairs: readonly NameValue[], name: string): string | undefined {
  return pairs.find((p) => p.name === name)?.value
}

/** Reads `acVersion`: semantic version of major 0, the only one that was ever published. */
export function readAcVersion(r: ShapeReader, value: unknown): string {
  const text = r.string(value, '$.acVersion')
  if (!/^0\.\d{1,9}\.\d{1,9}(\+[0-9A-Za-z.-]+|-[0-9A-Za-z.-]+)?$/.test(text)) {
    r.complain('$.acVersion', "must be '0.x.y': later versions of the format are not known")
  }
  return text
}

/** Reads labels or annotations; a name that occurs twice is refused, as two readers could each see another value. */
export function readPairs(r: ShapeReader, value: unknown, path: string): NameValue[] {
  const seen = new Set<string>()
  return r.list(value, path, MAX_PAIRS).map((v, i) => {
    const o = r.object(v, `${path}[${i}]`)
    const name = r.string(o['name'], `${path}[${i}].name`)
    if (seen.has(name)) r.complain(`${path}[${i}].name`, `'${name}' occurs twice`)
    seen.add(name)
    return { name, value: r.string(o['value'], `${path}[${i}].value`) }
  })
}
