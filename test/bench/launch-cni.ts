import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Deployment } from '../support/deployment.ts'
import { HOLDFAST_PROGRAM, run } from '../support/holdfast.ts'
import { configOptions } from '../support/image-policy.ts'
import { writeBusyboxLayout } from '../support/images.ts'
import { firstByteMs } from './first-byte.ts'
import { preparePodman } from './launch-nspawn.ts'
import { type BenchRow, median, ratioRow } from './rows.ts'

const ROUNDS = 15
const ECHO = ['/bin/echo', 'up'] as const
const NAMESPACES = '/run/holdfast/netns'
/** Says that this process is inside the namespaces that play the host. */
const INSIDE = 'HOLDFAST_BENCH_HOST_NETWORK'

/**
 * From `holdfast run --net default` to the app's first instruction, against podman on a bridge. All of it, the verifier
 * too, runs in network and mount namespaces that play the host: nothing is left in those of this machine.
 */
export async function measure(): Promise<readonly BenchRow[]> {
  if (process.env[INSIDE] !== undefined) return measureInside()
  const main = fileURLToPath(new URL('main.ts', import.meta.url))
  const bench = [process.execPath, '--import=tsx', main, '--only', 'launch-cni', '--json']
  const host =
    'mkdir -p /var/lib/cni /run/holdfast; for d in /var/lib/cni /run/holdfast; do mount -t tmpfs tmpfs $d; done; ip link set lo up; exec "$@"'
  const inside = await run('unshare', ['--net', '--mount', 'sh', '-c', host, 'sh', ...bench], {
    ...process.env,
    [INSIDE]: '1',
  })
  try {
    return JSON.parse(inside.stdout) as BenchRow[] // it is this very file that wrote them
  } catch {
    throw new Error(`the bench inside ended with ${inside.status}: ${inside.stderr}`)
  }
}

async function measureInside(): Promise<readonly BenchRow[]> {
  const deployment = await Deployment.start({ stage0: true })
  const { directory } = deployment
  try {
    const layout = join(directory, 'layout')
    mkdirSync(layout)
    writeBusyboxLayout(layout)
    const options = ['--dir', deployment.dataDirectory, ...configOptions(deployment.configDirectory)]
    const image = await deployment.expect('fetch', ...options, `oci:${layout}:latest`)
    const podman = await preparePodman(directory, layout, 'podman', [
      '--network-config-dir',
      join(directory, 'podman-net'),
    ])
    const ours = [HOLDFAST_PROGRAM, 'run', ...deployment.nodeOptions, '--net', 'default'] as const
    const rivals = [
      { ms: [] as number[], argv: [...ours, image, '--', ...ECHO] },
      { ms: [] as number[], argv: [...ours, '--port', '80-tcp:8080', image, '--', ...ECHO] },
      { ms: [] as number[], argv: [...ours, '--stage0', 'none', image, '--', ...ECHO] },
      { ms: [] as number[], argv: [...podman, ...ECHO] },
    ] as const
    for (let round = -2; round < ROUNDS; round++) {
      for (let i = 0; i < rivals.length; i++) {
        const rival = rivals[(i + round + rivals.length) % rivals.length]
        if (rival === undefined) throw new RangeError('the index is inside')
        const ms = await firstByteMs(rival.argv)
        if (round >= 0) rival.ms.push(ms) // before that is warm-up
        await networksUndone()
      }
    }
    const [warm = 0, ports = 0, cold = 0, podmans = 0] = rivals.map(({ ms }) => median(ms)) // one for each rival
    const name = 'launch-cni'
    const byPodman = { reference: podmans, referenceWhat: 'podman run on a bridge network', unit: 'ms' }
    return [
      ratioRow({ name, ours: warm, ...byPodman }, 1),
      {
        ...ratioRow({ name: `${name}, with a forwarded port`, ours: ports, ...byPodman }, 1),
        target: 'shown only',
        met: true,
      },
      {
        ...ratioRow({ name: `${name}, cold start without the stage0 server`, ours: cold, ...byPodman }, 1),
        target: 'shown only',
        met: true,
      },
    ]
  } finally {
    await run('umount', [join(directory, 'podman/overlay')]) // podman leaves it; there is none before its first start
    await deployment.stop()
  }
}

/** podman cleans up before it ends; our janitors do it afterwards, and would slow who comes next. */
async function networksUndone(): Promise<void> {
  while (existsSync(NAMESPACES) && readdirSync(NAMESPACES).length > 0) {
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
