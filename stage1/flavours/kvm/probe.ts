import { spawn } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { codeOf, messageOf, printable } from '../../../attestation/base/index.ts'
import {
  type Accelerator,
  type AcceleratorChoice,
  type AcceleratorKind,
  chooseAccelerator,
  type ProbeResult,
  type VirtualizationFacts,
} from './accelerator.ts'
import { qemuFiles } from './firmware.ts'
import { INITRAMFS_FILE, KERNEL_FILE } from './image.ts'
import { KERNEL_ARGUMENTS, kernelCommandLine } from './kernel-arguments.ts'
import { kvmGroup } from './kvm-device.ts'
import { readProbe, writeProbe } from './probe-cache.ts'
import { qemuEnvironment, SANDBOX } from './qemu-arguments.ts'

/** A directory of root's own: what it lies in is the agent's, too. */
const PROBE_CACHE = '/run/holdfast/probe/accelerator'
/** A user by whose rights nothing can be had. */
const NOBODY = 65_534
const DEADLINE_MS = 10_000
const MAX_SAID = 300

/** What a guest for a probe is made of. */
export interface ProbeGuest {
  /** Absolute path. */
  readonly qemu: string
  readonly kernel: Uint8Array
  readonly initramfs: Uint8Array
}

export interface ProbeSettings extends ProbeGuest {
  /** Digests of `qemu` and `kernel`, as they are measured. */
  readonly qemuDigest: string
  readonly kernelDigest: string
  readonly cacheFile?: string
}

/**
 * Which accelerator a pod gets on this machine. Where KVM may work it is tried with a guest, once for each boot, QEMU
 * and kernel.
 * @throws KvmError POD_ACCEL_MISSING where kvm is demanded and does not work; Error of the file system
 */
export async function selectAccelerator(choice: AcceleratorChoice, settings: ProbeSettings): Promise<Accelerator> {
  return chooseAccelerator(choice, readVirtualizationFacts, async () => {
    const file = settings.cacheFile ?? PROBE_CACHE
    const key = {
      bootId: fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
      qemuDigest: settings.qemuDigest,
      kernelDigest: settings.kernelDigest,
    }
    const known = readProbe(file, key)
    if (known !== undefined) return known
    const result = await probeGuest('kvm', settings, DEADLINE_MS)
    writeProbe(file, key, result)
    return result
  })
}

export function readVirtualizationFacts(): VirtualizationFacts {
  const deviceError = openError('/dev/kvm')
  return {
    ...(deviceError === undefined ? {} : { deviceError }),
    modules: ['kvm_intel', 'kvm_amd', 'kvm_pvm'].filter((name) => fs.existsSync(`/sys/module/${name}`)),
    processorFlags: /^flags\s*:(.*)$/m.exec(fs.readFileSync('/proc/cpuinfo', 'utf8'))?.[1]?.trim().split(' ') ?? [],
  }
}

function openError(device: string): string | undefined {
  try {
    fs.closeSync(fs.openSync(device, 'r+'))
    return undefined
  } catch (err) {
    return codeOf(err) ?? messageOf(err)
  }
}

/**
 * Boots a guest that powers off at once. It does so before anybody was asked whether this kernel may run here, and so with
 * the rights that QEMU has in a pod, and not with root's: that shows at the same time that those will do. Nothing tells QEMU to end at a reset: a guest that crashes starts again and
 * runs into the deadline, so that status 0 means a guest that came as far as its PID 1.
 */
export async function probeGuest(
  accelerator: AcceleratorKind,
  guest: ProbeGuest,
  deadlineMs: number,
): Promise<ProbeResult> {
  const directory = fs.mkdtempSync(path.join(tmpdir(), 'holdfast-probe-'))
  try {
    fs.writeFileSync(path.join(directory, KERNEL_FILE), guest.kernel)
    fs.writeFileSync(path.join(directory, INITRAMFS_FILE), guest.initramfs)
    fs.chmodSync(directory, 0o755)
    return await runProbe(accelerator, guest.qemu, directory, deadlineMs)
  } finally {
    fs.rmSync(directory, { recursive: true })
  }
}

async function runProbe(
  accelerator: AcceleratorKind,
  qemu: string,
  directory: string,
  deadlineMs: number,
): Promise<ProbeResult> {
  const environment = qemuEnvironment(qemuFiles(accelerator).moduleDirectory)
  return new Promise((resolve) => {
    const child = spawn(qemu, probeArguments(accelerator, directory), {
      env: Object.fromEntries(environment.map((v) => [v.slice(0, v.indexOf('=')), v.slice(v.indexOf('=') + 1)])),
      cwd: '/',
      stdio: ['ignore', 'ignore', 'pipe'],
      ...(process.geteuid?.() === 0 && {
        uid: NOBODY,
        gid: (accelerator === 'kvm' ? kvmGroup() : undefined) ?? NOBODY,
      }),
      timeout: deadlineMs,
      killSignal: 'SIGKILL',
    })
    let said = ''
    child.stderr.on('data', (bytes: Buffer) => {
      said = `${said}${bytes.toString()}`.slice(-MAX_SAID)
    })
    child.on('error', (err) => resolve({ works: false, why: `${qemu}: ${messageOf(err)}` }))
    child.on('close', (status, signal) => {
      if (status === 0) return resolve({ works: true })
      const end =
        signal === 'SIGKILL' ? `did not power off within ${deadlineMs} ms` : `ended QEMU with ${signal ?? status}`
      resolve({ works: false, why: printable(`a guest that is to power off at once ${end}. ${said.trim()}`.trim()) })
    })
  })
}

function probeArguments(accelerator: AcceleratorKind, directory: string): string[] {
  return [
    ...['-accel', accelerator, '-cpu', accelerator === 'kvm' ? 'host' : 'max', '-machine', 'q35', '-m', '128'],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-sandbox', SANDBOX],
    ...['-kernel', path.join(directory, KERNEL_FILE), '-initrd', path.join(directory, INITRAMFS_FILE)],
    ...['-append', kernelCommandLine(KERNEL_ARGUMENTS, accelerator, ['/init', 'probe'])],
  ]
}
