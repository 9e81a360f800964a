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
  /** The document of a tag in the same place, for signatures; undefined where there is none. */
  tagged(tag: string): Promise<{ readonly bytes: Buffer; readonly mediaType: string } | undefined>
  /**
   * The index of documents whose subject is this digest (distribution-spec v1.1, "Listing Referrers"), in pages, without
   * the fallback tag; undefined where the source has no such list.
   */
  referrers(digest: string): Promise<readonly Buffer[] | undefined>
  /** Present where a transfer that broke can be taken up again. */
  readonly transfers?: BlobTransfers
  /** Checks that had to be relaxed to get here. */
  relaxed(): readonly Relaxation[]
  close(): void
}

/** Blobs that come over a network. */
export interface BlobTransfers {
  /**
   * Opens a blob from a byte on, or from an earlier one where the server cannot do that.
   * @returns where it begins: `from` or 0
   */
  open(descriptor: Descriptor, from: number): Promise<{ readonly start: number; readonly bytes: AsyncIterable<Buffer> }>
  /** Goes on to the next place that may have the blob. @returns false when there is none */
  elsewhere(digest: string): boolean
}
