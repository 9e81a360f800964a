import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { Deployment } from '../support/deployment.ts'
import { HOLDFAST, run } from '../support/holdfast.ts'
import { writeBusyboxLayout } from '../support/images.ts'
import { firstByteMs } from './first-byte.ts'
import { type BenchRow, median, ratioRow } from './rows.ts'

const ROUNDS = 15
const ECHO = ['/bin/echo', 'up'] as const

/**
 * From `holdfast run` to the app's first instruction, warm, on swtpm with a verifier on loopback, against systemd-nspawn started by hand
 * on the same tree, and podman on the same image. Interleaved, so that a noisy machine is noisy for all three.
 */
export async function measure(): Promise<readonly BenchRow[]> {
  const deployment = await Deployment.start()
  try {
    const layout = join(deployment.directory, 'layout')
    mkdirSync(layout)
    writeBusyboxLayout(layout)
    const image = await deployment.expect('fetch', '--dir', deployment.dataDirectory, `oci:${layout}:latest`)
    const tree = join(deployment.directory, 'tree')
    await must('umoci', ['raw', 'unpack', '--image', `${layout}:latest`, tree])
    const podman = await preparePodman(deployment.directory, layout)

    const rivals = [
      {
        ms: [] as number[],
        argv: [process.execPath, HOLDFAST, 'run', ...deployment.nodeOptions, image, '--', ...ECHO],
      },
      { ms: [] as number[], argv: ['systemd-nspawn', ...NSPAWN_OPTIONS, '-D', tree, ...ECHO] },
      { ms: [] as number[], argv: [...podman, ...ECHO] },
    ] as const
    for (let round = -2; round < ROUNDS; round++) {
      // in another order each time: what one leaves to be cleaned up slows the next
      for (let i = 0; i < rivals.length; i++) {
        const rival = rivals[(i + round + rivals.length) % rivals.length]
        if (rival === undefined) throw new RangeError('the index is inside')
        const ms = await firstByteMs(rival.argv)
        if (round >= 0) rival.ms.push(ms) // before that is warm-up
      }
    }
    const [ours, nspawn, podmans] = rivals.map(({ ms }) => median(ms)) as [number, number, number] // one for each rival
    const row = { name: 'launch-nspawn', ours, unit: 'ms' }
    return [
      ratioRow({ ...row, reference: nspawn, referenceWhat: 'systemd-nspawn by hand, its own seccomp filter' }, 3),
      ratioRow({ ...row, reference: podmans, referenceWhat: 'podman run --network=none' }, 1),
    ]
  } finally {
    await run('umount', [join(deployment.directory, 'podman/overlay')]) // podman leaves it; there is none before its first start
    await deployment.stop()
  }
}

const NSPAWN_OPTIONS = [
  ...['-q', '--register=no', '--keep-unit', '--settings=no', '--resolv-conf=off', '--timezone=off'],
  ...['--link-journal=no', '--console=pipe', '--private-network'],
]

/** @returns the command that runs the image, up to the program */
async function preparePodman(directory: string, layout: string): Promise<[string, ...string[]]> {
  const storage = ['--root', join(directory, 'podman'), '--runroot', join(directory, 'podman-run')]
  const global = [...storage, '--cgroup-manager=cgroupfs', '--runtime=runc']
  const archive = join(directory, 'podman.tar')
  await must('skopeo', ['copy', '-q', `oci:${layout}:latest`, `docker-archive:${archive}:bench:latest`])
  await must('podman', [...global, 'load', '-q', '-i', archive])
  const limits = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024'] // podman's own need CAP_SYS_RESOURCE
  return ['podman', ...global, 'run', '--rm', '--network=none', ...limits, 'bench:latest']
}

async function must(program: string, args: readonly string[]): Promise<void> {
  const { status, stderr } = await run(program, args)
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status}: ${stderr}`)
}
