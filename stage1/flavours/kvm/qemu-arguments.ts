import type { AcceleratorKind } from './accelerator.ts'
import type { GuestDisk } from './guest-disks.ts'

/** Descriptors that launch-vm hands to QEMU (README.md); each is one end of a socketpair, but for disks and taps. */
const QMP_FD = 4
const CONSOLE_FD = 7
const FIRST_DISK_FD = 12
const PORTS: readonly (readonly [fd: number, name: string])[] = [
  [5, 'holdfast.control'],
  [6, 'holdfast.streams'],
  [8, 'holdfast.enter.0'],
  [9, 'holdfast.enter.1'],
  [10, 'holdfast.enter.2'],
  [11, 'holdfast.enter.3'],
]

/** QEMU's own filter of system calls. */
export const SANDBOX = 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'

/** QEMU would stop the machine, for good, where the host's file system is full. */
const ERRORS = ',werror=report'

/** Files in QEMU's own root. */
const KERNEL = '/stage1/vmlinuz'
const INITRD = '/stage1/initrd'
const SHARE_SOCKETS = '/run/holdfast'

/** Slots 1 to 30 of the root bus are free; each has 8 functions. */
const FIRST_SLOT = 1
const SLOTS = 30
const FUNCTIONS = 8

export interface QemuSettings {
  /** Absolute path of QEMU, which becomes argv[0]. */
  readonly program: string
  readonly podUuid: string
  readonly accelerator: AcceleratorKind
  readonly memoryMiB: number
  readonly processors: number
  /** Where firmware is looked for, and nowhere before. */
  readonly firmwareDirectories: readonly string[]
  readonly commandLine: string
  /** In the order of their descriptors. */
  readonly disks: readonly Pick<GuestDisk, 'serial' | 'readOnly'>[]
  /** Hardware address of each interface, in the order of their taps. */
  readonly interfaces: readonly string[]
  /** Tags of the host's directories. */
  readonly shares: readonly string[]
  /** Whether there is a TPM, behind a socketpair whose descriptor comes after all others. */
  readonly tpm?: boolean
}

/**
 * Arguments of QEMU: a machine with what the guest uses and nothing else, which ends at a reset and may start no program
 * of its own. It opens nothing of the host by name but firmware, kernel and sockets of virtiofsd.
 * @throws RangeError for more devices than the machine has room for, and for a text that would end an option's value
 */
export function qemuArguments(s: QemuSettings): string[] {
  const memory = s.shares.length > 0 ? ',memory-backend=memory' : ''
  return [
    s.program,
    ...['-name', `holdfast-${plain(s.podUuid)}`, '-uuid', plain(s.podUuid)],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-sandbox', SANDBOX],
    ...s.firmwareDirectories.flatMap((directory) => ['-L', directory]),
    ...['-machine', `q35,usb=off,vmport=off,sata=off,smbus=off,i8042=off,smm=off${memory}`],
    ...(s.accelerator === 'kvm' ? ['-accel', 'kvm', '-cpu', 'host'] : ['-accel', 'tcg,thread=multi', '-cpu', 'max']),
    ...['-global', 'apic-common.vapic=off'], // it would load one more ROM, for guests of another age
    ...['-smp', String(s.processors), '-m', `${s.memoryMiB}M`],
    // virtiofsd reads and writes the guest's memory itself
    ...(s.shares.length > 0 ? ['-object', `memory-backend-memfd,id=memory,size=${s.memoryMiB}M,share=on`] : []),
    ...['-kernel', KERNEL, '-initrd', INITRD, '-append', s.commandLine],
    ...['-chardev', `socket,id=qmp,fd=${QMP_FD}`, '-mon', 'chardev=qmp,mode=control'],
    ...['-chardev', `socket,id=console,fd=${CONSOLE_FD}`, '-serial', 'chardev:console'],
    ...backends(s),
    ...placed([
      'pvpanic-pci',
      'virtio-rng-pci-non-transitional',
      'virtio-serial-pci-non-transitional,id=ports',
      ...s.disks.map(
        ({ serial }) => `virtio-blk-pci-non-transitional,drive=${serial},serial=${serial},num-queues=1${ERRORS}`,
      ),
      ...s.interfaces.map((mac, i) => `virtio-net-pci-non-transitional,netdev=net${i},mac=${plain(mac)},romfile=`),
      ...s.shares.map((tag) => `vhost-user-fs-pci,chardev=${tag},tag=${tag}`),
    ]),
    ...(s.tpm ? ['-tpmdev', 'emulator,id=tpm,chardev=tpm', '-device', 'tpm-crb,tpmdev=tpm'] : []),
    ...PORTS.flatMap(([, name], i) => ['-device', `virtserialport,bus=ports.0,chardev=port${i},name=${name}`]),
  ]
}

/** Environment of QEMU. @param moduleDirectory where its modules are, if it has any */
export function qemuEnvironment(moduleDirectory: string | undefined): string[] {
  return [
    'LC_ALL=C',
    'PATH=/usr/bin:/bin',
    ...(moduleDirectory === undefined ? [] : [`QEMU_MODULE_DIR=${moduleDirectory}`]),
  ]
}

function backends(s: QemuSettings): string[] {
  const firstTap = FIRST_DISK_FD + s.disks.length
  return [
    ...PORTS.flatMap(([fd], i) => ['-chardev', `socket,id=port${i},fd=${fd}`]),
    ...s.disks.flatMap(({ serial, readOnly }, i) => [
      ...['-add-fd', `fd=${FIRST_DISK_FD + i},set=${i}`],
      // images are shared by pods, and the pod's lock keeps its own disk: QEMU's locks would say nothing more
      ...[
        '-blockdev',
        `driver=file,node-name=${plain(serial)},filename=/dev/fdset/${i},locking=off,${access(readOnly)}`,
      ],
    ]),
    ...s.interfaces.flatMap((_, i) => ['-netdev', `tap,id=net${i},fd=${firstTap + i},vhost=off`]),
    ...(s.tpm ? ['-chardev', `socket,id=tpm,fd=${firstTap + s.interfaces.length}`] : []),
    ...s.shares.flatMap((tag) => ['-chardev', `socket,id=${plain(tag)},path=${SHARE_SOCKETS}/${tag}.sock`]),
  ]
}

function access(readOnly: boolean): string {
  return readOnly ? 'read-only=on' : 'read-only=off,discard=unmap'
}

/** Eight devices to a slot, one after another, so that there is room for more than slots. */
function placed(devices: readonly string[]): string[] {
  if (devices.length > SLOTS * FUNCTIONS) {
    throw new RangeError(`a machine has room for ${SLOTS * FUNCTIONS} devices, not ${devices.length}`)
  }
  return devices.flatMap((device, i) => {
    const slot = FIRST_SLOT + Math.floor(i / FUNCTIONS)
    const place = `addr=0x${slot.toString(16)}.${i % FUNCTIONS}${i % FUNCTIONS === 0 ? ',multifunction=on' : ''}`
    return ['-device', `${device},bus=pcie.0,${place}`]
  })
}

/** QEMU takes a comma for the end of a value; nothing here has need of one. */
function plain(text: string): string {
  if (!/^[\w:.-]+$/.test(text)) throw new RangeError(`${JSON.stringify(text)} is no value of an option of QEMU`)
  return text
}
