import path from 'node:path'
import { assemblePod, finishPrepare } from '../pod/index.ts'
import { APP_OPTIONS } from './app-options.ts'
import { optionsHelp } from './option-help.ts'
import { type OptionSpec, parsePodWords } from './option-table.ts'
import { DIR_OPTION, POD_OPTIONS, readPodOptions } from './pod-options.ts'
import { requestPod } from './pod-request.ts'
import { ownContext } from './run.ts'
import { IMAGE_HELP } from './run-options.ts'

const QUIET: OptionSpec = { name: 'quiet', of: 'command', help: ['print the UUID alone, and no progress'] }
const OPTIONS: readonly OptionSpec[] = [...APP_OPTIONS, ...POD_OPTIONS, QUIET, DIR_OPTION]

/** As they are typed, for completion. */
export const PREPARE_OPTION_NAMES: readonly string[] = OPTIONS.map(({ name }) => `--${name}`)

function prepareHelp(): string {
  return `Usage: holdfast prepare [options] IMAGE [options of the app] [-- ARGUMENTS] [--- IMAGE ...]

Makes a pod ready to be launched: fetches and renders its images, and writes its directory. Prints its UUID.
Nothing is measured yet and nobody is asked; holdfast run-prepared does that, and looks at everything again.

${IMAGE_HELP}${optionsHelp(OPTIONS)}
Examples:
  uuid=$(holdfast prepare --quiet docker://registry.example/busybox:1 -- echo hello); holdfast run-prepared $uuid
  holdfast prepare --uuid-file-save /run/web.uuid web --memory 128Mi --- sidekick
`
}

/** `holdfast prepare` @throws UsageError, PodError, ImageError, ManifestError */
export async function prepareCommand(argv: readonly string[]): Promise<void> {
  const words = parsePodWords(argv, OPTIONS)
  const context = ownContext()
  if (words === 'help') {
    context.writeOutput(prepareHelp())
    return
  }
  const o = readPodOptions(words)
  const { uuid, stage1, images, manifest } = await requestPod(o, context)
  const dir = path.resolve(context.cwd, o.dir)
  finishPrepare(dir, assemblePod(dir, uuid, manifest), stage1, images, o.relaxed)
  context.writeOutput(`${uuid}\n`)
}
