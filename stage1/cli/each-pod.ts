import { EXIT_HOLDFAST_FAILED, failureText } from '../../attestation/base/index.ts'
import { uuidArgument } from './uuid-file.ts'

/**
 * Does something to each pod that was named and prints what comes of it. One that fails is reported, does not keep the
 * others, and makes the exit status 254.
 *
 * @param uuids beginnings of UUIDs; where there is none, `uuidFile` names the one pod
 * @throws UsageError, PodError where not even the one pod is named
 */
export async function forEachPod(
  command: string,
  uuids: readonly string[],
  uuidFile: string | undefined,
  work: (prefix: string) => Promise<string>,
): Promise<void> {
  for (const prefix of uuids.length > 0 ? uuids : [uuidArgument(undefined, uuidFile)]) {
    try {
      process.stdout.write(`${await work(prefix)}\n`)
    } catch (err) {
      process.stderr.write(failureText(command, err))
      process.exitCode = EXIT_HOLDFAST_FAILED
    }
  }
}
