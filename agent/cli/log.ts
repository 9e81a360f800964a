import { Command, Option } from 'commander'
import { printable } from '../../attestation/base/index.ts'
import { AgentCommandError } from '../hints.ts'
import { DEFAULT_AGENT_SOCKET } from '../local-api/index.ts'
import { getLocal, getLocalJson } from './local-client.ts'

const EXAMPLES = `
The table is a summary; json and tlv have everything that was measured. agent/README.md says how to check it by hand.

Examples:
  holdfast log
  holdfast log --format=json | jq -c '.[].content | select(.record == "launch")'
  holdfast log --format=tlv > launch-log.cel
`

/** `holdfast log`: the launch log of this boot. */
export function command(): Command {
  return new Command('log')
    .description("Print this boot's launch log.")
    .addHelpText('after', EXAMPLES)
    .option('--socket <path>', 'socket of the agent', DEFAULT_AGENT_SOCKET)
    .addOption(
      new Option('--format <format>', 'how to print: json is CEL-JSON, tlv the bytes')
        .choices(['table', 'json', 'tlv'])
        .default('table'),
    )
    .action(async ({ socket, format }: { socket: string; format: 'table' | 'json' | 'tlv' }) => {
      try {
        if (format === 'table') process.stdout.write(logTable(await getLocalJson(socket, '/v1/log')))
        else await getLocal(socket, `/v1/log?format=${format}`, (piece) => process.stdout.write(piece))
      } catch (err) {
        throw new AgentCommandError(err)
      }
    })
}

/** One line for each record: number, kind, and what it is about. Fields that are not there are left out. */
export function logTable(log: unknown): string {
  if (!Array.isArray(log)) return ''
  const rows = log.map((entry: { recnum?: unknown; content?: unknown }) => {
    const content: Record<string, unknown> =
      typeof entry.content === 'object' && entry.content !== null ? { ...entry.content } : {}
    const { record, holdfast: _, ...rest } = content
    return { recnum: String(entry.recnum), record: String(record), about: about(String(record), rest) }
  })
  const width = Math.max(...rows.map((r) => r.recnum.length), 1)
  return rows.map((r) => `${r.recnum.padStart(width)}  ${r.record.padEnd(6)}  ${r.about}\n`).join('')
}

/** What a person looks for first, by kind of record. */
const SHOWN: Readonly<Record<string, readonly string[]>> = {
  agent: ['version', 'mode'],
  stage1: ['name', 'flavour', 'id', 'tree', 'verification'],
  image: ['name', 'id', 'tree', 'verification'],
  pod: ['uuid', 'request'],
  launch: ['uuid', 'mode', 'ticket', 'policy'],
  denied: ['uuid', 'code'],
  exited: ['uuid', 'reason', 'statuses'],
  break: ['reason', 'expected', 'found'],
}

function about(record: string, content: Readonly<Record<string, unknown>>): string {
  const shown = SHOWN[record] ?? Object.keys(content)
  return shown
    .filter((key) => content[key] !== undefined)
    .map((key) => `${key}=${plain(content[key])}`)
    .join(' ')
}

function plain(value: unknown): string {
  return printable(typeof value === 'string' ? value : JSON.stringify(value))
}
