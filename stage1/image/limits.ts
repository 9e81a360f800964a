/**
 * What an image may cost, whoever made it. Each is far above what real images need and far below what hurts a node.
 */
export const LIMITS = {
  /** An OCI manifest or index: registries themselves stop at 4 MiB. */
  manifestBytes: 4 * 1024 * 1024,
  /** Of a list of referrers, which have no more bytes together than a manifest may have. */
  referrerPages: 64,
  /** An image configuration. */
  configBytes: 8 * 1024 * 1024,
  /** An appc image manifest. */
  aciManifestBytes: 1024 * 1024,
  /** Indexes that point to indexes. */
  indexDepth: 3,
  layers: 500,
  /** One compressed blob. */
  blobBytes: 32 * 1024 ** 3,
  /** Blobs that are fetched at the same time. */
  parallelDownloads: 3,
  /** How often one blob's transfer is taken up again after it broke; each time it has to have come further. */
  resumptions: 5,
  /** What came of a blob is kept for the next fetch when it is at least this much. */
  keptPartBytes: 1024 * 1024,
  /** Images on the way from an ACI to what it depends on in the end, all of which had to be fetched. */
  dependencyDepth: 16,
  /** Images that one fetch brings because others depend on them. */
  fetchedDependencies: 64,
  /** Members of an archive that holds images (docker save). */
  archiveMembers: 10_000,
  /** Files, directories and links over all layers. */
  entries: 1_000_000,
  /** Names and link targets of all of them: what has to be in memory of an image. */
  textBytes: 128 * 1024 * 1024,
  /** Uncompressed tar over all layers. */
  unpackedBytes: 64 * 1024 ** 3,
  /** A stream that grew by more than this factor is a bomb, once it is larger than `ratioFloorBytes`. */
  ratio: 200,
  ratioFloorBytes: 256 * 1024 * 1024,
  /** A whole path; the data directory's own path and PATH_MAX (4096) leave it room. */
  pathBytes: 3500,
  /** One component (NAME_MAX). */
  nameBytes: 255,
  depth: 256,
  /** A PAX header, or a GNU long name. */
  extendedHeaderBytes: 1024 * 1024,
  /**
   * Names and values of one file's extended attributes: what ext4 holds, so that the result never depends on the disk.
   */
  xattrBytes: 3072,
} as const
