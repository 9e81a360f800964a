import { Command } from 'commander'
import { UsageError } from '../../attestation/base/index.ts'
import { findPod, removePod } from '../pod/index.ts'
import { forEachPod } from './each-pod.ts'
import { DEFAULT_DIR } from './installation.ts'
import { undoNetworks } from './undo-networks.ts'

interface RmOptions {
  readonly dir: string
  readonly uuidFile?: string
}

/** `holdfast rm` */
export function command(): Command {
  return new Command('rm')
    .description('Remove pods that do not run, with their writable layers, control groups and networks.')
    .argument('[uuid...]', 'UUIDs of pods, or the beginnings of some')
    .option('--uuid-file <file>', 'take the UUID from this file')
    .option('--dir <directory>', 'images and pods', DEFAULT_DIR)
    .addHelpText('after', EXAMPLES)
    .action((uuids: readonly string[], options: RmOptions) => rm(uuids, options))
}

const EXAMPLES = `
Pods whose launch was refused are listed as garbage until they are removed.
Prints the UUID of each pod that was removed. One that cannot be removed does not keep the others.

Examples:
  holdfast rm 5c1d 77e0
  holdfast list --format=json | jq -r '.[] | select(.state == "exited" or .state == "garbage").uuid' | xargs -r holdfast rm
  holdfast rm --uuid-file /run/web.uuid
`

async function rm(uuids: readonly string[], { dir, uuidFile }: RmOptions): Promise<void> {
  if (uuids.length > 0 && uuidFile !== undefined) throw new UsageError('give UUIDs or --uuid-file, not both')
  await forEachPod('rm', uuids, uuidFile, async (prefix) => {
    const pod = findPod(dir, prefix)
    await removePod(dir, pod, undoNetworks())
    return pod.uuid
  })
}
