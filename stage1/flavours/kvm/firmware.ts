import { existsSync } from 'node:fs'
import type { AcceleratorKind } from './accelerator.ts'
import { KvmError } from './errors.ts'

/**
 * What QEMU loads by name when it starts a guest as qemu-arguments.ts has it: seen with strace(1) for QEMU 7.2. The
 * first executes in the guest before the kernel, the second puts kernel and initramfs into its memory.
 */
const FIRMWARE = ['bios-256k.bin', 'linuxboot_dma.bin']
const FIRMWARE_DIRECTORIES = ['/usr/share/seabios', '/usr/share/qemu']
const MODULE_DIRECTORIES = ['/usr/lib/x86_64-linux-gnu/qemu', '/usr/lib64/qemu', '/usr/lib/qemu']
/** A part of QEMU itself where it is built in modules, as Debian's is. */
const TCG_MODULE = 'accel-tcg-x86_64.so'

export interface QemuFiles {
  /** Absolute paths of all that is loaded, sorted; QEMU and shared libraries are not among them. */
  readonly files: readonly string[]
  /** Where QEMU is to look for its firmware, in this order. */
  readonly firmwareDirectories: readonly string[]
  /** Where QEMU is to look for its modules; undefined where it has none. */
  readonly moduleDirectory?: string
}

/**
 * What of the host takes part in a guest besides QEMU, so that it can be measured: QEMU is told to look where this was
 * found.
 * @param exists whether there is such a file
 * @throws KvmError POD_FIRMWARE_MISSING
 */
export function qemuFiles(accelerator: AcceleratorKind, exists: (file: string) => boolean = existsSync): QemuFiles {
  const firmware = FIRMWARE.map((name) => {
    const file = FIRMWARE_DIRECTORIES.map((directory) => `${directory}/${name}`).find(exists)
    if (file === undefined) {
      throw new KvmError('POD_FIRMWARE_MISSING', `${name} is in none of ${FIRMWARE_DIRECTORIES.join(', ')}`, {
        hint: 'Install it: apt-get install qemu-system-x86 (it brings seabios along).',
      })
    }
    return file
  })
  const moduleDirectory = MODULE_DIRECTORIES.find((directory) => exists(`${directory}/${TCG_MODULE}`))
  const modules = accelerator === 'tcg' && moduleDirectory !== undefined ? [`${moduleDirectory}/${TCG_MODULE}`] : []
  return {
    files: [...firmware, ...modules].sort(),
    firmwareDirectories: FIRMWARE_DIRECTORIES,
    ...(moduleDirectory === undefined ? {} : { moduleDirectory }),
  }
}
