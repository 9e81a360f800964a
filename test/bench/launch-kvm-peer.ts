import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { utf8 } from '../../attestation/base/index.ts'
import { cpioArchive } from '../../stage1/flavours/kvm/cpio.ts'
import {
  KERNEL_ARGUMENTS,
  kernelCommandLine,
  moduleLoadOrder,
  parseModuleList,
  readVirtualizationFacts,
  whyNoKvm,
} from '../../stage1/flavours/kvm/index.ts'
import type { TarMember } from '../../stage1/flavours/tar.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const KERNEL = join(ROOT, 'build/kernel')
const BUSYBOX = '/bin/busybox'

/** What this machine runs both with. */
export const ACCELERATOR = whyNoKvm(readVirtualizationFacts()) === undefined ? 'kvm' : 'tcg'

/** As a pod of one app without limits has it. */
const MEMORY_MIB = 256

/**
 * The peer: QEMU as somebody would start it by hand with the same kernel, modules and image, and a shell script as PID 1.
 * No verity, no control groups, nothing dropped, nobody asked. What the program prints comes out of a port,
 * whose other end is standard output: a socket, as Node makes it.
 *
 * @param tree EROFS file with the image
 * @param script what runs in the image's root, by its shell
 * @returns command line
 */
export function byHand(directory: string, tree: string, script: string): [string, ...string[]] {
  const initramfs = join(directory, 'peer.cpio')
  writeFileSync(initramfs, cpioArchive(peerMembers(script)))
  return [
    'qemu-system-x86_64',
    ...['-accel', ACCELERATOR, '-cpu', ACCELERATOR === 'kvm' ? 'host' : 'max', '-machine', 'q35'],
    ...['-smp', '1', '-m', `${MEMORY_MIB}M`, '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-kernel', join(KERNEL, 'vmlinuz'), '-initrd', initramfs],
    ...['-append', kernelCommandLine(KERNEL_ARGUMENTS, ACCELERATOR, ['/init'])],
    ...[
      '-device',
      'virtio-serial-pci',
      '-chardev',
      'socket,id=out,fd=1',
      '-device',
      'virtserialport,chardev=out,name=out',
    ],
    ...['-drive', `if=none,id=disk,format=raw,file=${tree},readonly=on`, '-device', 'virtio-blk-pci,drive=disk'],
  ]
}

function peerMembers(script: string): TarMember[] {
  const [release = ''] = readdirSync(join(KERNEL, 'lib/modules'))
  const modules = join(KERNEL, 'lib/modules', release)
  const wanted = parseModuleList(readFileSync(join(ROOT, 'config/guest-modules'), 'utf8'))
  const order = moduleLoadOrder(readFileSync(join(modules, 'modules.dep'), 'utf8'), wanted)
  const init = `#!${BUSYBOX} sh
b=${BUSYBOX}
$b mount -t devtmpfs dev /dev
for m in ${order.map((file) => basename(file)).join(' ')}; do $b insmod /modules/$m 2>/dev/null; done
$b mount -t erofs -o ro /dev/vda /root
$b mount -t tmpfs top /top && $b mkdir /top/upper /top/work
$b mount -t overlay -o lowerdir=/root,upperdir=/top/upper,workdir=/top/work root /root
$b chroot /root /bin/sh -c '${script}' >/dev/vport0p1
$b poweroff -f
`
  return [
    ...['bin', 'dev', 'modules', 'root', 'top'].map((name): TarMember => ({ name, kind: 'directory', mode: 0o755 })),
    { name: BUSYBOX.slice(1), kind: 'file', mode: 0o755, content: readFileSync(BUSYBOX) },
    { name: 'init', kind: 'file', mode: 0o755, content: utf8(init) },
    ...order.map((file): TarMember => {
      const content = readFileSync(join(modules, file))
      return { name: `modules/${basename(file)}`, kind: 'file', mode: 0o644, content }
    }),
  ]
}

/** Whether there is a kernel for guests on this machine. @throws Error that says how to get one */
export function requireGuestKernel(): void {
  if (!existsSync(join(KERNEL, 'vmlinuz'))) throw new Error('build/kernel is missing: config/guest-kernel.sh gets it')
}
