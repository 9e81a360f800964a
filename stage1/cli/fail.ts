import fs from 'node:fs'
import { codeOf, messageOf } from '../../attestation/base/index.ts'

/** Exit status of Holdfast's own failures, so that no app's status can be mistaken for one. */
export const EXIT_HOLDFAST_FAILED = 254

/** A command line that cannot be carried out. */
export class UsageError extends Error {}

/**
 * Says what failed and what to do about it: `holdfast COMMAND: message (CODE)`, then the hint. Written with one call and
 * without process.stderr, which would make a pipe non-blocking for whoever shares it.
 */
export function printFailure(command: string, err: unknown): void {
  const code = codeOf(err)
  const hint = err instanceof UsageError ? `holdfast ${command} --help shows the options.` : hintOf(err)
  const unexpected = !(err instanceof UsageError) && code === undefined && err instanceof Error ? `\n${err.stack}` : ''
  const lines = [`holdfast ${command}: ${messageOf(err)}${code === undefined ? '' : ` (${code})`}${unexpected}`]
  if (hint !== undefined) lines.push(`  ${hint}`)
  fs.writeSync(2, `${lines.join('\n')}\n`)
}

/** Runs a command's action; what it throws is said on standard error and becomes exit status 254. */
export function orFail<Args extends unknown[]>(
  command: string,
  action: (...args: Args) => Promise<void> | void,
): (...args: Args) => Promise<void> {
  return async (...args) => {
    try {
      await action(...args)
    } catch (err) {
      printFailure(command, err)
      process.exitCode = EXIT_HOLDFAST_FAILED
    }
  }
}

function hintOf(err: unknown): string | undefined {
  return typeof err === 'object' && err !== null && 'hint' in err && typeof err.hint === 'string' ? err.hint : undefined
}
