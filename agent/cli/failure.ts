import { describeFailure } from '../hints.ts'

/** Exit status of every failure that is ours and not a pod's. */
export const EXIT_HOLDFAST_FAILED = 254

/** Prints code, message and hint on standard error and sets the exit status. */
export function reportFailure(command: string, err: unknown): void {
  const { code, message, hint } = describeFailure(err)
  process.stderr.write(`holdfast ${command}: ${code}: ${message}\n${hint}\n`)
  process.exitCode = EXIT_HOLDFAST_FAILED
}
