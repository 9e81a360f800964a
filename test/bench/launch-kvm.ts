import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Deployment } from '../support/deployment.ts'
import { HOLDFAST_PROGRAM } from '../support/holdfast.ts'
import { configOptions } from '../support/image-policy.ts'
import { writeBusyboxLayout } from '../support/images.ts'
import { firstByteMs } from './first-byte.ts'
import { ACCELERATOR, byHand, requireGuestKernel } from './launch-kvm-peer.ts'
import { type BenchRow, median, ratioRow } from './rows.ts'

const ROUNDS = 7

/**
 * From `holdfast run --stage1=kvm` to the app's first instruction, warm, on swtpm with a verifier on loopback and the
 * stage0 server running, against QEMU started by hand with the same kernel, modules and image. Interleaved, so that a
 * noisy machine is noisy for both.
 */
export async function measure(): Promise<readonly BenchRow[]> {
  requireGuestKernel()
  const deployment = await Deployment.start({ stage0: true })
  try {
    const { image, tree } = await busyboxImage(deployment)
    const flavour = ['--stage1=kvm', `--accel=${ACCELERATOR}`]
    const rivals = [
      {
        ms: [] as number[],
        argv: [HOLDFAST_PROGRAM, 'run', ...deployment.nodeOptions, ...flavour, image, '--', '/bin/echo', 'up'],
      },
      { ms: [] as number[], argv: byHand(deployment.directory, tree, 'echo up') },
    ] as const
    for (let round = -1; round < ROUNDS; round++) {
      for (const rival of round % 2 === 0 ? rivals : [...rivals].reverse()) {
        const ms = await firstByteMs(rival.argv as [string, ...string[]]) // neither is empty
        if (round >= 0) rival.ms.push(ms) // before that is warm-up
      }
    }
    const [ours = 0, reference = 0] = rivals.map(({ ms }) => median(ms)) // one for each rival
    const referenceWhat = `QEMU by hand, accelerator ${ACCELERATOR}`
    return [ratioRow({ name: 'launch-kvm', ours, reference, referenceWhat, unit: 'ms' }, 1.3)]
  } finally {
    await deployment.stop()
  }
}

/** An image of busybox alone: its ID, and the EROFS file that pods of it mount. */
export async function busyboxImage(deployment: Deployment): Promise<{ readonly image: string; readonly tree: string }> {
  const layout = join(deployment.directory, 'layout')
  mkdirSync(layout)
  writeBusyboxLayout(layout)
  const options = ['--dir', deployment.dataDirectory, ...configOptions(deployment.configDirectory)]
  const image = await deployment.expect('fetch', ...options, `oci:${layout}:latest`)
  const trees = join(deployment.dataDirectory, 'trees')
  const file = readdirSync(trees).find((name) => name.endsWith('.erofs')) // stage1 is fetched with the first pod
  if (file === undefined) throw new Error(`no tree in ${trees}`)
  return { image, tree: join(trees, file) }
}
