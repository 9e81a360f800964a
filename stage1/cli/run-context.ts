import type { ImageStore, Relaxation, StoredImage } from '../image/index.ts'
import type { ConfigDirectories } from '../signatures/index.ts'

/** What of a fetch is for the command to say. */
export interface FetchSettings {
  readonly relax: readonly Relaxation[]
  readonly config: ConfigDirectories
}

/**
 * What `holdfast run` takes from the process that was called. The stage0 server runs launches for other processes, so
 * nothing on the way of a launch may ask its own process for any of this.
 */
export interface RunContext {
  /** Absolute; what relative paths are relative to. */
  readonly cwd: string
  /** For files that are made for the caller; the store and pods have modes of their own. */
  readonly umask: number
  readonly writeOutput: (text: string) => void
  readonly writeError: (text: string) => void
  /** Brings in an image that is not in the store. */
  readonly fetch: (store: ImageStore, name: string, options: FetchSettings) => Promise<StoredImage>
  /** The caller's own, for `--inherit-env`. */
  readonly environment: () => Readonly<Record<string, string | undefined>>
  /** Aborted when the caller is gone. */
  readonly signal?: AbortSignal
}
