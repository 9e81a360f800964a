import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { toHex } from '../../attestation/base/index.ts'
import { digest } from '../../attestation/crypto/index.ts'
import { devicePolicyProgram, deviceRulesV1, MACHINE_DEVICES } from '../flavours/confinement/index.ts'
import {
  type Accelerator,
  addressesArchive,
  type GuestDisk,
  guestDisks,
  INITRAMFS_FILE,
  KERNEL_FILE,
  KVM_ANNOTATIONS,
  kernelCommandLine,
  kvmGroup,
  type MachineSize,
  machineSize,
  podArchive,
  QEMU,
  qemuArguments,
  qemuEnvironment,
  qemuFiles,
  selectAccelerator,
  tpmArguments,
} from '../flavours/kvm/index.ts'
import { ImageError, openHashTree, readTreeFile } from '../image/index.ts'
import { type PodManifest, rootHashOf, valueNamed } from '../manifest/index.ts'
import { NetworkError, type NetworksUp, type PodInterface, podInterface } from '../network/index.ts'
import { podCgroups } from './cgroup-layout.ts'
import { PodError } from './errors.ts'
import type { Flavour, FlavourInput } from './flavour.ts'
import { diskBytesWanted } from './guest-disk.ts'
import { MKE2FS, makeDisk, type PlannedDisk, requireRoom } from './guest-disk-file.ts'
import { type GuestPlan, planGuest } from './guest-plan.ts'
import { tpmWanted } from './guest-tpm.ts'
import type { MadeTpm } from './guest-tpm-state.ts'
import { type HostProgram, openHostProgram, programNamed } from './host-programs.ts'
import { readAppLimits, readPodLimits } from './isolators.ts'
import { cgroupFiles } from './plan-inside.ts'
import { type PlanFiles, planList } from './plan-list.ts'
import { nameFilesOfPod } from './pod-network.ts'
import type { ResourceLimits } from './resources.ts'

const VIRTIOFSD = '/usr/lib/qemu/virtiofsd'
/** Debian's kernels have up to 16 MB. */
const MAX_BOOT_FILE_BYTES = 64 << 20
const BLOCK_BYTES = 4096
const MIB = 1 << 20
/** 16 TiB: most that a launch request can say. */
const MAX_MEMORY_MIB = 1 << 24
/** What QEMU, the keeper and virtiofsd may take besides the guest's memory; emulation keeps what it has translated. */
const OVERHEAD_MIB = { kvm: 256, tcg: 768 } as const
const BOOT_TIMEOUT_MS = { kvm: 30_000, tcg: 120_000 } as const

/**
 * A pod with a kernel of its own, with QEMU as its machine. All that the guest is given is known, and so measured, before
 * anybody is asked, but for the addresses of its networks.
 */
