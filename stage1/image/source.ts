import type { Relaxation } from './image.ts'
import type { Descriptor } from './oci.ts'

/** Where an OCI image comes from. What it gives is believed by nobody: digests are checked by whoever asked. */
export interface ImageSource {
  /** The document that the reference itself stands for. `digest` where the reference or the layout states one. */
  root(): Promise<{ readonly bytes: Buffer; readonly mediaType: string; readonly digest?: string }>
  /** A manifest or index that another document points to; at most `descriptor.sizeBytes` and one byte are read. */
  document(descriptor: Descriptor): Promise<Buffer>
  /** The bytes of a blob from its start. */
  blob(descriptor: Descriptor): AsyncIterable<Buffer>
  /** Checks that had to be relaxed to get here. */
  relaxed(): readonly Relaxation[]
  close(): void
}
