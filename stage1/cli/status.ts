import { Command, Option } from 'commander'
import { findPod, type PodStatus, readPodStatus, waitForPod } from '../pod/index.ts'
import { DEFAULT_DIR } from './installation.ts'
import { podJson } from './pod-json.ts'
import { uuidArgument } from './uuid-file.ts'

interface StatusOptions {
  readonly dir: string
  readonly wait?: true
  readonly uuidFile?: string
  readonly format: 'text' | 'json'
}

/** `holdfast status` */
export function command(): Command {
  return new Command('status')
    .description('Show one pod as key=value lines.')
    .argument('[uuid]', 'UUID of the pod, or the beginning of one')
    .option('--wait', 'wait until the pod has ended')
    .option('--uuid-file <file>', 'take the UUID from this file')
    .addOption(new Option('--format <format>', 'how to print').choices(['text', 'json']).default('text'))
    .option('--dir <directory>', 'images and pods', DEFAULT_DIR)
    .addHelpText('after', EXAMPLES)
    .action((uuid: string | undefined, options: StatusOptions) => status(uuid, options))
}

const EXAMPLES = `
Keys: state, mode, created, started, and for each app that has ended app-NAME=EXIT STATUS (128 and the number for a signal).

Examples:
  holdfast status 5c1d
  holdfast status --wait --uuid-file /run/web.uuid | grep '^app-'
`

async function status(uuid: string | undefined, options: StatusOptions): Promise<void> {
  const prefix = uuidArgument(uuid, options.uuidFile)
  let pod = findPod(options.dir, prefix)
  if (options.wait === true) {
    await waitForPod(pod)
    pod = findPod(options.dir, pod.uuid) // its state, and perhaps its directory, is another one now
  }
  const found = readPodStatus(pod)
  process.stdout.write(options.format === 'json' ? `${JSON.stringify(podJson(found), undefined, 2)}\n` : lines(found))
}

function lines(s: PodStatus): string {
  const pairs: (readonly [string, string | undefined])[] = [
    ['state', s.pod.state],
    ['mode', s.mode],
    ['created', s.createdAt?.toISOString()],
    ['started', s.startedAt?.toISOString()],
    ...s.apps.map((a) => [`app-${a.name}`, a.exitStatus?.toString()] as const),
  ]
  return pairs.flatMap(([key, value]) => (value === undefined ? [] : [`${key}=${value}\n`])).join('')
}
