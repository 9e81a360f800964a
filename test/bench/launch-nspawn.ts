import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { Deployment } from '../support/deployment.ts'
import { HOLDFAST_PROGRAM, run } from '../support/holdfast.ts'
import { configOptions } from '../support/image-policy.ts'
import { writeBusyboxLayout } from '../support/images.ts'
import { firstByteMs } from './first-byte.ts'
import { type BenchRow, median, ratioRow } from './rows.ts'

const ROUNDS = 15
const ECHO = ['/bin/echo', 'up'] as const

/**
 * From `holdfast run` to the app's first instruction, warm, on swtpm with a verifier on loopback, against
 * systemd-nspawn started by hand on the same tree, and podman on the same image. What is measured is the installed
 * executable with the stage0 server running; a cold start, where Node is started for each launch, is shown beside it.
 * Interleaved, so that a noisy machine is noisy for all.
 */
export async function measure(): Promise<readonly BenchRow[]> {
  const deployment = await Deployment.start({ stage0: true })
  try {
    const layout = join(deployment.directory, 'layout')
    mkdirSync(layout)
    writeBusyboxLayout(layout)
    const options = ['--dir', deployment.dataDirectory, ...configOptions(deployment.configDirectory)]
    const image = await deployment.expect('fetch', ...options, `oci:${layout}:latest`)
    const tree = join(deployment.directory, 'tree')
    await must('umoci', ['raw', 'unpack', '--image', `${layout}:latest`, tree])
    const podman = await preparePodman(deployment.directory, layout)

    const ours = [HOLDFAST_PROGRAM, 'run', ...deployment.nodeOptions] as const
    const rivals = [
      { ms: [] as number[], argv: [...ours, image, '--', ...ECHO] },
      { ms: [] as number[], argv: [...ours, '--stage0', 'none', image, '--', ...ECHO] },
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
    const [warm = 0, cold = 0, nspawn = 0, podmans = 0] = rivals.map(({ ms }) => median(ms)) // one for each rival
    const byNspawn = { reference: nspawn, referenceWhat: 'systemd-nspawn by hand, its own seccomp filter', unit: 'ms' }
    const byPodman = { reference: podmans, referenceWhat: 'podman run --network=none', unit: 'ms' }
    const name = 'launch-nspawn'
    const coldName = `${name}, cold start without the stage0 server`
    return [
      ratioRow({ name, ours: warm, ...byNspawn }, 3),
      ratioRow({ name, ours: warm, ...byPodman }, 1),
      { ...ratioRow({ name: coldName, ours: cold, ...byNspawn }, 3), target: 'shown only', met: true },
      { ...ratioRow({ name: coldName, ours: cold, ...byPodman }, 1), target: 'shown only', met: true },
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

/**
 * Gives podman a store of its own in `directory` with the image of an OCI layout.
 *
 * @param network what follows `--network=`
 * @param more global options
 * @returns the command that runs the image, up to the program
 */
export async function preparePodman(
  directory: string,
  layout: string,
  network = 'none',
  more: readonly string[] = [],
): Promise<[string, ...string[]]> {
  const storage = ['--root', join(directory, 'podman'), '--runroot', join(directory, 'podman-run')]
  const global = [...storage, '--cgroup-manager=cgroupfs', '--runtime=runc', ...more]
  const archive = join(directory, 'podman.tar')
  await must('skopeo', ['copy', '-q', `oci:${layout}:latest`, `docker-archive:${archive}:bench:latest`])
  await must('podman', [...global, 'load', '-q', '-i', archive])
  const limits = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024'] // podman's own need CAP_SYS_RESOURCE
  return ['podman', ...global, 'run', '--rm', `--network=${network}`, ...limits, 'bench:latest']
}

async function must(program: string, args: readonly string[]): Promise<void> {
  const { status, stderr } = await run(program, args)
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status}: ${stderr}`)
}
