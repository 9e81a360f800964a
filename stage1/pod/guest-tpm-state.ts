import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { codeOf, messageOf, printable } from '../../attestation/base/index.ts'
import {
  EK_CERTIFICATE,
  type PodTpm,
  podTpm,
  serialNumber,
  setupArguments,
  setupFiles,
  TPM_STATE,
} from '../flavours/kvm/index.ts'
import { launchChanged } from './assemble.ts'
import { PodError } from './errors.ts'
import { TPM_DIRECTORY } from './guest-tpm.ts'
import { type HostProgram, openHostProgram, programNamed } from './host-programs.ts'
import { podAuthority } from './pod-authority.ts'
import { inDirectory } from './pod-directory.ts'

const run = promisify(execFile)

export const SWTPM = 'swtpm'
const SETUP = 'swtpm_setup'
const TOOLS = ['swtpm_localca', 'swtpm_cert'] as const
/** All that the TPM does is in these. */
const LIBRARIES = ['libtpms.so.0', 'swtpm/libswtpm_libtpms.so.0'] as const
const LIBRARY_DIRECTORIES = ['/usr/lib/x86_64-linux-gnu', '/usr/lib64', '/usr/lib']
/** In the pod's directory while the TPM is made, so that it goes with the pod where nobody lives to remove it. */
const SCRATCH = 'tpm-setup'
/** Half a second as a rule, most of it for an RSA key. */
const TIMEOUT_MS = 120_000

/**
 * Programs and libraries that make and are a pod's TPM.
 * @param opened takes every descriptor as soon as it is open
 * @throws PodError POD_PROGRAM_MISSING
 */
export function openTpmPrograms(opened: number[]): readonly HostProgram[] {
  const open = (name: string, file?: string): HostProgram => {
    const program = openHostProgram(name, file)
    opened.push(program.fd)
    return program
  }
  const libraries = LIBRARIES.map((library) => {
    const found = LIBRARY_DIRECTORIES.map((d) => path.join(d, library)).find((file) => fs.existsSync(file))
    return open(path.basename(library), found ?? path.join('/usr/lib', library))
  })
  return [...[SWTPM, SETUP, ...TOOLS].map((name) => open(name)), ...libraries]
}

/** A TPM that was made and has not run yet. */
export interface MadeTpm {
  readonly measured: PodTpm
  /** Of the directory with its state. */
  readonly directory: number
  /** Whether it is in the pod's directory as it was made. @throws PodError LAUNCH_CHANGED */
  readonly check: (podPath: string) => void
}

/**
 * Makes the TPM of a pod: by swtpm_setup, with certificates of the node's own CA.
 *
 * @param dir data directory
 * @param user the host's, that its swtpm runs as
 * @param opened takes every descriptor as soon as it is open
 * @throws PodError POD_TPM_FAILED, POD_DIRECTORY_FAILED, LAUNCH_CHANGED where there is one already; nothing of it is left
 */
export async function makeTpm(
  pod: { readonly dir: string; readonly uuid: string; readonly path: string },
  user: number,
  programs: readonly HostProgram[],
  opened: number[],
): Promise<MadeTpm> {
  const authority = podAuthority(pod.dir, new Date())
  const scratch = path.join(pod.path, SCRATCH)
  const scratchFd = openNew(scratch)
  try {
    await setUp(fdPath(scratchFd), pod.uuid, authority.file, programs)
    const state = fs.readFileSync(path.join(scratch, 'state', TPM_STATE))
    const measured = podTpm(fs.readFileSync(path.join(scratch, EK_CERTIFICATE)), authority.certificate.publicKeyInfo)
    const fd = keep(path.join(pod.path, TPM_DIRECTORY), state, user)
    opened.push(fd)
    return { measured, directory: fd, check: (podPath) => checkState(path.join(podPath, TPM_DIRECTORY), fd, state) }
  } finally {
    fs.closeSync(scratchFd)
    fs.rmSync(scratch, { recursive: true, force: true })
  }
}

/** For programs that this process starts: the path of a socket has to be short, which that of a data directory may not be. */
function fdPath(fd: number): string {
  return `/proc/${process.pid}/fd/${fd}`
}

function openNew(directory: string): number {
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = fs.constants
  return inDirectory(directory, () => {
    fs.rmSync(directory, { recursive: true, force: true }) // of a launch that was killed
    fs.mkdirSync(directory, { mode: 0o700 })
    return fs.openSync(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
  })
}

/** Programs run as they were measured, by descriptor, under the names by which they look for one another. */
async function setUp(
  directory: string,
  uuid: string,
  authority: string,
  programs: readonly HostProgram[],
): Promise<void> {
  fs.mkdirSync(path.join(directory, 'state'), { mode: 0o700 })
  for (const name of [SWTPM, ...TOOLS]) {
    fs.symlinkSync(fdPath(programNamed(programs, name).fd), path.join(directory, name))
  }
  for (const [name, text] of setupFiles(directory, authority, serialNumber(new Uint8Array(randomBytes(8))))) {
    fs.writeFileSync(path.join(directory, name), text, { mode: 0o600 })
  }
  try {
    await run(fdPath(programNamed(programs, SETUP).fd), setupArguments(directory, uuid), {
      ...{ cwd: directory, env: { LC_ALL: 'C', PATH: directory, TMPDIR: directory } },
      ...{ timeout: TIMEOUT_MS, killSignal: 'SIGKILL' },
    })
  } catch (cause) {
    throw new PodError('POD_TPM_FAILED', `the TPM of the pod could not be made: ${told(cause)}`, { cause })
  }
}

/** The last of what it said, which is why it gave up; the modulus of a key it tells before is nobody's concern. */
function told(err: unknown): string {
  const { stdout, stderr }: { stdout?: unknown; stderr?: unknown } = typeof err === 'object' && err !== null ? err : {}
  const lines = `${stdout ?? ''}\n${stderr ?? ''}`.split('\n').filter((line) => line !== '' && line.length < 300)
  return printable(lines.length === 0 ? messageOf(err) : lines.slice(-4).join('; '), 600)
}

/** @returns the directory, open */
function keep(directory: string, state: Uint8Array, user: number): number {
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = fs.constants
  try {
    return inDirectory(directory, () => {
      fs.mkdirSync(directory, { mode: 0o700 })
      const file = path.join(directory, TPM_STATE)
      fs.writeFileSync(file, state, { mode: 0o600, flag: 'wx' })
      fs.chownSync(file, user, user)
      fs.chownSync(directory, user, user)
      return fs.openSync(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
    })
  } catch (err) {
    if (err instanceof Error && codeOf(err.cause) === 'EEXIST') throw launchChanged(directory)
    throw err
  }
}

function checkState(directory: string, fd: number, state: Uint8Array): void {
  const own = fs.fstatSync(fd)
  const there = fs.lstatSync(directory, { throwIfNoEntry: false })
  if (there?.ino !== own.ino || there.dev !== own.dev) throw launchChanged(directory)
  const opened = `/proc/self/fd/${fd}`
  const file = path.join(opened, TPM_STATE)
  const odd = fs.readdirSync(opened).find((name) => name !== TPM_STATE)
  if (
    odd !== undefined ||
    fs.lstatSync(file, { throwIfNoEntry: false })?.isFile() !== true ||
    sha256(fs.readFileSync(file)) !== sha256(state)
  ) {
    throw launchChanged(path.join(directory, odd ?? TPM_STATE))
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
