import type { Dependency } from '../manifest/index.ts'
import type { HttpClient } from './http-client.ts'
import type { Patience } from './http-get.ts'
import type { Relaxation } from './image.ts'
import type { CheckProvenance } from './provenance.ts'

/** How far a fetch has come. */
export type FetchProgress =
  | { readonly step: 'resolve'; readonly name: string }
  /**
   * `doneBytes` of `totalBytes` of one blob; the last call for a blob has both equal. Several blobs may be under way.
   * For an ACI from a URL `digest` is the URL.
   */
  | { readonly step: 'blob'; readonly digest: string; readonly doneBytes: number; readonly totalBytes: number }
  | { readonly step: 'unpack'; readonly layer: number; readonly layers: number }
  | { readonly step: 'render' }

/** How a fetch gets what an ACI depends on and the store lacks; stage1/signatures and stage1/cli make one. */
export interface DependencyDiscovery {
  /**
   * @param client of the fetch, with what is relaxed for it
   * @returns where such an image is; undefined for a name that says no host
   */
  readonly discover: (client: HttpClient, dependency: Dependency) => Promise<URL | undefined>
  /** Asked about each by itself, as if it had been asked for by its name. */
  readonly checkProvenance: CheckProvenance
}

/** What a fetch may do and whom it tells. */
export interface FetchOptions {
  /** What a relative path in the reference is relative to. */
  readonly cwd: string
  /** Checks the user relaxed by name (`--insecure-options`). What was made use of is recorded with the image. */
  readonly relax?: readonly Relaxation[]
  /** Registries, as `host` or `host:port`, that may be spoken to over plain HTTP. */
  readonly insecureRegistries?: readonly string[]
  /** PEM certificates to trust instead of the system's. */
  readonly certificateAuthorities?: string
  /** Settings of registries and their mirrors (README.md). Default: /etc/holdfast/registries.yaml, which may be missing. */
  readonly registriesFile?: string
  /** How slow servers may be; for tests. */
  readonly patience?: Patience
  /** Of the process: where the files of passwords may be, and what credential helpers get (credentials.ts). */
  readonly environment?: Readonly<Record<string, string | undefined>>
  /** Without it nobody is asked: the record says so, and `holdfast run` asks its policy in any case. */
  readonly checkProvenance?: CheckProvenance
  /** Without it everything that an ACI depends on has to be in the store. */
  readonly dependencies?: DependencyDiscovery
  readonly onProgress?: (progress: FetchProgress) => void
  readonly signal?: AbortSignal
}
