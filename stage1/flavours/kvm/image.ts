import { readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { gzipSync } from 'node:zlib'
import { canonicalJson, toHex, utf8 } from '../../../attestation/base/index.ts'
import { digest } from '../../../attestation/crypto/index.ts'
import { AC_VERSION } from '../../manifest/index.ts'
import { INTERFACE_VERSION, STAGE1_ANNOTATIONS } from '../interface.ts'
import { type TarMember, tarArchive } from '../tar.ts'
import { cpioArchive, padded } from './cpio.ts'
import { KERNEL_ARGUMENTS } from './kernel-arguments.ts'
import { moduleLoadOrder } from './kernel-modules.ts'

/** The host program that this flavour needs, as its manifest names it in `holdfast/stage1/host-programs`. */
export const QEMU = 'qemu-system-x86_64'

/** Annotations that stage1 images of this flavour have besides those of every stage1 image. */
export const KVM_ANNOTATIONS = {
  /** Release of the kernel, as `uname -r` has it in the guest. */
  kernel: 'holdfast/stage1/kernel',
  /** Command line of the kernel for every pod. */
  kernelArguments: 'holdfast/stage1/kernel-arguments',
} as const

/** Files of a stage1 image. */
export const KERNEL_FILE = 'vmlinuz'
export const INITRAMFS_FILE = 'initramfs'

const DIRECTORIES = ['apps', 'dev', 'etc', 'modules', 'proc', 'run', 's1', 's1/plan', 'sys', 'tmp', 'var']
const GZIP_LEVEL = 9

export interface KvmStage1BuildSettings {
  /** Path of the static holdfast-stage1. */
  readonly program: string
  /** Directory with `vmlinuz` and `lib/modules/RELEASE/`, which has a modules.dep. */
  readonly kernel: string
  /** SHA-256 of `vmlinuz`, hex, where it has to be that one. */
  readonly kernelSha256?: string
  /** Names of the modules that are loaded, besides what they need. */
  readonly modules: readonly string[]
  /** Where the ACI is written, whole or not at all. */
  readonly output: string
}

/** What the image is made of. */
export interface KvmStage1Parts {
  readonly program: Uint8Array
  readonly kernel: Uint8Array
  readonly kernelRelease: string
  /** File name and content of each module, in the order in which they are loaded. */
  readonly modules: readonly (readonly [name: string, content: Uint8Array])[]
}

/**
 * Builds the stage1 image `kvm`: an uncompressed ACI with equal bytes for an equal program and kernel.
 * @throws Error of the file system; RangeError for another kernel than is wanted, for a directory without a wanted
 *   module or with several releases
 */
export async function buildKvmStage1(settings: KvmStage1BuildSettings): Promise<void> {
  const [kernelRelease, ...more] = await readdir(`${settings.kernel}/lib/modules`)
  if (kernelRelease === undefined || more.length > 0) {
    throw new RangeError(`${settings.kernel}/lib/modules must have the modules of one kernel`)
  }
  const directory = `${settings.kernel}/lib/modules/${kernelRelease}`
  const files = moduleLoadOrder(await readFile(`${directory}/modules.dep`, 'utf8'), settings.modules)
  const kernel = await readFile(`${settings.kernel}/vmlinuz`)
  const sha256 = toHex(digest('sha256', kernel))
  if (settings.kernelSha256 !== undefined && settings.kernelSha256 !== sha256) {
    throw new RangeError(`${settings.kernel}/vmlinuz has SHA-256 ${sha256}, wanted is ${settings.kernelSha256}`)
  }
  const aci = kvmStage1Image({
    program: await readFile(settings.program),
    kernel,
    kernelRelease,
    modules: await Promise.all(files.map(async (f) => [basename(f), await readFile(`${directory}/${f}`)] as const)),
  })
  await writeFile(`${settings.output}.new`, aci)
  await rename(`${settings.output}.new`, settings.output)
}

/** @returns the bytes of the ACI */
export function kvmStage1Image(parts: KvmStage1Parts): Uint8Array {
  const manifest = {
    acKind: 'ImageManifest',
    acVersion: AC_VERSION,
    name: 'holdfast/stage1-kvm',
    labels: [
      { name: 'os', value: 'linux' },
      { name: 'arch', value: 'amd64' },
    ],
    annotations: [
      { name: STAGE1_ANNOTATIONS.flavour, value: 'kvm' },
      { name: STAGE1_ANNOTATIONS.hostPrograms, value: `${QEMU} holdfast-stage1` },
      { name: STAGE1_ANNOTATIONS.interfaceVersion, value: String(INTERFACE_VERSION) },
      { name: KVM_ANNOTATIONS.kernel, value: parts.kernelRelease },
      { name: KVM_ANNOTATIONS.kernelArguments, value: KERNEL_ARGUMENTS },
      { name: STAGE1_ANNOTATIONS.run, value: '/init guest' },
    ],
  }
  return tarArchive([
    file('manifest', utf8(canonicalJson(manifest))),
    directory('rootfs'),
    file(`rootfs/${INITRAMFS_FILE}`, initramfs(parts)),
    file(`rootfs/${KERNEL_FILE}`, parts.kernel),
  ])
}

/** The initramfs of every guest, before what is the pod's own. */
export function initramfs({ program, modules }: Pick<KvmStage1Parts, 'program' | 'modules'>): Uint8Array {
  const archive = cpioArchive([
    ...DIRECTORIES.map(directory),
    { name: 'init', kind: 'file', mode: 0o755, content: program },
    ...modules.map(([name, content]) => file(`modules/${name}`, content)),
    file('modules/order', utf8(modules.map(([name]) => `${name}\0`).join(''))),
  ])
  return padded(gzipSync(archive, { level: GZIP_LEVEL }))
}

function directory(name: string): TarMember {
  return { name, kind: 'directory', mode: name === 'tmp' ? 0o1777 : 0o755 }
}

function file(name: string, content: Uint8Array): TarMember {
  return { name, kind: 'file', mode: 0o644, content }
}