export async function kvmFlavour(input: FlavourInput): Promise<Flavour> {
  const { options: o, stage1, network, programs, opened } = input
  if (network.planned === 'host') {
    throw new PodError('POD_UNSUPPORTED', 'a virtual machine has a network stack of its own', {
      hint: 'Give it a network: --net default; or none.',
    })
  }
  const qemu = programNamed(programs, QEMU)
  const guest = planGuest(o.manifest, {
    ...{ uuid: o.uuid, arch: process.arch, seccomp: !o.relaxed.includes('seccomp') },
    streams: o.streams,
  })
  for (const { source } of guest.shares) requireDirectory(source)
  const [kernel, initramfs] = [KERNEL_FILE, INITRAMFS_FILE].map((name) => bootFile(input, name)) as [Buffer, Buffer] // one for each
  const measured = { kernel: sha256(kernel), initramfs: sha256(initramfs) }
  const accelerator = await selectAccelerator(o.accelerator, {
    ...{ qemu: qemu.path, qemuDigest: qemu.sha256 },
    ...{ kernel, initramfs, kernelDigest: measured.kernel },
  })
  warnOfEmulation(input, accelerator)
  const open = (file: string): HostProgram => {
    const program = openHostProgram(path.basename(file), file)
    opened.push(program.fd)
    return program
  }
  const files = qemuFiles(accelerator.kind)
  const environment = qemuEnvironment(files.moduleDirectory)
  const firmware = files.files.map(open)
  const virtiofsd = guest.shares.length > 0 ? open(VIRTIOFSD) : undefined
  const size = sizeOf(o.manifest)
  const disk = plannedDisk(input)
  const tpm = await plannedTpm(input)
  const annotated = valueNamed(o.stage1.manifest.annotations, KVM_ANNOTATIONS.kernelArguments) ?? ''
  const commandLine = kernelCommandLine(annotated, accelerator.kind, stage1.run)
  const { disks, trees } = guestDisks(
    o.images.map((i) => ({ rootHash: rootHashOf(i.treeDigest), blocks: i.treeSizeBytes / BLOCK_BYTES })),
    disk !== undefined,
  )
  const hashTrees = new Map(
    disks.flatMap((disk) => (disk.content === 'hashes' ? [[disk, openHashes(input, disk)]] : [])),
  )
  const archive = podArchive({
    ...{ files: guest.files, hostname: guest.hostname, salt: new Uint8Array(randomBytes(32)), trees },
    writable: disk === undefined ? 'memory' : 'disk',
    memoryLayerBytes: Math.floor((size.memoryMiB * MIB) / 2),
    tpm: tpm !== undefined,
  })
  const archiveDigest = sha256(archive)
  const firmwareDirectories = files.firmwareDirectories
  const machine = {
    size,
    accelerator,
    commandLine,
    disks,
    firmwareDirectories,
    environment,
    archiveDigest,
    hasTpm: tpm !== undefined,
  }
  const others = [virtiofsd, disk?.mke2fs, ...(tpm?.programs ?? [])].filter((program) => program !== undefined)
  return {
    wantsUsers: true,
    prepare: (user = refuseRoot()) => ({
      plan: new Map([
        ...hostPlan(input, guest, machine, user),
        ['virtiofsd', planList(virtiofsd === undefined ? [] : [virtiofsd.path])],
        ['pod.cpio', archive],
        ['tpm', planList(tpm === undefined ? [] : tpmArguments(tpm.swtpm.path))],
        ['tpm-user', planList(tpm === undefined ? [] : [String(tpmUser(user)), String(tpmUser(user))])],
      ]),
      measured: {
        machine: {
          ...{ accelerator: accelerator.kind, ...measured, commandLine },
          firmware: firmware.map((f) => ({ path: f.path, sha256: f.sha256 })),
        },
        guest: { archive: archiveDigest, ...size },
      },
      programs: others,
      alsoUnchanged: firmware,
      ...(tpm === undefined
        ? {}
        : {
            tpm: { make: (podPath) => tpm.make(podPath, tpmUser(user)), check: () => tpm.made().check(input.podPath) },
          }),
      mode: 'launch-vm',
      networkFiles: (up) => networkFiles(input, guest, machine, qemu, up),
      handedOver: ([stage1Tree = -1, ...images]) => {
        // made only now: nobody could put anything on it while the agent was asked
        const writable = disk === undefined ? -1 : makeDisk(input.podPath, user, disk)
        if (disk !== undefined) opened.push(writable)
        return [
          ...[qemu.fd, stage1Tree, ...(virtiofsd === undefined ? [] : [virtiofsd.fd])],
          ...(tpm === undefined ? [] : [tpm.swtpm.fd, tpm.made().directory]),
          ...disks.map((d) =>
            d.content === 'writable' ? writable : (hashTrees.get(d) ?? images[d.image ?? -1] ?? -1),
          ),
        ]
      },
    }),
  }
}

interface Machine {
  readonly size: MachineSize
  readonly accelerator: Accelerator
  readonly commandLine: string
  readonly disks: readonly GuestDisk[]
  readonly firmwareDirectories: readonly string[]
  readonly environment: readonly string[]
  readonly archiveDigest: string
  readonly hasTpm: boolean
}

/** Of the host's side: what the keeper does by itself, and who QEMU is. */
function hostPlan(
  { options: o, network, cgroups }: FlavourInput,
  guest: GuestPlan,
  { size, accelerator, environment }: Machine,
  user: number,
): PlanFiles {
  const limits: ResourceLimits = { memoryBytes: (size.memoryMiB + OVERHEAD_MIB[accelerator.kind]) * MIB }
  const own = podCgroups(cgroups, o.uuid, {
    deviceRules: deviceRulesV1(MACHINE_DEVICES),
    limits: cgroups.v1.memory === undefined && !cgroups.v2Controllers.includes('memory') ? {} : limits,
  })
  const same = (['apps.list', 'streams', 'stop-timeout-ms'] as const).map(
    (name) => [name, guest.files.get(name) ?? new Uint8Array(0)] as const,
  )
  return new Map([
    ...same,
    ...cgroupFiles(own),
    ['device-policy', devicePolicyProgram(MACHINE_DEVICES)],
    ['network', planList([network.planned])],
    ['qemu-env', planList(environment)],
    ['qemu-user', planList([user, (accelerator.kind === 'kvm' ? kvmGroup() : undefined) ?? user].map(String))],
    ['qemu-devices', planList(accelerator.kind === 'kvm' ? ['/dev/kvm'] : [])],
    ['boot-timeout-ms', planList([String(BOOT_TIMEOUT_MS[accelerator.kind])])],
    ['shares', planList(guest.shares.flatMap((s) => [s.tag, s.source, s.readOnly ? 'ro' : 'rw']))],
  ])
}

/** For what apps write; undefined where that stays in the guest's memory. */
function plannedDisk({ options: o, opened }: FlavourInput): PlannedDisk | undefined {
  const sizeBytes = diskBytesWanted(o.manifest)
  if (sizeBytes === undefined) return undefined
  requireRoom(o.dir, sizeBytes)
  const mke2fs = openHostProgram(MKE2FS)
  opened.push(mke2fs.fd)
  return { sizeBytes, mke2fs }
}

interface PlannedTpm {
  readonly programs: readonly HostProgram[]
  readonly swtpm: HostProgram
  readonly make: (podPath: string, user: number) => Promise<MadeTpm['measured']>
  readonly made: () => MadeTpm
}

