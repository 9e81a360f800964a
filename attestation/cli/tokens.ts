import { createHash, randomBytes } from 'node:crypto'
import { Command, InvalidArgumentError, Option } from 'commander'
import { apiTokenDigest, newApiToken, ROLES, type Role } from '../api/tokens.ts'
import { formatTable, UsageError } from '../base/index.ts'
import { type ApiToken, listApiTokens, revokeApiToken, saveApiToken, saveToken } from '../store/index.ts'
import { configOption, formatOption, operatorName, parseLabels, withStore } from './options.ts'

const DEFAULT_HOURS = 24
const HOUR_MS = 3_600_000
const MAX_HOURS = 24 * 366

interface CreateOptions {
  readonly role?: Role
  readonly expires?: number
  readonly hours?: number
  readonly label: string[]
  readonly config: string
}

/** `holdfast tokens`: one-time tokens that admit a node, and tokens of the API for people and programs. */
export function command(): Command {
  const tokens = new Command('tokens')
    .description('Tokens: one-time ones for nodes, and those of the API.')
    .addHelpText(
      'after',
      `
Without a NAME: a token that admits one node, once. Put it into a file of the node that enrolmentTokenFile in its
agent.yaml names. It replaces no proof: the node still shows its TPM.
With a NAME: a token for the verifier's API, which says who may do what until when. With labels it is good for the
nodes that have all of them.
Each is shown once: the verifier keeps its digest only.

Examples:
  holdfast tokens create
  holdfast tokens create --hours 2 --label zone=a --label rack=7
  holdfast tokens create grafana --role viewer --expires 30d
  holdfast tokens create team-a --role operator --expires 12h --label team=a
  holdfast tokens list
  holdfast tokens revoke grafana
`,
    )
  tokens
    .command('create')
    .argument('[name]', 'of a token for the API; it is never used again')
    .description('Make a token and print it.')
    .addOption(new Option('--role <role>', 'what the API lets its bearer do').choices([...ROLES]))
    .option('--expires <time>', 'how long it is good for the API, such as 30d or 12h', parseLifetime)
    .option('--hours <n>', `how long a node can use it (${DEFAULT_HOURS} unless told)`, parseHours)
    .option('--label <key=value...>', 'label of the node that uses it; for the API, label of the nodes it is for', [])
    .addOption(configOption())
    .action(async (name: string | undefined, options: CreateOptions) => {
      const token = name === undefined ? await forNode(options) : await forApi(name, options)
      process.stdout.write(`${token}\n`)
    })
  tokens
    .command('list')
    .description('Tokens of the API: whose they are, what they may, until when.')
    .addOption(formatOption())
    .addOption(configOption())
    .action(async (options: { format: 'table' | 'json'; config: string }) => list(options))
  tokens
    .command('revoke')
    .argument('<name...>', 'of tokens of the API')
    .description('End tokens of the API at once, for good.')
    .addOption(configOption())
    .action(async (names: string[], options: { config: string }) => {
      await withStore(options.config, async (store) => {
        for (const name of names) {
          await revokeApiToken(store, name, operatorName())
          process.stdout.write(`${name}\n`)
        }
      })
    })
  return tokens
}

async function forNode({ role, expires, hours = DEFAULT_HOURS, label, config }: CreateOptions): Promise<string> {
  if (role !== undefined || expires !== undefined) {
    throw new UsageError('--role and --expires are for a token of the API, which has a NAME: tokens create NAME')
  }
  const token = `hft-${randomBytes(24).toString('base64url')}`
  const expiresAt = new Date(Date.now() + hours * HOUR_MS)
  const sha256 = createHash('sha256').update(token).digest('hex')
  await withStore(config, async (store) => {
    await saveToken(store, { sha256, labels: labelsOf(label), expiresAt }, operatorName())
  })
  return token
}

async function forApi(name: string, { role, expires, hours, label, config }: CreateOptions): Promise<string> {
  if (!/^[A-Za-z0-9][A-Za-z0-9._@-]{0,62}$/.test(name)) {
    throw new UsageError('the name of a token is up to 63 letters, digits, dots, hyphens, underscores and @')
  }
  if (hours !== undefined) throw new UsageError('--hours is for a token of a node; one of the API has --expires')
  if (role === undefined || expires === undefined) {
    throw new UsageError(`a token of the API needs --role (${ROLES.join(', ')}) and --expires, such as 30d`)
  }
  const token = newApiToken()
  const entry = { name, role, sha256: apiTokenDigest(token), labels: labelsOf(label) }
  await withStore(config, async (store) => {
    await saveApiToken(store, { ...entry, expiresAt: new Date(Date.now() + expires) }, operatorName())
  })
  return token
}

/** A label left out by mistake would make a token good for more than was meant. */
function labelsOf(words: readonly string[]): Record<string, string> {
  const { set, remove } = parseLabels(words)
  if (remove.length > 0) throw new UsageError(`'${remove[0]}-' removes a label; a new token has none to remove`)
  if (Object.keys(set).length !== words.length) throw new UsageError('a label is named twice')
  return set
}

async function list(options: { readonly format: 'table' | 'json'; readonly config: string }): Promise<void> {
  const tokens = await withStore(options.config, listApiTokens)
  if (options.format === 'json') {
    process.stdout.write(`${JSON.stringify(tokens.map(shown), null, 2)}\n`)
    return
  }
  const rows = tokens.map((token) => {
    const labels = Object.entries(token.labels).map(([key, value]) => `${key}=${value}`)
    return [token.name, token.role, labels.join(' ') || 'all nodes', stateOf(token), token.lastUsedAt ?? 'never']
  })
  process.stdout.write(formatTable(['NAME', 'ROLE', 'NODES', 'STATE', 'LAST USED'], rows))
}

function stateOf({ revokedAt, expiresAt }: ApiToken): string {
  if (revokedAt !== undefined) return `revoked ${revokedAt}`
  return `${Date.parse(expiresAt) > Date.now() ? 'good until' : 'expired'} ${expiresAt}`
}

/** Members that are always there; the digest is for the store alone. */
function shown({ name, role, labels, createdAt, createdBy, expiresAt, revokedAt, lastUsedAt }: ApiToken) {
  const times = { createdAt, createdBy, expiresAt, revokedAt: revokedAt ?? null, lastUsedAt: lastUsedAt ?? null }
  return { name, role, labels, ...times }
}

function parseLifetime(text: string): number {
  const [, digits, unit] = /^(\d{1,4})([hd])$/.exec(text) ?? []
  const hours = Number(digits ?? Number.NaN) * (unit === 'd' ? 24 : 1)
  if (!(hours > 0 && hours <= MAX_HOURS)) {
    throw new InvalidArgumentError('wants hours or days, such as 12h or 30d, and at most 366d')
  }
  return hours * HOUR_MS
}

function parseHours(text: string): number {
  const hours = Number(text)
  if (!Number.isFinite(hours) || hours <= 0 || hours > MAX_HOURS) {
    throw new InvalidArgumentError(`wants hours, more than 0 and at most ${MAX_HOURS}`)
  }
  return hours
}
