import { createInterface } from 'node:readline/promises'
import { Command, Option } from 'commander'
import { formatTable, printable, UsageError } from '../../attestation/base/index.ts'
import { HttpClient } from '../image/index.ts'
import {
  addTrustedKey,
  allTrustedKeys,
  type ConfigDirectories,
  DEFAULT_CONFIG,
  loadKeyFiles,
  type OpenPgpKey,
  parsePublicKeys,
  readTrustedKey,
  removeTrustedKey,
} from '../signatures/index.ts'

interface ConfigChoice {
  readonly localConfig: string
  readonly systemConfig: string
}
interface PrefixChoice extends ConfigChoice {
  readonly prefix?: string
  readonly root?: true
}
interface AddChoice extends PrefixChoice {
  readonly skipFingerprintReview?: true
  readonly insecureAllowHttp?: true
}
interface ListChoice extends ConfigChoice {
  readonly full?: true
  readonly legend: boolean
  readonly format: 'table' | 'json'
}

/** `holdfast trust` */
export function command(): Command {
  const trust = new Command('trust').description('Say whose OpenPGP keys may sign App Container images.')
  withPrefix(trust.command('add').description('Trust keys, after their fingerprints were looked at.'))
    .argument('[key...]', 'files or https:// URLs; without any, where https://PREFIX?ac-discovery=1 says they are')
    .option('--skip-fingerprint-review', 'do not ask; for machines that are set up by programs')
    .option('--insecure-allow-http', 'take keys and the pages that name them over plain HTTP too')
    .addHelpText('after', EXAMPLES)
    .action((keys: readonly string[], options: AddChoice) => add(keys, options))
  withConfig(trust.command('list').description('List all trusted keys with what they are trusted for.'))
    .option('--full', 'with the files they are in')
    .option('--no-legend', 'no header line')
    .addOption(new Option('--format <format>', 'how to print').choices(['table', 'json']).default('table'))
    .action((options: ListChoice) => list(options))
  withPrefix(trust.command('rm').description('Trust a key no longer; images that only it signed do not run any more.'))
    .argument('<fingerprint>', 'as in the list')
    .action((fingerprint: string, options: PrefixChoice) => remove(fingerprint, options))
  return trust
}

const EXAMPLES = `
Examples:
  holdfast trust add --prefix example.com/team ./release-key.asc
  holdfast trust add --prefix example.com
  holdfast trust add --root --skip-fingerprint-review https://example.com/key.asc
`

function withConfig(command: Command): Command {
  return command
    .option('--local-config <directory>', 'of the keys of this machine, which are changed', DEFAULT_CONFIG.local)
    .option('--system-config <directory>', 'of the keys that came with the system', DEFAULT_CONFIG.system)
}

function withPrefix(command: Command): Command {
  return withConfig(command)
    .option('--prefix <name>', 'for images of this name and all names below it, as example.com/team')
    .option('--root', 'for all images')
}

const configOf = ({ localConfig, systemConfig }: ConfigChoice): ConfigDirectories => ({
  local: localConfig,
  system: systemConfig,
})

/** @throws UsageError unless exactly one of --prefix and --root is there */
function prefixOf({ prefix, root }: PrefixChoice): string | undefined {
  if ((prefix === undefined) === (root === undefined))
    throw new UsageError('give --prefix NAME, or --root for all images')
  return prefix
}

async function add(places: readonly string[], options: AddChoice): Promise<void> {
  const prefix = prefixOf(options)
  const client = new HttpClient({
    plainHttp: () => options.insecureAllowHttp === true,
    verifyCertificate: true,
    certificateAuthorities: () => undefined,
  })
  try {
    for (const { place, bytes } of await loadKeyFiles(client, places, prefix)) {
      for (const key of parsePublicKeys(bytes)) {
        if (options.skipFingerprintReview !== true && !(await reviewed(key, place, prefix))) {
          process.stderr.write(`holdfast trust add: ${key.fingerprint} was not added\n`)
          continue
        }
        addTrustedKey(configOf(options), prefix, key)
        process.stdout.write(`${key.fingerprint}\n`)
      }
    }
  } finally {
    client.close()
  }
}

async function reviewed(key: OpenPgpKey, place: string, prefix: string | undefined): Promise<boolean> {
  if (!process.stdin.isTTY) {
    throw new UsageError(
      `${place} holds the key ${key.fingerprint}; nobody is there to compare it: say --skip-fingerprint-review if that was done`,
    )
  }
  process.stderr.write(
    `${printable(place)}\n  fingerprint ${grouped(key.fingerprint)}\n${key.userIds.map((id) => `  ${id}\n`).join('')}`,
  )
  const readline = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const answer = await readline.question(`Trust it for ${prefix ?? 'ALL images'}? (yes/no) `)
    return /^y(es)?$/i.test(answer.trim())
  } finally {
    readline.close()
  }
}

/** As people read it to each other. */
function grouped(fingerprint: string): string {
  return (fingerprint.match(/.{1,4}/g) ?? []).join(' ')
}

function list(options: ListChoice): void {
  const rows = allTrustedKeys(configOf(options)).map((key) => ({
    fingerprint: key.fingerprint,
    prefix: key.prefix ?? null,
    from: key.from,
    file: key.file,
    userIds: readTrustedKey(key).userIds,
  }))
  if (options.format === 'json') {
    process.stdout.write(`${JSON.stringify(rows, undefined, 2)}\n`)
    return
  }
  const titles = ['PREFIX', 'FINGERPRINT', 'FROM', 'USER ID', ...(options.full ? ['FILE'] : [])]
  const cells = rows.map((r) => [
    r.prefix ?? '(all images)',
    r.fingerprint,
    r.from,
    r.userIds[0] ?? '-',
    ...(options.full ? [r.file] : []),
  ])
  process.stdout.write(formatTable(options.legend ? titles : undefined, cells))
}

function remove(fingerprint: string, options: PrefixChoice): void {
  const wanted = fingerprint.replaceAll(' ', '').toLowerCase()
  if (!/^[0-9a-f]{40}$/.test(wanted)) throw new UsageError(`'${fingerprint}' is no fingerprint: give its 40 hex digits`)
  removeTrustedKey(configOf(options), prefixOf(options), wanted)
}
