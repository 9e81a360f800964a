import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import {
  addressesArchive,
  guestDisks,
  KERNEL_ARGUMENTS,
  kernelCommandLine,
  podArchive,
  qemuArguments,
  qemuEnvironment,
  qemuFiles,
} from '../../stage1/flavours/kvm/index.ts'
import type { PodManifest } from '../../stage1/manifest/index.ts'
import type { PodInterface } from '../../stage1/network/index.ts'
import { planGuest } from '../../stage1/pod/guest-plan.ts'
import { newPodUuid, type Streams } from '../../stage1/pod/index.ts'
import { Guests } from './guest.ts'
import { PROJECT_ROOT } from './holdfast.ts'
import { KeeperPods, type KeeperSettings, list } from './keeper-pods.ts'
import type { StartedPod } from './stage1-pods.ts'

const QEMU = '/usr/bin/qemu-system-x86_64'
export const VIRTIOFSD = '/usr/lib/qemu/virtiofsd'
const MEMORY_MIB = 160

export interface KeeperGuestSettings extends Pick<KeeperSettings, 'plan' | 'stdin' | 'wrapper'> {
  readonly streams?: Streams
  readonly interfaces?: readonly PodInterface[]
}

/** Real guests under the keeper: as stage0 starts them, without stage0. Everything is removed by `stop`. */
export class KeeperGuests {
  readonly pods: KeeperPods
  readonly #guests: Guests

  constructor() {
    this.#guests = new Guests()
    const { initramfs } = this.#guests
    this.pods = new KeeperPods((root) => {
      fs.copyFileSync(path.join(PROJECT_ROOT, 'build/kernel/vmlinuz'), path.join(root, 'vmlinuz'))
      fs.writeFileSync(path.join(root, 'initramfs'), initramfs)
    })
  }

  start(
    manifest: PodManifest,
    s: KeeperGuestSettings = {},
  ): StartedPod & { readonly guestPlan: ReadonlyMap<string, Uint8Array> } {
    const uuid = newPodUuid()
    const { tree } = this.#guests
    const { interfaces = [], streams } = s
    const plan = planGuest(manifest, {
      uuid,
      arch: process.arch,
      seccomp: true,
      ...(streams === undefined ? {} : { streams }),
    })
    const { disks, trees } = guestDisks(
      manifest.apps.map(() => tree),
      false,
    )
    const shares = plan.shares.map(({ tag }) => tag)
    const files = qemuFiles('tcg')
    const argv = qemuArguments({
      program: QEMU,
      podUuid: uuid,
      accelerator: 'tcg',
      memoryMiB: MEMORY_MIB,
      processors: 1,
      firmwareDirectories: files.firmwareDirectories,
      commandLine: kernelCommandLine(KERNEL_ARGUMENTS, 'tcg', ['/init', 'guest']),
      disks,
      interfaces: interfaces.map(({ mac }) => mac),
      shares,
    })
    const started = this.pods.start({
      ...s,
      apps: manifest.apps.map(({ name }) => name),
      qemu: { program: QEMU, argv },
      disks: disks.map(({ content }) => (content === 'tree' ? tree.data : tree.hashes)),
      ...(shares.length > 0 ? { virtiofsd: VIRTIOFSD } : {}),
      plan: {
        'qemu-env': list(...qemuEnvironment(files.moduleDirectory)),
        'pod.cpio': podArchive({
          files: plan.files,
          hostname: plan.hostname,
          salt: new Uint8Array(randomBytes(32)),
          trees,
          writable: 'memory',
          memoryLayerBytes: 16 << 20,
          tpm: false,
        }),
        'addresses.cpio': addressesArchive(
          new Map([
            ['resolv.conf', new Uint8Array(0)],
            ['hosts', new Uint8Array(0)],
          ]),
          interfaces,
        ),
        shares: list(...plan.shares.flatMap(({ tag, source, readOnly }) => [tag, source, readOnly ? 'ro' : 'rw'])),
        ...s.plan,
      },
    })
    return { ...started, guestPlan: plan.files }
  }

  async stop(): Promise<void> {
    await this.pods.stop()
    await this.#guests.stop()
  }
}
