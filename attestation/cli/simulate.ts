import { readFileSync } from 'node:fs'
import { Command, InvalidArgumentError, Option } from 'commander'
import { messageOf, UsageError } from '../base/index.ts'
import {
  type AkKind,
  KeyDirectory,
  makeNodes,
  newKeys,
  parseShares,
  progressText,
  readTrust,
  type Shares,
  SimulatedFleet,
  type SimulatedNode,
  SimulatorError,
  type Summary,
  seededRandom,
  summaryText,
  Tally,
} from '../simulator/index.ts'
import { nodeIdOf } from '../tpm2/index.ts'
import { formatOption } from './options.ts'

const MAX_NODES = 100_000
const DEFAULT_DURATION_MS = 60_000
/** With --until-deserved: nobody waits for a verifier that never decides. */
const LONGEST_WAIT_MS = 600_000
const LOOK_MS = 100
const PROGRESS_MS = 1000

interface Options {
  readonly nodes: number
  readonly verifier?: { readonly host: string; readonly port: number }
  readonly trust?: string
  readonly keys?: string
  readonly ak: AkKind
  readonly ca?: true
  readonly tokens?: string
  readonly misbehaving: Shares
  readonly slowBy: number
  readonly dials: number
  readonly duration?: number
  readonly seed: number
  readonly untilDeserved?: true
  readonly format: 'table' | 'json'
}

/** `holdfast simulate`: a fleet of software attesters. */
export function command(): Command {
  return new Command('simulate')
    .description('Simulate a fleet: software attesters with real keys, quotes and logs, to size and test a verifier.')
    .requiredOption('--nodes <n>', `how many, up to ${MAX_NODES}`, whole(1, MAX_NODES))
    .option(
      '--verifier <host:port>',
      'where agents connect to it; without it, keys are made and nothing else',
      parseAddress,
    )
    .option('--trust <file>', "the verifier's trust.json")
    .option('--keys <dir>', 'keep the keys there, so that the next run has the same nodes')
    .addOption(new Option('--ak <kind>', 'kind of attestation keys').choices(['p256', 'rsa']).default('p256'))
    .option('--ca', 'certify the EKs by a CA of its own, DIR/ca.pem (needs --keys)')
    .option('--tokens <file>', 'enrolment tokens, one on a line, at least one for each node')
    .option('--misbehaving <shares>', 'KIND=PERCENT%,... as below', parseShares, new Map())
    .option('--slow-by <time>', 'how late slow nodes answer', parseTime, 5000)
    .option('--dials <n>', 'connections that are being made at the same time', whole(1, MAX_NODES), 64)
    .option('--duration <time>', 'how long, such as 90s, 10m or 2h (60s unless told)', parseTime)
    .option('--seed <n>', 'which nodes misbehave follows from it', whole(0, 0xffffffff), 1)
    .option('--until-deserved', 'end as soon as every node has the verdict it deserves; give up after --duration (10m)')
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Each node has a software TPM with its own EK and AK, enrols by activation, proves itself for each connection, and answers
each challenge with a quote and what is new in its launch log. How often is the verifier's setting
(attestation.periodSeconds). A run is a boot of all machines.

Once it has been trusted, a node that misbehaves                           and deserves to be
  wrong-nonce    quotes over another nonce                                 refused, ATTEST_EXTRA_DATA_MISMATCH
  log-fork       measures one thing and logs another                       contraindicated
  reset-replay   shows the counters and registers of an earlier reset      contraindicated, in quarantine
  silent         answers no challenge any more                             stale (holdfast nodes shows it)
  slow           answers late (--slow-by)                                  trusted, if that is within a minute
  flood          sends 400 messages at once                              refused, SESSION_TOO_MANY_MESSAGES
All others deserve to be trusted in every round. Any other verdict is a false one: it is listed, and the exit status is
not 0. Keys that misbehaved stay in quarantine: use others, or the same --misbehaving and --seed.

The verifier has to let them in. All of them come from one address, and that often:
  limits: {connections: 20000, connectionsPerAddressPerSecond: 1000}
and either by certificate and token, or by list:
  holdfast simulate --nodes 100 --keys fleet --ca        makes keys, fleet/ca.pem and the node IDs, and ends
  holdfast roots import fleet/ca.pem                     then, with 'admission: token', --tokens FILE
  enrolment: {admission: listed, listed: [ID, ...]}      from fleet/nodes-p256.ids
An appraisal policy that wants a firmware log fails them: they have a launch log only.

Examples:
  holdfast simulate --nodes 100 --keys fleet --verifier 127.0.0.1:7443 --trust trust.json --until-deserved
  holdfast simulate --nodes 1000 --keys fleet --ca --tokens tokens.txt --verifier verifier.example:7443 \\
    --trust trust.json --misbehaving wrong-nonce=1%,log-fork=0.5%,silent=2% --duration 10m --format=json
`,
    )
    .action(async (options: Options) => {
      const { verifier } = options
      if (verifier === undefined) await prepare(options)
      else await simulate(options, verifier)
    })
}

/** Makes the keys that a verifier is to be told of before it sees them. */
async function prepare(options: Options): Promise<void> {
  if (options.keys === undefined) throw new UsageError('--verifier is missing; or --keys, to make keys for later')
  const directory = new KeyDirectory(options.keys)
  const keys = await directory.keys(options.ak, options.nodes, keysMade(options))
  directory.writeNodeIds(
    options.ak,
    keys.map(({ ek }) => nodeIdOf(ek.public)),
  )
  const lines = [directory.nodeIdsFile(options.ak)]
  if (options.ca) {
    directory.ca()
    lines.push(directory.caFile)
  }
  process.stdout.write(lines.map((line) => `${line}\n`).join(''))
}

async function simulate(options: Options, verifier: NonNullable<Options['verifier']>): Promise<void> {
  if (options.trust === undefined) throw new UsageError('--trust is missing: the trust.json of the verifier')
  if (options.ca && options.keys === undefined) throw new UsageError('--ca needs --keys, where the CA is kept')
  const { verifierId, tlsSpkiSha256 } = readTrust(options.trust)
  const tokens = options.tokens === undefined ? undefined : readTokens(options.tokens, options.nodes)
  const directory = options.keys === undefined ? undefined : new KeyDirectory(options.keys)
  const keys =
    (await directory?.keys(options.ak, options.nodes, keysMade(options))) ??
    Array.from({ length: options.nodes }, () => newKeys(options.ak))
  const random = seededRandom(options.seed)
  const tally = new Tally()
  const nodes = makeNodes(
    keys,
    {
      ...{ verifierId, random, shares: options.misbehaving, slowMs: options.slowBy },
      boot: directory?.nextBoot() ?? 1,
      ...(options.ca && directory !== undefined && { ca: directory.ca() }),
      ...(tokens !== undefined && { tokens }),
    },
    tally,
  )
  if (directory !== undefined)
    directory.writeNodeIds(
      options.ak,
      nodes.map(({ nodeId }) => nodeId),
    )
  const fleet = new SimulatedFleet(
    nodes,
    { verifier: { ...verifier, tlsSpkiSha256 }, dialsAtOnce: options.dials, random },
    tally,
  )
  await fleet.start()
  const stopProgress = showProgress(tally, nodes)
  await untilEnd(options, nodes)
  stopProgress()
  const summary = tally.summary(nodes)
  await fleet.stop()
  process.stdout.write(options.format === 'json' ? `${JSON.stringify(summary, null, 2)}\n` : summaryText(summary))
  judge(summary, options)
}

/** Time is up, every node has what it deserves, or somebody has had enough: the summary is told in each case. */
async function untilEnd(options: Options, nodes: readonly SimulatedNode[]): Promise<void> {
  const forMs = options.duration ?? (options.untilDeserved ? LONGEST_WAIT_MS : DEFAULT_DURATION_MS)
  await new Promise<void>((resolve) => {
    const look = setInterval(() => {
      if (options.untilDeserved && nodes.every((node) => node.deserved)) end()
    }, LOOK_MS)
    const limit = setTimeout(() => end(), forMs)
    const end = (): void => {
      clearInterval(look)
      clearTimeout(limit)
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, end)
      resolve()
    }
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, end)
  })
}

function judge(summary: Summary, { untilDeserved }: Options): void {
  if (summary.falseVerdicts > 0) {
    const message = `${summary.falseVerdicts} verdicts were false`
    const hint = 'The verifier says why: holdfast nodes show NODE. Nodes of an earlier run may be in quarantine still.'
    throw new SimulatorError('SIMULATE_FALSE_VERDICT', message, { hint })
  }
  if (!untilDeserved || summary.allDeserved) return
  const without = summary.behaviours.reduce((sum, count) => sum + count.nodes - count.deserved, 0)
  throw new SimulatorError('SIMULATE_UNDECIDED', `${without} nodes have not got the verdict that they deserve`, {
    hint:
      summary.enrolled < summary.nodes
        ? 'Not all are admitted: holdfast nodes lists who waits.'
        : 'Give it longer: --duration.',
  })
}

function showProgress(tally: Tally, nodes: readonly SimulatedNode[]): () => void {
  if (!process.stderr.isTTY) return () => {}
  let before = 0
  const timer = setInterval(() => {
    const summary = tally.summary(nodes)
    process.stderr.write(`\r\x1b[K${progressText(summary, (summary.rounds - before) * (1000 / PROGRESS_MS))}`)
    before = summary.rounds
  }, PROGRESS_MS)
  return () => {
    clearInterval(timer)
    process.stderr.write('\r\x1b[K')
  }
}

/** RSA keys take a while. */
function keysMade({ nodes }: Options): (have: number) => void {
  return (have) => {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${have} of ${nodes} keys`)
  }
}

