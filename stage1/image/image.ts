import type { ImageId, ImageManifest, TreeDigest } from '../manifest/index.ts'

/** Checks that were relaxed, by the names of `--insecure-options`. Measured with every launch. */
export type Relaxation = 'http' | 'tls' | 'image'

/**
 * Who signed an image, with which key, and when that was checked; what a policy is held against again at every launch.
 */
export interface Signer {
  /** An OpenPGP key of the trust store or a policy, a bare public key, or a certificate that names its holder. */
  readonly kind: 'openpgp' | 'public-key' | 'certificate'
  /** For people: user ID, file of the key, or subject. */
  readonly name: string
  /**
   * Measured. `openpgp:<fingerprint>` of the primary key in hex, `sha256:<hex>` of the SubjectPublicKeyInfo, or
   * `<issuer> <subject>` of a certificate.
   */
  readonly key: string
  /** RFC 3339, UTC. */
  readonly checkedAt: string
  /** The image reference that was signed, where the signature names one. */
  readonly reference?: string
  /** `sha256:<hex>` of each certificate and log key of a policy that was relied on beside the key itself. */
  readonly anchors?: readonly string[]
  /** Of an in-toto statement: what it states about the image. */
  readonly predicateType?: string
}

/** How a name came to stand for an image: one for each name, written when it is fetched. */
export interface ImageOrigin {
  /** The reference in its full form, e.g. `docker://localhost:5000/busybox:1`. */
  readonly name: string
  readonly imageId: ImageId
  /** `sha256:<hex>` of the OCI manifest, or of the `manifest` file of an ACI, as received. */
  readonly manifestDigest: string
  /** `sha256:<hex>` of an ACI as received, perhaps compressed: what `holdfast image export` gives back. */
  readonly archiveDigest?: string
  /** RFC 3339, UTC. */
  readonly fetchedAt: string
  /** Sorted. */
  readonly relaxed: readonly Relaxation[]
  /** Empty for an image nobody signed: whether that may be launched is for the policies of node and verifier to say. */
  readonly signers: readonly Signer[]
  /** The policy that let the image in; absent where none was asked. */
  readonly policy?: {
    /** Hex SHA-256 of the policy. */
    readonly sha256: string
    /** Its scope that was used, as `docker registry.example/app`. */
    readonly scope: string
  }
}

/** What an image is: the same bytes on every machine that fetched and rendered it. */
export interface ImageRecord {
  readonly version: 1
  readonly id: ImageId
  readonly kind: 'oci' | 'aci'
  /**
   * `sha256:<hex>` of the blob that `manifest` was derived from: the OCI configuration, or the ACI's `manifest` file.
   */
  readonly configDigest: string
  readonly treeDigest: TreeDigest
  /** Size of the rendered file. */
  readonly treeSizeBytes: number
  /**
   * The images that were laid below an ACI's own files, in that order. What a dependency without an image ID stands for
   * depends on what was in the store, so with these a record and its tree may differ from machine to machine.
   */
  readonly dependencies?: readonly ImageId[]
  readonly manifest: ImageManifest
}

/** Of what is read from a file of the store. */
export interface Written {
  /** User ID of whose file it is: whether what it says counts at a launch (users/accounts.ts, vouches). */
  readonly writtenBy: number
}

/** An image in the store, checked against the blobs it was made from, and the name it was asked for by. */
export interface StoredImage extends ImageRecord, Written {
  readonly origin: ImageOrigin & Written
}
