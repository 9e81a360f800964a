import { toHex } from '../../attestation/base/index.ts'
import { digest, hmac } from '../../attestation/crypto/index.ts'
import type { PodLaunch } from '../../attestation/protocol/index.ts'
import type { StoredImage } from '../image/index.ts'
import {
  manifestIsolators,
  manifestVolumes,
  type PodManifest,
  podManifestBytes,
  redactManifest,
} from '../manifest/index.ts'
import type { Stage1Interface } from './stage1-interface.ts'
import type { PodUuid } from './uuid.ts'

/** How a tree was verified when it was opened for this launch. */
export type Verification = 'full-file' | 'stat-cache'

/** An image together with how its tree was verified. */
export interface VerifiedImage {
  readonly image: StoredImage
  readonly verification: Verification
}

export interface LaunchFacts {
  readonly uuid: PodUuid
  readonly manifest: PodManifest
  readonly redactionKey: Uint8Array
  readonly stage1: VerifiedImage
  readonly stage1Interface: Stage1Interface
  readonly hostPrograms: readonly { readonly path: string; readonly sha256: string }[]
  /** Of a flavour that is a virtual machine. */
  readonly machine?: PodLaunch['stage1']['machine']
  readonly guest?: PodLaunch['guest']
  /** One for each app, in the manifest's order. */
  readonly images: readonly VerifiedImage[]
  /** What of a launch request is about the network. */
  readonly network: Pick<PodLaunch, 'network' | 'networks' | 'ports' | 'names'>
  /** Checks relaxed for this launch, by the names of `--insecure-options`. */
  readonly relaxed: readonly string[]
}

/** What stage0 tells the agent of a launch. No secret is in it: values of the environment appear as keyed digests. */
export function buildPodLaunch(f: LaunchFacts): PodLaunch {
  const redacted = redactManifest(f.manifest, (message) => hmac('sha256', f.redactionKey, message))
  return {
    v: 1,
    pod: {
      uuid: f.uuid,
      manifestSha256: toHex(digest('sha256', podManifestBytes(redacted))),
      manifest: { ...redacted },
    },
    stage1: {
      flavour: f.stage1Interface.flavour,
      name: f.stage1.image.manifest.name,
      id: f.stage1.image.id,
      tree: f.stage1.image.treeDigest,
      verification: f.stage1.verification,
      interfaceVersion: f.stage1Interface.interfaceVersion,
      hostPrograms: f.hostPrograms.map(({ path, sha256 }) => ({ path, sha256 })),
      ...(f.machine === undefined ? {} : { machine: f.machine }),
    },
    ...(f.guest === undefined ? {} : { guest: f.guest }),
    images: f.images.map(({ image, verification }) => ({
      name: image.origin.name,
      id: image.id,
      ...(image.kind === 'oci' ? { manifest: image.origin.manifestDigest } : {}),
      tree: image.treeDigest,
      verification,
      signers: image.origin.signers.map(({ kind, key, checkedAt }) => ({ kind, key, checkedAt })),
      ...(image.origin.policy && { policy: { ...image.origin.policy } }),
      relaxed: [...image.origin.relaxed],
    })),
    ...f.network,
    volumes: manifestVolumes(f.manifest),
    isolators: manifestIsolators(f.manifest),
    relaxed: [...f.relaxed].sort(),
  }
}
