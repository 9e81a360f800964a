import { CodedError, codeOf, messageOf } from './errors.ts'
import { printable } from './printable.ts'

/** Exit status of Holdfast's own failures and refusals, so that no app's status can be mistaken for one. */
export const EXIT_HOLDFAST_FAILED = 254

/** A command line that cannot be carried out. Known by its code: a bundle may hold this class twice. */
export class UsageError extends CodedError<'USAGE'> {
  constructor(message: string) {
    super('USAGE', message)
  }
}

/**
 * What a person reads when a command failed: `holdfast COMMAND: message (CODE)`, then what to do about it. A stack
 * trace is shown for errors only that nobody expected, which have no code.
 *
 * Messages quote what registries, images and peers have sent, so nothing of them steers the terminal.
 *
 * @param err anything that was thrown; a `hint` of it says what to do
 * @returns lines that end in a line feed
 */
export function failureText(command: string, err: unknown): string {
  const code = codeOf(err)
  if (code === 'USAGE')
    return `holdfast ${command}: ${lineByLine(messageOf(err))}\n  holdfast ${command} --help shows the options.\n`
  const lines = [`holdfast ${command}: ${messageOf(err)}${code === undefined ? '' : ` (${code})`}`]
  const hint = typeof err === 'object' && err !== null && 'hint' in err ? err.hint : undefined
  if (hint !== undefined) lines.push(`  ${String(hint)}`)
  else if (code === undefined && err instanceof Error && err.stack !== undefined) lines.push(err.stack)
  return `${lineByLine(lines.join('\n'))}\n`
}

function lineByLine(text: string): string {
  return text
    .split('\n')
    .map((line) => printable(line))
    .join('\n')
}
