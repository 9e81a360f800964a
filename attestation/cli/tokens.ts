import { createHash, randomBytes } from 'node:crypto'
import { Command, InvalidArgumentError } from 'commander'
import { saveToken } from '../store/index.ts'
import { configOption, operatorName, parseLabels, withStore } from './options.ts'

const MAX_HOURS = 24 * 365

/** `holdfast tokens`: one-time tokens that admit a node when it first enrols. */
export function command(): Command {
  const tokens = new Command('tokens').description('Create one-time enrolment tokens.').addHelpText(
    'after',
    `
A token admits one node, once, and is shown once: the verifier keeps its digest only. Put it into a file
of the node that enrolmentTokenFile in its agent.yaml names. It replaces no proof: the node still shows its TPM.

Examples:
  holdfast tokens create
  holdfast tokens create --hours 2 --label zone=a --label rack=7
`,
  )
  tokens
    .command('create')
    .description('Make a token and print it.')
    .option('--hours <n>', 'how long it can be used', parseHours, 24)
    .option('--label <key=value...>', 'label of the node that uses it', [])
    .addOption(configOption())
    .action(async (options: { hours: number; label: string[]; config: string }) => {
      const token = `hft-${randomBytes(24).toString('base64url')}`
      const expiresAt = new Date(Date.now() + options.hours * 3_600_000)
      const labels = parseLabels(options.label).set
      const sha256 = createHash('sha256').update(token).digest('hex')
      await withStore(options.config, async (store) => {
        await saveToken(store, { sha256, labels, expiresAt }, operatorName())
      })
      process.stdout.write(`${token}\n`)
    })
  return tokens
}

function parseHours(text: string): number {
  const hours = Number(text)
  if (!Number.isFinite(hours) || hours <= 0 || hours > MAX_HOURS) {
    throw new InvalidArgumentError(`wants hours, more than 0 and at most ${MAX_HOURS}`)
  }
  return hours
}
