export {
  type Accelerator,
  type AcceleratorChoice,
  type AcceleratorKind,
  chooseAccelerator,
  type ProbeResult,
  type VirtualizationFacts,
  whyNoKvm,
} from './accelerator.ts'
export { KvmError, type KvmErrorCode } from './errors.ts'
export { type QemuFiles, qemuFiles } from './firmware.ts'
export { addressesArchive, type PodArchiveSettings, podArchive } from './guest-archives.ts'
export { type GuestDisk, type GuestImage, type GuestTree, guestDisks } from './guest-disks.ts'
export {
  buildKvmStage1,
  INITRAMFS_FILE,
  initramfs,
  KERNEL_FILE,
  KVM_ANNOTATIONS,
  type KvmStage1BuildSettings,
  type KvmStage1Parts,
  kvmStage1Image,
  QEMU,
} from './image.ts'
export { KERNEL_ARGUMENTS, kernelCommandLine } from './kernel-arguments.ts'
export { moduleLoadOrder, parseModuleList } from './kernel-modules.ts'
export { kvmGroup } from './kvm-device.ts'
export { type MachineSize, machineSize, type SizeLimits } from './machine-size.ts'
export {
  EK_CERTIFICATE,
  type PodTpm,
  podTpm,
  serialNumber,
  setupArguments,
  setupFiles,
  TPM_STATE,
  tpmArguments,
} from './pod-tpm.ts'
export { type ProbeSettings, readVirtualizationFacts, selectAccelerator } from './probe.ts'
export { type QemuSettings, qemuArguments, qemuEnvironment } from './qemu-arguments.ts'
