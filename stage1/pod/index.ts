export { type AgentAnswer, DEFAULT_AGENT_SOCKET, requestLaunch } from './agent-client.ts'
export type { LaunchMode } from './answer-check.ts'
export { type AssembledPod, assemblePod } from './assemble.ts'
export { type CgroupMounts, cgroupMounts } from './cgroup-layout.ts'
export { type LogLine } from './app-log.ts'
export { PodError, type PodErrorCode } from './errors.ts'
export { collectGarbage, type GcOptions, type GcResult } from './gc.ts'
export { collectGarbage, type GcOptions, type GcResult } from './gc.ts'
export { programLength } from './image-program.ts'
export { type AppLimits, parseCpu, parseMemory, readAppLimits } from './isolators.ts'
export { type AuthorisedLaunch, authoriseLaunch, becomePod, type LaunchOptions, loadLaunchCode } from './launch.ts'
export { buildPodLaunch, type LaunchFacts, type Verification, type VerifiedImage } from './launch-request.ts'
export { type Network, type PlanFiles, type PlanSettings, planPod } from './plan.ts'
export { createPod, type LockedPod, movePod, podParent, syncDirectory } from './pod-directory.ts'
export { readPodFile } from './pod-file.ts'
export { findPod, isLocked, listPods, type Pod } from './pod-list.ts'
export {
  type AppOverrides,
  buildPodManifest,
  completePodManifest,
  type PodImage,
  type PodOverrides,
} from './pod-manifest.ts'
export { type AppStatus, chooseApp, type PodStatus, readPodStatus } from './pod-status.ts'
export { finishPrepare, type TakenPod, takePrepared } from './prepared.ts'
export { removePod, type UndoNetworks } from './remove.ts'
export { type Stage1Interface, stage1Interface } from './stage1-interface.ts'
export { isRemovable, POD_DIRECTORIES, type PodDirectoryName, type PodState, podState } from './state.ts'
export { type Stopped, stopPod } from './stop.ts'
export { type Stopped, stopPod } from './stop.ts'
export { DEFAULT_TRUST_FILE, readTicketKeys } from './trust.ts'
export { matchUuid, newPodUuid, type PodUuid, podUuid } from './uuid.ts'
export { waitForPod, waitUntilReady } from './wait.ts'
export { readLog } from './follow-log.ts'
