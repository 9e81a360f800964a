import { Command } from 'commander'
import { UsageError } from '../../attestation/base/index.ts'
import { findPod, stopPod } from '../pod/index.ts'
import { forEachPod } from './each-pod.ts'
import { DEFAULT_DIR } from './installation.ts'

interface StopOptions {
  readonly dir: string
  readonly force?: true
  readonly uuidFile?: string
}

/** `holdfast stop` */
export function command(): Command {
  return new Command('stop')
    .description('Stop running pods: their apps are asked first, and killed when their time is over.')
    .argument('[uuid...]', 'UUIDs of pods, or the beginnings of some')
    .option('--force', 'kill all of the pod at once')
    .option('--uuid-file <file>', 'take the UUID from this file')
    .option('--dir <directory>', 'images and pods', DEFAULT_DIR)
    .addHelpText('after', EXAMPLES)
    .action((uuids: readonly string[], options: StopOptions) => stop(uuids, options))
}

const EXAMPLES = `
Returns when the pods have ended, and prints their UUIDs. Their statuses stay: holdfast status UUID.

Examples:
  holdfast stop 5c1d 77e0
  holdfast stop --force --uuid-file /run/web.uuid
`

async function stop(uuids: readonly string[], { dir, force, uuidFile }: StopOptions): Promise<void> {
  if (uuids.length > 0 && uuidFile !== undefined) throw new UsageError('give UUIDs or --uuid-file, not both')
  await forEachPod('stop', uuids, uuidFile, async (prefix) => {
    const pod = findPod(dir, prefix)
    await stopPod(pod, { force: force ?? false })
    return pod.uuid
  })
}
