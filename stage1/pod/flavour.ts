import type { PodLaunch } from '../../attestation/protocol/index.ts'
import type { NetworksUp } from '../network/index.ts'
import type { CgroupMounts } from './cgroup-layout.ts'
import type { HostProgram } from './host-programs.ts'
import type { LaunchOptions } from './launch-options.ts'
import type { PlanFiles } from './plan-list.ts'
import type { ResolvedNetwork } from './pod-network.ts'
import type { Stage1Interface } from './stage1-interface.ts'

/** What a flavour makes a launch of. */
export interface FlavourInput {
  readonly options: LaunchOptions
  readonly stage1: Stage1Interface
  /** Absolute, where the pod will run. */
  readonly podPath: string
  readonly network: ResolvedNetwork
  /** Of the host. */
  readonly cgroups: CgroupMounts
  /** Programs of the host that the stage1 image names. */
  readonly programs: readonly HostProgram[]
  /** Descriptors of the verified trees: stage1's, then one for each image. */
  readonly trees: readonly number[]
  /** Takes every descriptor as soon as it is open. */
  readonly opened: number[]
}

/** A launch in a flavour, planned: nothing was asked of anybody yet. */
export interface FlavourLaunch {
  /** All of the plan but what the networks tell once they are up. */
  readonly plan: PlanFiles
  /** What of a launch request only this flavour has. */
  readonly measured: { readonly machine?: PodLaunch['stage1']['machine']; readonly guest?: PodLaunch['guest'] }
  /** Programs of the host besides those that the stage1 image names. */
  readonly programs: readonly HostProgram[]
  /** Other files that must be what was measured when the pod is handed over. */
  readonly alsoUnchanged?: readonly HostProgram[]
  /** Where the pod is to have one. */
  readonly tpm?: PodTpmLaunch
  /** Mode of holdfast-stage1. */
  readonly mode: 'launch' | 'launch-vm'
  readonly networkFiles: (up: NetworksUp | undefined) => Iterable<readonly [name: string, content: Uint8Array]>
  /**
   * Descriptors that follow the pod's lock on the command line of holdfast-stage1.
   * @param trees whose content was checked after the agent's answer, in the order of FlavourInput.trees
   */
  readonly handedOver: (trees: readonly number[]) => readonly number[]
}

/** A TPM of a pod's own. */
export interface PodTpmLaunch {
  /**
   * Makes it in the directory that the pod has now; what this gives is measured with the guest.
   * @throws PodError POD_TPM_FAILED, POD_DIRECTORY_FAILED, LAUNCH_CHANGED
   */
  readonly make: (podPath: string) => Promise<NonNullable<PodLaunch['guest']>['tpm']>
  /** Whether it is still as it was made, where the pod will run. @throws PodError LAUNCH_CHANGED */
  readonly check: () => void
}

/** Of a pod that needs users of its own on the host: the second step, with the first of them. */
export type PrepareFlavour = (firstUser: number | undefined) => FlavourLaunch

/** Where a launch goes its own way, by what isolates the pod. */
export interface Flavour {
  /** Whether a pod of this manifest gets a range of users. @throws PodError for a manifest that cannot be had */
  readonly wantsUsers: boolean
  readonly prepare: PrepareFlavour
}
