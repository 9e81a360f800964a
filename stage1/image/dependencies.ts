import type { Dependency } from '../manifest/index.ts'
import { ImageError } from './errors.ts'
import { listImages } from './find.ts'
import type { StoredImage } from './image.ts'
import type { ImageStore } from './store.ts'

/**
 * The images of the store that an ACI depends on, in the order it names them. Each was rendered with its own
 * dependencies when it was fetched, so these are resolved depth-first and can go in no circle.
 * Source: App Container specification v0.8.11, "Dependency Matching"; nothing is searched for on a network.
 *
 * @throws ImageError IMAGE_DEPENDENCY_MISSING, IMAGE_AMBIGUOUS
 */
export function resolveDependencies(store: ImageStore, dependencies: readonly Dependency[]): StoredImage[] {
  if (dependencies.length === 0) return []
  const images = listImages(store).flatMap((l) => ('image' in l && l.image.kind === 'aci' ? [l.image] : []))
  return dependencies.map((dependency) => {
    const fitting = images.filter((image) => fits(image, dependency))
    const [only, ...others] = fitting
    const wanted = `${dependency.imageName} (${dependency.imageID ?? describe(dependency)})`
    if (only === undefined) {
      throw new ImageError(
        'IMAGE_DEPENDENCY_MISSING',
        `it depends on ${wanted}, which is not in the store; fetch that first`,
      )
    }
    if (others.length > 0) {
      const ids = fitting.slice(0, 5).map((i) => i.id.slice(0, 19))
      throw new ImageError(
        'IMAGE_AMBIGUOUS',
        `it depends on ${wanted}, which could be ${ids.join(', ')}; pin it by imageID or remove the others`,
      )
    }
    return only
  })
}

/** An image ID decides alone beside the name; labels that the dependency does not name may be anything. */
function fits({ id, manifest }: StoredImage, { imageName, imageID, labels }: Dependency): boolean {
  if (manifest.name !== imageName) return false
  if (imageID !== undefined) return id === imageID
  return labels.every(({ name, value }) => manifest.labels.some((l) => l.name === name && l.value === value))
}

function describe({ labels }: Dependency): string {
  return labels.length === 0 ? 'any version' : labels.map(({ name, value }) => `${name}=${value}`).join(', ')
}
