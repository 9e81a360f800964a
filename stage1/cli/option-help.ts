import type { OptionSpec } from './option-table.ts'

/** Wider than this, an option's help begins on a line of its own. */
const COLUMN = 30

/** The options of a table under their headings. */
export function optionsHelp(table: readonly OptionSpec[]): string {
  const sections = [
    ['app', 'Options for an app, behind its IMAGE (before the IMAGE too where it is the only one):'],
    ['pod', 'Options for the pod:'],
    ['command', 'Other options:'],
  ] as const
  return sections
    .map(([of, heading]) => {
      const specs = [...table.filter((spec) => spec.of === of), ...(of === 'command' ? [HELP] : [])]
      return specs.length === 0 ? '' : `\n${heading}\n${specs.map(optionHelp).join('')}`
    })
    .join('')
}

const HELP: OptionSpec = { name: 'help', of: 'command', help: ['show this'] }

function optionHelp({ name, value, help }: OptionSpec): string {
  const usage = `  --${name}${value === undefined ? '' : ` ${value}`}`
  const lines = usage.length < COLUMN - 1 ? [] : [usage]
  const [first, ...more] = help
  const start = lines.length === 0 ? usage.padEnd(COLUMN) : ' '.repeat(COLUMN)
  return `${[...lines, `${start}${first}`, ...more.map((line) => `${' '.repeat(COLUMN)}${line}`)].join('\n')}\n`
}
