import { Command } from 'commander'
import { printable } from '../../attestation/base/index.ts'
import { collectGarbage } from '../pod/index.ts'
import { parseDuration } from './duration.ts'
import { DEFAULT_DIR } from './installation.ts'
import { undoNetworks } from './undo-networks.ts'

interface GcOptions {
  readonly dir: string
  readonly gracePeriod: string
  readonly expirePrepared: string
  readonly markOnly?: true
}

/** `holdfast gc` */
export function command(): Command {
  return new Command('gc')
    .description('Collect pods that have ended, were abandoned half-made, or were prepared and never launched.')
    .option('--grace-period <time>', 'how long a pod is kept after it was found to have ended', '30m')
    .option('--expire-prepared <time>', 'how long a prepared pod waits to be launched', '24h')
    .option('--mark-only', 'mark what has ended, and remove nothing')
    .option('--dir <directory>', 'images and pods', DEFAULT_DIR)
    .addHelpText('after', EXAMPLES)
    .action((options: GcOptions) => gc(options))
}

const EXAMPLES = `
A pod is marked when it is found to have ended, and removed by a later gc when the grace period is over; until then its status, logs
and changes can be looked at. Prints the UUIDs of what was removed. What cannot be removed now, because a mount of it is
busy for example, is said on standard error and left to the next gc; the exit status is 0 all the same.

Examples:
  holdfast gc
  holdfast gc --grace-period=0 --expire-prepared=1h
  ExecStopPost=/usr/bin/holdfast gc --mark-only     in a unit that runs a pod
`

async function gc(o: GcOptions): Promise<void> {
  const { removed } = await collectGarbage(o.dir, {
    gracePeriodMs: parseDuration('--grace-period', o.gracePeriod),
    expirePreparedMs: parseDuration('--expire-prepared', o.expirePrepared),
    markOnly: o.markOnly ?? false,
    nowMs: Date.now(),
    undoNetworks: undoNetworks(),
    onLeft: (uuid, why) => process.stderr.write(`holdfast gc: pod ${uuid} is left for now: ${printable(why, 1000)}\n`),
  })
  process.stdout.write(removed.map((uuid) => `${uuid}\n`).join(''))
}
