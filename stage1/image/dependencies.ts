import type { Dependency, ImageManifest } from '../manifest/index.ts'
import { believes } from '../users/index.ts'
import { ImageError } from './errors.ts'
import { listImages } from './find.ts'
import type { StoredImage } from './image.ts'
import type { ImageStore } from './store.ts'

/**
 * The image of the store that a dependency stands for. An image ID decides alone beside the name.
 * Source: App Container specification v0.8.11, "Dependency Matching".
 *
 * @param chain the images that lead to it, for messages
 * @throws ImageError IMAGE_AMBIGUOUS
 */
export function findDependency(store: ImageStore, dependency: Dependency, chain: string): StoredImage | undefined {
  const fitting = listImages(store).flatMap((listed) => {
    if (!('image' in listed) || listed.image.kind !== 'aci' || !fits(listed.image.manifest, dependency)) return []
    // what is laid over it would have what another user says its files are
    if (!believes(listed.image.writtenBy) || !believes(listed.image.origin.writtenBy)) return []
    return dependency.imageID === undefined || listed.id === dependency.imageID ? [listed.image] : []
  })
  if (fitting.length < 2) return fitting[0]
  const ids = fitting.slice(0, 5).map((i) => i.id.slice(0, 19))
  throw new ImageError(
    'IMAGE_AMBIGUOUS',
    `${chain} (${describeDependency(dependency)}) could be ${ids.join(', ')}; pin it by imageID or remove the others`,
  )
}

/** Whether a manifest has the name and, unless an ID decides, the labels; those not named may be anything. */
export function fits(manifest: ImageManifest, { imageName, imageID, labels }: Dependency): boolean {
  if (manifest.name !== imageName) return false
  if (imageID !== undefined) return true
  return labels.every(({ name, value }) => manifest.labels.some((l) => l.name === name && l.value === value))
}

/** What a dependency asks for beside its name. */
export function describeDependency({ imageID, labels }: Dependency): string {
  if (imageID !== undefined) return imageID
  return labels.length === 0 ? 'any version' : labels.map(({ name, value }) => `${name}=${value}`).join(', ')
}
