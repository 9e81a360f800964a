import { Command } from 'commander'
import { collectImageGarbage, existingImageStore, ImageError, type NeededElsewhere } from '../image/index.ts'
import { storeOwners } from '../users/index.ts'
import { parseDuration } from './duration.ts'
import { giveUpRoot } from './give-up-root.ts'
import { neededByPods } from './image-needs.ts'
import { DEFAULT_DIR } from './installation.ts'

interface GcOptions {
  readonly dir: string
  readonly gracePeriod: string
}

/** `holdfast image gc` */
export function gcCommand(): Command {
  return new Command('gc')
    .description('Remove what no name, no pod and no running command needs.')
    .option('--grace-period <time>', 'keep what is younger than this', '24h')
    .option('--dir <directory>', 'images and pods', DEFAULT_DIR)
    .addHelpText('after', EXAMPLES)
    .action((options: GcOptions) => gc(options))
}

const EXAMPLES = `
Images have names until image rm takes them, or until a fetch gives them to another image. Removed are records, rendered trees and
blobs without one, what came of downloads that broke, and what killed commands left behind. Pods that are not garbage keep their
images. Fetches that run at the same time lose nothing. Prints what was removed.

Examples:
  holdfast image gc
  holdfast image gc --grace-period=0
`

async function gc({ dir, gracePeriod }: GcOptions): Promise<void> {
  const graceMs = parseDuration('--grace-period', gracePeriod)
  const store = existingImageStore(dir)
  if (store === undefined) return
  if (storeOwners() !== undefined && process.geteuid?.() !== 0) {
    throw new ImageError('IMAGE_STORE_FAILED', 'only root can tell what pods need of the images; run it as root')
  }
  // pods are root's to read; records and blobs are looked at after it
  const needed = (): NeededElsewhere => {
    const byPods = neededByPods(dir)
    giveUpRoot(store)
    return byPods
  }
  const options = { graceMs, now: new Date(), needed }
  const collected = await collectImageGarbage(store, options)
  process.stdout.write(collected.map((c) => `${c.kind} ${c.name} ${c.sizeBytes} bytes\n`).join(''))
}
