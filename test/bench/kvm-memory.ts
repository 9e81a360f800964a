import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { codeOf } from '../../attestation/base/index.ts'
import { Deployment } from '../support/deployment.ts'
import { HOLDFAST_PROGRAM } from '../support/holdfast.ts'
import { busyboxImage } from './launch-kvm.ts'
import { ACCELERATOR, byHand, requireGuestKernel } from './launch-kvm-peer.ts'
import { type BenchRow, median, ratioRow } from './rows.ts'

const ROUNDS = 3
const MOST_ABOVE_MIB = 40
const WAIT = 'echo up; exec sleep 1000'

/**
 * What a pod in a virtual machine takes of the host's memory while its app waits, against QEMU started by hand with the
 * same kernel, modules, image and size. Proportional sets: what processes share counts once.
 */
export async function measure(): Promise<readonly BenchRow[]> {
  requireGuestKernel()
  const deployment = await Deployment.start()
  try {
    const { image, tree } = await busyboxImage(deployment)
    const run = [HOLDFAST_PROGRAM, 'run', '--stage0', 'none', ...deployment.nodeOptions]
    const ours = [...run, '--stage1=kvm', `--accel=${ACCELERATOR}`, image, '--', '/bin/sh', '-c', WAIT]
    const peer = byHand(deployment.directory, tree, WAIT)
    const mib = { ours: [] as number[], peer: [] as number[] }
    for (let round = 0; round < ROUNDS; round++) {
      mib.ours.push(await memoryMiB(ours))
      mib.peer.push(await memoryMiB(peer))
    }
    const [mine, theirs] = [median(mib.ours), median(mib.peer)]
    const referenceWhat = `QEMU by hand, accelerator ${ACCELERATOR}`
    const row = ratioRow({ name: 'kvm-memory', ours: mine, reference: theirs, referenceWhat, unit: 'MiB' }, 1)
    return [{ ...row, target: `at most ${MOST_ABOVE_MIB} MiB above`, met: mine - theirs <= MOST_ABOVE_MIB }]
  } finally {
    await deployment.stop()
  }
}

/** Of a command and all below it, when it has printed something; then it is told to end. */
async function memoryMiB([program = '', ...args]: readonly string[]): Promise<number> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let errors = ''
  child.stderr.on('data', (chunk) => {
    errors += chunk
  })
  const ended = once(child, 'close')
  try {
    await Promise.race([once(child.stdout, 'data'), ended])
    if (child.pid === undefined || child.exitCode !== null) throw new Error(`${program} ended: ${errors}`)
    return sum(familyOf(child.pid).map(proportionalKib)) / 1024
  } finally {
    child.kill('SIGTERM')
    await ended
  }
}

function familyOf(pid: number): number[] {
  const parents = readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .map((name) => [Number(name), Number(field(`/proc/${name}/status`, 'PPid'))] as const)
  const below = (of: number): number[] => [of, ...parents.flatMap(([child, its]) => (its === of ? below(child) : []))]
  return below(pid)
}

function proportionalKib(pid: number): number {
  return Number.parseInt(field(`/proc/${pid}/smaps_rollup`, 'Pss'), 10)
}

/** Of a process that has ended meanwhile: 0. */
function field(file: string, name: string): string {
  try {
    return new RegExp(`^${name}:\\s*([0-9]+)`, 'm').exec(readFileSync(file, 'latin1'))?.[1] ?? '0'
  } catch (err) {
    if (codeOf(err) === 'ENOENT' || codeOf(err) === 'ESRCH') return '0'
    throw err
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0)
}
