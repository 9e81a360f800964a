import { type AcIdentifier, acIdentifier } from './ac-name.ts'
import { type App, readApp, requireAbsolute } from './app.ts'
import { type ImageId, imageId } from './image-id.ts'
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
  /** Images whose files are laid below this one's, in this order; absent where there are none. */
  readonly dependencies?: readonly Dependency[]
  /** Absolute paths; everything else is taken away from the rendered tree. Absent where all is kept. */
  readonly pathWhitelist?: readonly string[]
}

/** What another image has to be to be a dependency: the one of an ID, or one with this name and these labels. */
export interface Dependency {
  readonly imageName: AcIdentifier
  readonly imageID?: ImageId
  readonly labels: readonly NameValue[]
}

const MAX_PAIRS = 1024
/** Beyond what a manifest of 1 MiB can hold. */
const MAX_PATHS = 1024 * 1024

/**
 * @param bytes the `manifest` file of an ACI
 * @throws ManifestError MANIFEST_NOT_JSON, or MANIFEST_INVALID with every bad path
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
  const dependencies = r
    .list(o['dependencies'], '$.dependencies', MAX_PAIRS)
    .flatMap((v, i) => readDependency(r, v, `$.dependencies[${i}]`))
  const pathWhitelist = r.strings(o['pathWhitelist'], '$.pathWhitelist', MAX_PATHS)
  pathWhitelist.forEach((text, i) => {
    requireAbsolute(r, text, `$.pathWhitelist[${i}]`)
  })
  r.finish()
  return {
    acKind: 'ImageManifest',
    acVersion,
    name: name ?? acIdentifier('image'), // finish() has thrown if the name was bad
    labels,
    ...(app === undefined ? {} : { app }),
    annotations,
    ...(dependencies.length > 0 && { dependencies }),
    ...(pathWhitelist.length > 0 && { pathWhitelist }),
  }
}

function readDependency(r: ShapeReader, value: unknown, path: string): Dependency[] {
  const o = r.object(value, path)
  const imageName = r.checked(() => acIdentifier(r.string(o['imageName'], `${path}.imageName`)), `${path}.imageName`)
  const text = r.optionalString(o['imageID'], `${path}.imageID`)
  const id = text === undefined || text === '' ? undefined : r.checked(() => dependencyId(text), `${path}.imageID`)
  const labels = readPairs(r, o['labels'], `${path}.labels`)
  if (imageName === undefined) return []
  return [{ imageName, ...(id !== undefined && { imageID: id }), labels }]
}

/** The whole SHA-512 of an image may be written too; an image ID is the first half of it. */
function dependencyId(text: string): ImageId {
  return imageId(/^sha512-[0-9a-f]{128}$/.test(text) ? text.slice(0, 'sha512-'.length + 64) : text)
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
