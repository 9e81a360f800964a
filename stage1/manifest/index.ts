export { type AcIdentifier, type AcName, acIdentifier, acIdentifierFrom, acName, acNameFrom } from './ac-name.ts'
export type { App, EnvironmentVariable, EventHandler, Isolator, MountPoint, TextMap } from './app.ts'
export { readTextMap } from './app.ts'
export { ManifestError, type ManifestErrorCode } from './errors.ts'
export { type ImageId, imageId } from './image-id.ts'
export {
  AC_VERSION,
  type Dependency,
  type ImageManifest,
  type NameValue,
  parseImageManifest,
  valueNamed,
} from './image-manifest.ts'
export { appFromOciConfig, imageManifestFromOci, type OciImageConfig, parseOciImageConfig } from './oci-config.ts'
export {
  type Mount,
  manifestIsolators,
  manifestVolumes,
  type PodApp,
  type PodManifest,
  parsePodManifest,
  podManifestBytes,
  readPodManifest,
  redactManifest,
  type Volume,
} from './pod-manifest.ts'
export { type ExposedPort, manifestPorts, type Port, type PortMapping } from './ports.ts'
export { parseJson, ShapeReader } from './reader.ts'
export { formatTreeDigest, isOutdatedTreeDigest, parseTreeDigest, rootHashOf, type TreeDigest } from './tree-digest.ts'
