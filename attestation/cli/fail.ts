import { Command } from 'commander'
import { codeOf, messageOf } from '../base/index.ts'

/** Exit status that says that Holdfast failed or refused, as for every command. */
export const EXIT_FAILED = 254

/**
 * Wraps the action of a command: what it throws becomes a message on standard error and exit status 254, never a stack trace
 * for a mistake that an operator can mend.
 */
export function orFail<Args extends unknown[]>(
  action: (...args: Args) => Promise<void>,
): (...args: Args) => Promise<void> {
  return async (...args) => {
    try {
      await action(...args)
    } catch (err) {
      const code = codeOf(err)
      process.stderr.write(`holdfast: ${messageOf(err)}${code === undefined ? '' : `\n(${code})`}\n`)
      process.exitCode = EXIT_FAILED
    }
  }
}

/**
 * A command whose own refusals (unknown option, missing argument) exit as all of ours do. Subcommands that are added to it
 * inherit that.
 */
export function newCommand(name: string): Command {
  return new Command(name).exitOverride((err) => process.exit(err.exitCode === 0 ? 0 : EXIT_FAILED))
}
