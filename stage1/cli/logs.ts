import { once } from 'node:events'
import { Command } from 'commander'
import { UsageError } from '../../attestation/base/index.ts'
import { chooseApp, findPod, isLocked, type LogLine, readLog, readPodStatus } from '../pod/index.ts'
import { parseDuration } from './duration.ts'
import { DEFAULT_DIR } from './installation.ts'
import { terminalText } from './terminal-text.ts'
import { uuidArgument } from './uuid-file.ts'

interface LogsOptions {
  readonly dir: string
  readonly app?: string
  readonly follow?: true
  readonly since?: string
  readonly timestamps?: true
  readonly uuidFile?: string
}

/** `holdfast logs` */
export function command(): Command {
  return new Command('logs')
    .description('Print what an app of a detached pod has written to its standard output and error.')
    .argument('[uuid]', 'UUID of the pod, or the beginning of one')
    .option('--app <name>', 'which app; not needed where the pod has one')
    .option('-f, --follow', 'go on until the pod ends')
    .option('--since <time>', 'only what is younger: 10m, 2h, or a time as 2026-01-31T12:00:00Z')
    .option('--timestamps', 'begin each line with its time')
    .option('--uuid-file <file>', 'take the UUID from this file')
    .option('--dir <directory>', 'images and pods', DEFAULT_DIR)
    .addHelpText('after', EXAMPLES)
    .action(logs)
}

const EXAMPLES = `
What the app wrote to standard output goes to standard output, what it wrote to standard error to standard error. Pods that were not
detached have no logs: their apps write to where holdfast run was called. At a terminal, what would steer it is written out, but for
colours; to a file or pipe goes what the app wrote, byte for byte.

Examples:
  holdfast logs --follow 5c1d
  holdfast logs --app web --since 10m --timestamps --uuid-file /run/web.uuid
`

async function logs(uuid: string | undefined, o: LogsOptions): Promise<void> {
  const pod = findPod(o.dir, uuidArgument(uuid, o.uuidFile))
  const app = chooseApp(readPodStatus(pod), o.app)
  const since = o.since === undefined ? undefined : sinceMs(o.since)
  const until = o.follow === true ? () => !isLocked(pod.path) : undefined
  for await (const lines of readLog(pod.path, app, until)) {
    for (const line of lines) {
      if (since === undefined || Date.parse(line.time) >= since) await print(line, o.timestamps ?? false)
    }
  }
}

async function print({ time, stream, whole, text }: LogLine, timestamps: boolean): Promise<void> {
  const to = process[stream]
  const shown = to.isTTY ? Buffer.from(terminalText(text)) : text
  const parts = [Buffer.from(timestamps ? `${time} ` : ''), shown, Buffer.from(whole ? '\n' : '')]
  if (!to.write(Buffer.concat(parts))) await once(to, 'drain')
}

function sinceMs(text: string): number {
  if (/^\d{4}-\d\d-\d\dT/.test(text)) {
    const time = Date.parse(text)
    if (Number.isNaN(time)) throw new UsageError(`--since ${text.slice(0, 40)}: this is no time of RFC 3339`)
    return time
  }
  return Date.now() - parseDuration('--since', text)
}
