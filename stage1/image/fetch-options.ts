import type { Relaxation } from './image.ts'
import type { CheckProvenance } from './provenance.ts'

/** How far a fetch has come. */
export type FetchProgress =
  | { readonly step: 'resolve'; readonly name: string }
  /** `doneBytes` of `totalBytes` of one blob; the last call for a blob has both equal. */
  | { readonly step: 'blob'; readonly digest: string; readonly doneBytes: number; readonly totalBytes: number }
  | { readonly step: 'unpack'; readonly layer: number; readonly layers: number }
  | { readonly step: 'render' }

/** What a fetch may do and whom it tells. */
export interface FetchOptions {
  /** What a relative path in the reference is relative to. */
  readonly cwd: string
  /** The `holdfast-stage1` program, whose `unpack` mode applies the layers. */
  readonly stage1Program: string
  /** Checks the user relaxed by name (`--insecure-options`). What was made use of is recorded with the image. */
  readonly relax?: readonly Relaxation[]
  /** Registries, as `host` or `host:port`, that may be spoken to over plain HTTP. */
  readonly insecureRegistries?: readonly string[]
  /** PEM certificates to trust beside the system's. */
  readonly certificateAuthorities?: string
  /**
   * Where layers are unpacked before rendering; a tmpfs is about 20 times as fast as a disk. Default: the store's tmp.
   */
  readonly scratchDir?: string
  /** Where the password file may be besides $REGISTRY_AUTH_FILE and $HOME/.docker/config.json. */
  readonly environment?: Readonly<Record<string, string | undefined>>
  /** Without it nobody is asked: the record says so, and `holdfast run` asks its policy in any case. */
  readonly checkProvenance?: CheckProvenance
  readonly onProgress?: (progress: FetchProgress) => void
  readonly signal?: AbortSignal
}
