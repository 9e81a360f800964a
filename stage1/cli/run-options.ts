import { UsageError } from '../../attestation/base/index.ts'
import { APP_OPTIONS } from './app-options.ts'
import { LAUNCH_OPTIONS, type PodLaunchOptions, readLaunchOptions, STAGE0_OPTION } from './launch-options.ts'
import { optionsHelp } from './option-help.ts'
import { type OptionSpec, parsePodWords } from './option-table.ts'
import { DIR_OPTION, POD_OPTIONS, type PodOptions, readPodOptions } from './pod-options.ts'

/** `holdfast run` as it was typed. */
export type RunOptions = PodOptions & PodLaunchOptions

const OPTIONS: readonly OptionSpec[] = [...APP_OPTIONS, ...POD_OPTIONS, ...LAUNCH_OPTIONS, STAGE0_OPTION, DIR_OPTION]

/** As they are typed, for completion. */
export const RUN_OPTION_NAMES: readonly string[] = OPTIONS.map(({ name }) => `--${name}`)

/** What IMAGE and its words mean; `run` and `prepare` have it alike. */
export const IMAGE_HELP = `An IMAGE is a name or ID of the store (holdfast image list), or docker://HOST[:PORT]/NAME[:TAG], oci:PATH[:REF] or a path of an .aci,
which are fetched unless they are in the store.
The app is named after the last part of the image's name, without its tag: busybox for oci:/srv/busybox:1.
ARGUMENTS replace the Cmd of an OCI image, and follow the exec of an ACI. --- ends them where another IMAGE follows.
`

/** Printed by `holdfast run --help`. */
export function runHelp(): string {
  return `Usage: holdfast run [options] IMAGE [options of the app] [-- ARGUMENTS] [--- IMAGE ...]

Has the launch of a pod measured into the TPM and authorised by the verifier, then becomes the pod.
The exit status is the app's; 254 means that Holdfast failed or refused, 125 to 127 that the app could not be set up, executed or found.

${IMAGE_HELP}${optionsHelp(OPTIONS)}
Examples:
  holdfast run docker://registry.example/busybox:1 -- echo hello
  holdfast run --set-env TOKEN=secret registry.example/app --memory 128Mi --user 1000
  holdfast run --volume data,kind=empty web --mount volume=data,target=/srv -- -p 80 --- filler --mount volume=data,target=/out
  holdfast run --uuid-file-save /run/web.uuid web; holdfast rm --uuid-file /run/web.uuid
`
}

/**
 * @returns 'help' where it was asked for
 * @throws UsageError, and PodError POD_ISOLATOR_BAD for a limit of the wrong form
 */
export function parseRunOptions(argv: readonly string[]): RunOptions | 'help' {
  const words = parsePodWords(argv, OPTIONS)
  if (words === 'help') return words
  const o = { ...readPodOptions(words), ...readLaunchOptions(words.options) }
  if (o.metadata && o.network.choice.kind === 'none') {
    throw new UsageError(
      '--mds-register: a pod without a network does not reach the metadata service; give --net=default',
    )
  }
  return o
}
