import type { ImageOrigin, Signer } from './image.ts'
import type { ImageSource } from './source.ts'

/** Bytes whose digest has been checked. */
export interface CheckedDocument {
  /** `sha256:<hex>` */
  readonly digest: string
  readonly bytes: Uint8Array
}

/** What is known of an image when somebody has to vouch for it: nothing of it was recorded yet. */
export type UnprovenImage =
  | {
      readonly kind: 'oci'
      /** The reference in its full form. */
      readonly name: string
      /** The index or manifest that the reference stands for, what it leads to, and last the image's own manifest. */
      readonly documents: readonly CheckedDocument[]
      readonly source: ImageSource
    }
  | {
      readonly kind: 'aci'
      /** The reference in its full form. */
      readonly name: string
      /** `name` inside the manifest: what keys are trusted for. */
      readonly manifestName: string
      /** The archive as received, which is what is signed. */
      readonly archive: () => AsyncIterable<Uint8Array>
      /** Where the archive was, unless it came from a URL. */
      readonly file?: string
      /** The detached signature that lies beside it, undefined where there is none. */
      readonly signature: () => Promise<Uint8Array | undefined>
    }

/** What was found out: kept with the name, measured with every launch. */
export interface Provenance {
  readonly signers: readonly Signer[]
  readonly policy: NonNullable<ImageOrigin['policy']>
}

/**
 * Says who vouches for an image. Called when its manifest is known and before a record is written; stage1/signatures
 * makes one.
 *
 * @throws SignatureError where the policy refuses the image: nothing is recorded then
 */
export type CheckProvenance = (image: UnprovenImage) => Promise<Provenance>
