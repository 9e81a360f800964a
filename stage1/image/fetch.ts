import type { FetchOptions } from './fetch-options.ts'
import type { StoredImage } from './image.ts'
import type { ImageStore } from './store.ts'

/**
 * Fetches an image into the store, renders it, and records under which name, how checked, and by whom signed it came.
 * Blobs that are there already are checked and not fetched again; a render that is there already is verified and kept.
 *
 * The code behind it is loaded by the first call: `holdfast run` of an image in the store never needs it.
 *
 * @param text see parseReference; must not be a name of the store only
 * @throws ImageError, any code; nothing is left behind but complete, verified blobs
 * @throws ManifestError for a configuration or appc manifest that is malformed
 */
export async function fetchImage(store: ImageStore, text: string, options: FetchOptions): Promise<StoredImage> {
  const { pullImage } = await import('./pull.ts')
  return pullImage(store, text, options)
}

/** Loads it now, for a process that may not be able to read it later. */
export async function loadFetchCode(): Promise<void> {
  await import('./pull.ts')
}
