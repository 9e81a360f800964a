import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { qemuFiles } from '../../stage1/flavours/kvm/index.ts'
import { PROJECT_ROOT } from './holdfast.ts'
import type { MeasuredFlavour } from './measured.ts'
import { tarMember } from './tar-member.ts'

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

export const NSPAWN: MeasuredFlavour = {
  name: 'nspawn',
  require: () => {},
  options: [],
  takes: () => true,
  otherNetwork: 'host',
  ownKernel: false,
  says: /^$/,
  plan: [
    ['apps/app-0/argv', '/bin/echo\0other\0'],
    ['apps/app-0/caps', ''],
  ],
  hostPrograms: ['/usr/bin/systemd-nspawn'],
}

const QEMU = '/usr/bin/qemu-system-x86_64'
const IMAGE = join(PROJECT_ROOT, 'build/stage1-kvm.aci')
const EMULATION_WARNING = /^(holdfast run(-prepared)?: warning: the virtual machine is emulated[^\n]*\n)?$/

/** A guest takes seconds to boot where it is emulated: each way once with one app and once with two, formats in turn. */
export const KVM: MeasuredFlavour = {
  name: 'kvm',
  require: (context) => {
    const missing = [QEMU, IMAGE].find((file) => !existsSync(file))
    if (missing === undefined) return
    console.log(`      skipped: there is no ${missing}`)
    context.skip()
  },
  options: ['--stage1=kvm', '--accel=tcg'],
  takes: (way, format, apps) => (way + apps) % 3 === format,
  otherNetwork: 'none',
  ownKernel: true,
  says: EMULATION_WARNING,
  plan: [['pod.cpio', 'of no meaning any more']],
  hostPrograms: [QEMU],
  machine: () => ({
    accelerator: 'tcg',
    kernel: sha256(tarMember(readFileSync(IMAGE), 'rootfs/vmlinuz')),
    initramfs: sha256(tarMember(readFileSync(IMAGE), 'rootfs/initramfs')),
    commandLine: COMMAND_LINE,
    firmware: qemuFiles('tcg').files.map((path) => ({ path, sha256: sha256(readFileSync(path)) })),
  }),
}

/** By heart: what is measured is what a policy is written against. */
const COMMAND_LINE = [
  'console=ttyS0 quiet panic=-1 tsc=reliable no_timer_check rcupdate.rcu_expedited=1 random.trust_cpu=on',
  'cryptomgr.notests mitigations=off init_on_alloc=0 i8042.nokbd i8042.noaux 8250.nr_uarts=1',
  'module_blacklist=sha256_ssse3 rdinit=/init -- guest',
].join(' ')
