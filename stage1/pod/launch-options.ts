import type { ImageStore, StoredImage } from '../image/index.ts'
import type { PodManifest } from '../manifest/index.ts'
import type { ConfigDirectories } from '../signatures/index.ts'
import type { LaunchMode, NodeTrust } from './answer-check.ts'
import type { AssembledPod } from './assemble.ts'
import type { Streams } from './plan-settings.ts'
import type { NetworkRequest } from './pod-network.ts'
import type { PodUuid } from './uuid.ts'

/** What a virtual machine has to run on; `auto` takes the processor's own virtualisation where it works. */
export type AcceleratorWish = 'auto' | 'kvm' | 'tcg'

/** Everything a launch is made of. */
export interface LaunchOptions {
  /** Data directory. */
  readonly dir: string
  readonly uuid: PodUuid
  readonly store: ImageStore
  readonly stage1: StoredImage
  /** One for each app of the manifest, in its order. */
  readonly images: readonly StoredImage[]
  readonly manifest: PodManifest
  readonly streams: Streams
  /** Taken from `prepared`; absent for a pod that is made for this launch. */
  readonly prepared?: AssembledPod
  readonly network: NetworkRequest
  /** Of a pod that is a virtual machine: what it has to run on. `auto` takes what there is. */
  readonly accelerator: AcceleratorWish
  /** Path of the static `holdfast-stage1`. */
  readonly stage1Program: string
  readonly agentSocket: string
  readonly trust: NodeTrust
  /** Where the image policy and the trusted keys are. */
  readonly config: ConfigDirectories
  /** Names of the checks relaxed for this launch; `seccomp` takes the filter away. */
  readonly relaxed: readonly string[]
  /** Where openVerifiedTree remembers; its own default unless given. */
  readonly verifiedDir?: string
  /** Told when the agent does not enforce. */
  readonly onMode: (mode: LaunchMode) => void
  /** Told of what a user should know before relying on the pod. */
  readonly onWarning: (message: string) => void
  /** Told what of the networks of this pod or another could not be undone. */
  readonly onLeft: (message: string) => void
  /** Gives the launch up while the agent is asked. */
  readonly signal?: AbortSignal
}
