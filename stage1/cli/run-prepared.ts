import path from 'node:path'
import { UsageError } from '../../attestation/base/index.ts'
import { openImageStore } from '../image/index.ts'
import { authoriseLaunch, findPod, takePrepared } from '../pod/index.ts'
import { CONFIG_OPTIONS, configAt, readConfigOptions } from './config-options.ts'
import { DEFAULT_DIR, installation } from './installation.ts'
import { LAUNCH_OPTIONS, readLaunchOptions } from './launch-options.ts'
import { optionsHelp } from './option-help.ts'
import { type OptionSpec, parsePodWords } from './option-table.ts'
import { DIR_OPTION } from './pod-options.ts'
import { mustBeRoot } from './pod-request.ts'
import { goOn, launchSettings, ownContext } from './run.ts'
import { uuidArgument } from './uuid-file.ts'

const UUID_FILE: OptionSpec = { name: 'uuid-file', value: 'FILE', of: 'pod', help: ['take the UUID from this file'] }
const OPTIONS: readonly OptionSpec[] = [UUID_FILE, ...LAUNCH_OPTIONS, ...CONFIG_OPTIONS, DIR_OPTION]

/** As they are typed, for completion. */
export const RUN_PREPARED_OPTION_NAMES: readonly string[] = OPTIONS.map(({ name }) => `--${name}`)

function runPreparedHelp(): string {
  return `Usage: holdfast run-prepared [options] UUID

Launches a prepared pod as holdfast run does: everything it is made of is verified again, measured and authorised, and then this
process becomes the pod. A pod that is not what was prepared is refused.
${optionsHelp(OPTIONS)}
Examples:
  holdfast run-prepared 5c1d
  holdfast run-prepared --net host --uuid-file /run/web.uuid
`
}

/** `holdfast run-prepared`: does not return after a launch. @throws UsageError, PodError, ImageError, ManifestError */
export async function runPreparedCommand(argv: readonly string[]): Promise<void> {
  const words = parsePodWords(argv, OPTIONS)
  const context = ownContext()
  if (words === 'help') {
    context.writeOutput(runPreparedHelp())
    return
  }
  const { options, images } = words
  if (images.length > 1 || images[0]?.args !== undefined)
    throw new UsageError('give the UUID of one prepared pod alone')
  const o = readLaunchOptions(options)
  const prefix = uuidArgument(images[0]?.image, options.last('uuid-file'))
  mustBeRoot()
  const dir = path.resolve(context.cwd, options.last('dir') ?? DEFAULT_DIR)
  const store = openImageStore(dir)
  const { stage1Program } = installation()
  const taken = takePrepared(store, findPod(dir, prefix))
  const { pod, manifest, stage1, images: found, relaxed } = taken
  const about = { dir, uuid: pod.uuid, store, stage1, images: found, manifest, relaxed, prepared: taken, stage1Program }
  const config = configAt(readConfigOptions(options), context.cwd)
  await goOn(await authoriseLaunch({ ...about, config, ...launchSettings('run-prepared', o, context) }))
}
