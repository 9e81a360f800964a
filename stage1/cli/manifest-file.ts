import fs from 'node:fs'
import { messageOf, UsageError } from '../../attestation/base/index.ts'
import type { StoredImage } from '../image/index.ts'
import { type PodManifest, parseJson, readPodManifest, ShapeReader } from '../manifest/index.ts'
import { completePodManifest } from '../pod/index.ts'

const MAX_BYTES = 4 << 20
const MAX_APPS = 64

/**
 * A pod manifest that a user wrote (App Container specification v0.8.11, "Pod Manifest Schema"), made whole: each image
 * is found by its ID, or else by its name, and an app that says nothing of how it is run is run as its image says.
 *
 * @throws UsageError, ManifestError, ImageError
 */
export async function readManifestFile(
  file: string,
  hostname: string,
  find: (name: string) => Promise<StoredImage>,
): Promise<{ readonly images: readonly StoredImage[]; readonly manifest: PodManifest }> {
  const r = new ShapeReader('pod manifest')
  const o = r.object(parseJson(readBytes(file), 'pod manifest'), '$')
  const apps = r.list(o['apps'], '$.apps', MAX_APPS).map((value, i) => r.object(value, `$.apps[${i}]`))
  const wanted = apps.map((app, i) => {
    const image = r.object(app['image'], `$.apps[${i}].image`)
    const id = r.optionalString(image['id'], `$.apps[${i}].image.id`)
    const name = r.optionalString(image['name'], `$.apps[${i}].image.name`)
    if (id === undefined && name === undefined) r.complain(`$.apps[${i}].image`, 'has neither id nor name')
    return id ?? name ?? ''
  })
  r.finish()
  const images: StoredImage[] = []
  for (const name of wanted) images.push(await find(name))
  const whole = images.map((image, i) => ({
    ...apps[i],
    image: { id: image.id, name: image.manifest.name },
    app: apps[i]?.['app'] ?? image.manifest.app,
  }))
  return { images, manifest: completePodManifest(readPodManifest({ ...o, apps: whole }), hostname) }
}

function readBytes(file: string): Uint8Array {
  try {
    if (fs.statSync(file).size > MAX_BYTES) throw new UsageError(`${file} has more than 4 MiB`)
    return new Uint8Array(fs.readFileSync(file))
  } catch (err) {
    throw err instanceof UsageError ? err : new UsageError(`--pod-manifest: ${messageOf(err)}`)
  }
}