function readTokens(file: string, nodes: number): string[] {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw new SimulatorError('SIMULATE_TOKENS_INVALID', `--tokens ${file}: ${messageOf(cause)}`, { cause })
  }
  const tokens = text.split(/\s+/).filter((word) => word !== '')
  if (tokens.length >= nodes) return tokens
  const message = `--tokens ${file} has ${tokens.length} tokens for ${nodes} nodes; each admits one`
  throw new SimulatorError('SIMULATE_TOKENS_INVALID', message, { hint: 'holdfast tokens create makes one.' })
}

function whole(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (/^\d+$/.test(text) && value >= least && value <= most) return value
    throw new InvalidArgumentError(`wants a whole number from ${least} to ${most}`)
  }
}

function parseTime(text: string): number {
  const [, digits, unit = ''] = /^(\d{1,6})(ms|s|m|h)$/.exec(text) ?? []
  const factor = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[unit]
  const value = Number(digits ?? 0) * (factor ?? 0)
  if (value > 0 && value <= 86_400_000) return value
  throw new InvalidArgumentError('wants a time such as 500ms, 90s, 10m or 2h, at most 24h')
}

function parseAddress(text: string): { host: string; port: number } {
  const [, bracketed, plain, port] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]/]+)):(\d{1,5})$/.exec(text) ?? []
  const host = bracketed ?? plain
  if (host !== undefined && Number(port) >= 1 && Number(port) <= 65_535) return { host, port: Number(port) }
  throw new InvalidArgumentError('wants HOST:PORT, such as verifier.example:7443 or [::1]:7443')
}