/** undefined for a pod that has none. */
async function plannedTpm({ options: o, opened }: FlavourInput): Promise<PlannedTpm | undefined> {
  if (!tpmWanted(o.manifest)) return undefined
  const { makeTpm, openTpmPrograms, SWTPM } = await import('./guest-tpm-state.ts')
  const programs = openTpmPrograms(opened)
  let made: MadeTpm | undefined
  return {
    programs,
    swtpm: programNamed(programs, SWTPM),
    make: async (where, user) => {
      made = await makeTpm({ dir: o.dir, uuid: o.uuid, path: where }, user, programs, opened)
      return made.measured
    },
    made: () => {
      if (made === undefined) throw new TypeError('a TPM is handed over that was not made')
      return made
    },
  }
}

/** Of the pod's range, and not QEMU's: who takes that over reaches no secret of the TPM. */
function tpmUser(user: number): number {
  return user + 1
}

/** The interfaces that plugins made are made anew in the guest, and each gets a tap beside it. */
function networkFiles(
  { options: o, network }: FlavourInput,
  guest: GuestPlan,
  { size, accelerator, commandLine, disks, firmwareDirectories, archiveDigest, hasTpm }: Machine,
  qemu: HostProgram,
  up: NetworksUp | undefined,
): [string, Uint8Array][] {
  const interfaces = interfacesOf(up)
  const argv = qemuArguments({
    ...{
      program: qemu.path,
      podUuid: o.uuid,
      accelerator: accelerator.kind,
      ...size,
      firmwareDirectories,
      commandLine,
    },
    ...{ disks, interfaces: interfaces.map(({ mac }) => mac), shares: guest.shares.map(({ tag }) => tag) },
    tpm: hasTpm,
  })
  const names = new Map(nameFilesOfPod(network, o.manifest, up))
  return [
    ['qemu', planList(argv)],
    ['taps', planList(interfaces.flatMap(({ name, mac }) => [name, mac]))],
    ['addresses.cpio', addressesArchive(names, interfaces, hasTpm ? archiveDigest : undefined)],
  ]
}

function interfacesOf(up: NetworksUp | undefined): PodInterface[] {
  return (up?.joined ?? []).map(({ name, interfaceName }, i) => {
    const result = up?.results[i]
    const found = result === undefined ? undefined : podInterface(result, interfaceName)
    if (found !== undefined) return found
    throw new NetworkError(
      'NETWORK_RESULT_BAD',
      `network ${name} does not say which hardware address ${interfaceName} has`,
      {
        hint: 'A virtual machine needs one: bridge and ptp say it.',
      },
    )
  })
}

function sizeOf(manifest: PodManifest): MachineSize {
  const apps = manifest.apps.map(({ app }) => readAppLimits(app.isolators).resources)
  const size = machineSize(apps, readPodLimits(manifest.isolators), availableParallelism())
  if (size.memoryMiB <= MAX_MEMORY_MIB) return size
  throw new PodError(
    'POD_UNSUPPORTED',
    `a virtual machine has at most ${MAX_MEMORY_MIB} MiB of memory; this one needs ${size.memoryMiB} MiB`,
  )
}

function warnOfEmulation({ options: o }: FlavourInput, { kind, reason }: Accelerator): void {
  if (kind === 'kvm') return
  const why = o.accelerator === 'tcg' ? '' : ` (${reason})`
  o.onWarning(`the virtual machine is emulated${why}: slow, and no boundary to rely on; policies see accelerator tcg`)
}

/** The tree is verified; the whole file is read, for it is measured by itself, too. */
function bootFile({ options: o, trees }: FlavourInput, name: string): Buffer {
  const found = readTreeFile(trees[0] ?? -1, name, MAX_BOOT_FILE_BYTES)
  if (found !== undefined && found.start.length === found.inode.sizeBytes) return found.start
  throw new PodError('POD_STAGE1_UNSUPPORTED', `${o.stage1.origin.name} cannot be used as stage1: it has no /${name}`, {
    hint: 'Use the stage1 image that came with this holdfast: --stage1 kvm.',
  })
}

/** Nobody need believe it: the guest holds each block against the root hash. */
function openHashes({ options: o, opened }: FlavourInput, { image = -1 }: GuestDisk): number {
  const digestOfTree = o.images[image]?.treeDigest
  if (digestOfTree === undefined) throw new ImageError('IMAGE_NOT_FOUND', `there is no image ${image}`)
  const fd = openHashTree(o.store, digestOfTree)
  opened.push(fd)
  return fd
}

function requireDirectory(source: string): void {
  if (fs.statSync(source, { throwIfNoEntry: false })?.isDirectory() === true) return
  throw new PodError('POD_VOLUME_BAD', `${source} is no directory: a virtual machine is given directories alone`)
}

function refuseRoot(): never {
  throw new TypeError('a virtual machine is planned without a user of its own')
}

function sha256(bytes: Uint8Array): string {
  return toHex(digest('sha256', bytes))
}
