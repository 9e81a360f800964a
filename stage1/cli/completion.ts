import type { Command } from 'commander'
import { UsageError } from '../../attestation/base/index.ts'

/** One script for each shell; all of them ask `holdfast __complete WORDS`, so that they never have to be updated. */
const SCRIPTS: Readonly<Record<string, string>> = {
  bash: `_holdfast() {
  local IFS=$'\\n'
  COMPREPLY=($(holdfast __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _holdfast holdfast
`,
  zsh: `#compdef holdfast
_holdfast() {
  local -a found
  found=(\${(f)"$(holdfast __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)"})
  if (( $#found )); then compadd -- $found; else _files; fi
}
compdef _holdfast holdfast
`,
  fish: `complete -c holdfast -a '(holdfast __complete (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
`,
}

export const COMPLETION_HELP = `Usage: holdfast completion ${Object.keys(SCRIPTS).join('|')}

Prints what a shell needs to complete commands and options.

Examples:
  holdfast completion bash > /etc/bash_completion.d/holdfast
  holdfast completion zsh > "\${fpath[1]}/_holdfast"
  holdfast completion fish > ~/.config/fish/completions/holdfast.fish
`

/** @throws UsageError for a shell that is not known */
export function completionScript(shell: string | undefined): string {
  const script = shell !== undefined && Object.hasOwn(SCRIPTS, shell) ? SCRIPTS[shell] : undefined
  if (script === undefined) throw new UsageError(`name a shell: ${Object.keys(SCRIPTS).join(', ')}`)
  return script
}

/** What a command can be followed by: names of subcommands, and options. */
export interface Completable {
  readonly commands: ReadonlyMap<string, Completable>
  readonly options: readonly string[]
}

/** A commander command as something to complete. */
export function completable(command: Command): Completable {
  return {
    commands: new Map(command.commands.map((sub) => [sub.name(), completable(sub)])),
    options: [...command.options.flatMap((o) => (o.long === undefined ? [] : [o.long])), '--help'],
  }
}

/**
 * @param words what stands behind `holdfast`; the last one is being typed and may be empty
 * @param names of all commands
 * @param load what a command can be followed by
 * @returns all that the last word may become; none where only the user can know, so that the shell offers files
 */
export async function completions(
  words: readonly string[],
  names: readonly string[],
  load: (name: string) => Promise<Completable | undefined>,
): Promise<readonly string[]> {
  const typed = words.at(-1) ?? ''
  const [name, ...before] = words.slice(0, -1)
  const fitting = (all: Iterable<string>): string[] => [...all].filter((word) => word.startsWith(typed))
  if (name === undefined) return fitting(names)
  let at = await load(name)
  for (const word of before) at = at?.commands.get(word) ?? at
  if (at === undefined || before.includes('--')) return []
  return typed.startsWith('-') ? fitting(at.options) : fitting(at.commands.keys())
}
