import { Command, Option } from 'commander'
import { codeOf, EXIT_HOLDFAST_FAILED, formatTable, messageOf, printable } from '../../attestation/base/index.ts'
// not by the folder's index, which brings all that a launch takes and would double the time that a list takes to start
import { listPods, type Pod } from '../pod/pod-list.ts'
import { readPodStatus } from '../pod/pod-status.ts'
import { type PodSummary, readPodSummary } from '../pod/pod-summary.ts'
import { DEFAULT_DIR } from './installation.ts'
import { podJson } from './pod-json.ts'

interface ListOptions {
  readonly dir: string
  readonly full?: true
  readonly legend: boolean
  readonly format: 'table' | 'json'
}

/** `holdfast list` */
export function command(): Command {
  return new Command('list')
    .description('List pods, the newest first.')
    .option('--full', 'whole UUIDs and image IDs')
    .option('--no-legend', 'no header line')
    .addOption(new Option('--format <format>', 'how to print').choices(['table', 'json']).default('table'))
    .option('--dir <directory>', 'images and pods', DEFAULT_DIR)
    .addHelpText('after', EXAMPLES)
    .action((options: ListOptions) => list(options))
}

const EXAMPLES = `
Examples:
  holdfast list
  holdfast list --format=json | jq -r '.[] | select(.state == "exited") | .uuid'
`

function list(options: ListOptions): void {
  if (options.format === 'json') {
    process.stdout.write(`${JSON.stringify(newestFirst(options.dir, readPodStatus).map(podJson), undefined, 2)}\n`)
  } else {
    process.stdout.write(table(newestFirst(options.dir, readPodSummary), options))
  }
}

/**
 * A pod that cannot be read does not hide the others: it is reported, and the exit status says that the list is not
 * whole.
 */
function newestFirst<Read extends PodSummary>(dir: string, read: (pod: Pod) => Read): Read[] {
  return listPods(dir)
    .flatMap((pod) => readOrReport(pod, read) ?? [])
    .sort((a, b) => (b.createdAt?.getTime() ?? 0) - (a.createdAt?.getTime() ?? 0))
}

function table(pods: readonly PodSummary[], options: ListOptions): string {
  const header = ['UUID', 'APP', 'IMAGE NAME', 'STATE', 'STATUS', 'MODE', 'CREATED']
  const full = options.full === true
  const rows = pods.flatMap((s) => {
    const pod = [full ? s.pod.uuid : s.pod.uuid.slice(0, 8)]
    const rest = [s.pod.state, s.mode ?? '-', s.createdAt?.toISOString() ?? '-']
    const [first, ...others] = s.apps
    const cells = (app: typeof first): string[] => [app?.name ?? '-', app?.imageName ?? '-']
    const ended = (app: typeof first): string => String(app?.exitStatus ?? '-')
    return [
      [...pod, ...cells(first), rest[0] ?? '', ended(first), ...rest.slice(1)],
      ...others.map((app) => ['', ...cells(app), '', ended(app), '', '']),
    ]
  })
  return formatTable(options.legend ? header : undefined, rows)
}

function readOrReport<Read>(pod: Pod, read: (pod: Pod) => Read): Read | undefined {
  try {
    return read(pod)
  } catch (err) {
    if (codeOf(err) === undefined) throw err
    process.stderr.write(`holdfast list: pod ${pod.uuid}: ${printable(messageOf(err))}\n`)
    process.exitCode = EXIT_HOLDFAST_FAILED
    return undefined
  }
}
