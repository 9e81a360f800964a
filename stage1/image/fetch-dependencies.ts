import { CodedError, codeOf } from '../../attestation/base/index.ts'
import type { Dependency, ImageManifest } from '../manifest/index.ts'
import { describeDependency, findDependency, fits } from './dependencies.ts'
import { ImageError } from './errors.ts'
import type { DependencyDiscovery } from './fetch-options.ts'
import type { FetchWork } from './fetch-work.ts'
import type { HttpClient } from './http-client.ts'
import type { ImageRecord, StoredImage } from './image.ts'
import { LIMITS } from './limits.ts'

/** An ACI that was admitted, and what depends on it. */
export interface AdmittedAci {
  readonly manifest: ImageManifest
  /** `sha256:<hex>` */
  readonly archiveDigest: string
  readonly neededBy?: AdmittedAci
}

/** A dependency that is being fetched. */
export interface WantedDependency {
  readonly dependency: Dependency
  readonly neededBy: AdmittedAci
  readonly discovery: DependencyDiscovery
}

/** How one image is fetched whose place was found. */
export interface DependencyFetch {
  /** A client for one image: what it records as relaxed is of that image alone. The caller closes it. */
  readonly openClient: () => HttpClient
  readonly fetch: (url: URL, client: HttpClient, wanted: WantedDependency) => Promise<StoredImage>
}

/**
 * What the ACIs of one fetch depend on: out of the store, or else discovered and fetched, each as an image of its own
 * that stays in the store whatever becomes of those above it.
 */
export class Dependencies {
  readonly #work: FetchWork
  readonly #how: DependencyFetch
  #fetched = 0
  /** Errors that have their chain in front already. */
  readonly #told = new WeakSet<object>()

  constructor(work: FetchWork, how: DependencyFetch) {
    this.#work = work
    this.#how = how
  }

  /**
   * The images that an ACI depends on, in the order it names them. Each was rendered over its own dependencies when it
   * was fetched, so they are resolved depth-first.
   *
   * @throws ImageError IMAGE_DEPENDENCY_MISSING, IMAGE_DEPENDENCY_BAD, IMAGE_AMBIGUOUS, IMAGE_TOO_LARGE, or what the
   *   fetch of one throws, with the names of the images that led there in front
   */
  async of(aci: AdmittedAci): Promise<StoredImage[]> {
    const images: StoredImage[] = []
    for (const dependency of aci.manifest.dependencies ?? []) {
      const chain = [...lineage(aci).map((a) => a.manifest.name), dependency.imageName].join(' -> ')
      const stored = findDependency(this.#work.store, dependency, chain)
      images.push(stored ?? (await this.#fetch(dependency, aci, chain)))
    }
    return images
  }

  async #fetch(dependency: Dependency, neededBy: AdmittedAci, chain: string): Promise<StoredImage> {
    // with an ID it may be another image of the same name: that is told when its bytes are there
    if (dependency.imageID === undefined && lineage(neededBy).some((a) => fits(a.manifest, dependency))) {
      throw new ImageError('IMAGE_DEPENDENCY_BAD', `${chain}: these depend on each other in a circle`)
    }
    const { dependencies: discovery } = this.#work.options
    if (discovery === undefined) throw missing(dependency, chain)
    if (lineage(neededBy).length > LIMITS.dependencyDepth) {
      throw new ImageError('IMAGE_TOO_LARGE', `${chain}: at most ${LIMITS.dependencyDepth} images below each other`)
    }
    if (++this.#fetched > LIMITS.fetchedDependencies) {
      throw new ImageError('IMAGE_TOO_LARGE', `${chain}: at most ${LIMITS.fetchedDependencies} images are fetched`)
    }
    const client = this.#how.openClient()
    try {
      const url = await discovery.discover(client, dependency)
      if (url === undefined) throw missing(dependency, chain)
      return await this.#how.fetch(url, client, { dependency, neededBy, discovery })
    } catch (err) {
      throw this.#inChain(chain, err)
    } finally {
      client.close()
    }
  }

  /** The same error, but that it says how it came to the image it is about. */
  #inChain(chain: string, err: unknown): unknown {
    const code = codeOf(err)
    if (!(err instanceof Error) || code === undefined || this.#told.has(err)) return err
    if (this.#work.options.signal?.aborted) return err
    const message = err.message.startsWith(chain) ? err.message : `${chain}: ${err.message}`
    const told =
      err instanceof ImageError
        ? new ImageError(err.code, message, { cause: err })
        : new CodedError(code, message, { cause: err })
    this.#told.add(told)
    return told
  }
}

/**
 * Holds what came against what was asked for, before anybody is asked to vouch for it.
 * @throws ImageError IMAGE_DEPENDENCY_BAD
 */
export function checkFound({ manifest, archiveDigest }: AdmittedAci, { dependency, neededBy }: WantedDependency): void {
  if (!fits(manifest, dependency)) {
    const labels = manifest.labels.map(({ name, value }) => `${name}=${value}`)
    const found = `${manifest.name} (${labels.join(', ') || 'no labels'})`
    throw new ImageError(
      'IMAGE_DEPENDENCY_BAD',
      `${describeDependency(dependency)} was asked for, what came is ${found}`,
    )
  }
  if (lineage(neededBy).some((a) => a.archiveDigest === archiveDigest)) {
    throw new ImageError('IMAGE_DEPENDENCY_BAD', 'these depend on each other in a circle')
  }
}

/** @throws ImageError IMAGE_DEPENDENCY_BAD where a dependency names another image by its ID */
export function checkId({ id }: Pick<ImageRecord, 'id'>, { imageID }: Dependency): void {
  if (imageID === undefined || id === imageID) return
  throw new ImageError('IMAGE_DEPENDENCY_BAD', `${imageID} was asked for, what came is ${id}`)
}

function missing(dependency: Dependency, chain: string): ImageError {
  return new ImageError(
    'IMAGE_DEPENDENCY_MISSING',
    `${chain} (${describeDependency(dependency)}) is not in the store; fetch that first`,
  )
}

/** From the image that was asked for down to this one. */
function lineage(aci: AdmittedAci): AdmittedAci[] {
  return aci.neededBy === undefined ? [aci] : [...lineage(aci.neededBy), aci]
}
