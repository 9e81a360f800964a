import { randomBytes } from 'node:crypto'
import { closeSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { hostname } from 'node:os'
import { Command } from 'commander'
import { codeOf, concatBytes, messageOf, toHex, UsageError } from '../../attestation/base/index.ts'
import { decodeEvidenceFile, type EvidenceFile } from '../../attestation/evidence-file/index.ts'
import { evidenceContents, type LogContents } from '../../attestation/evidence-report/index.ts'
import { AgentCommandError } from '../hints.ts'
import { DEFAULT_AGENT_SOCKET } from '../local-api/index.ts'
import { getLocal, LocalClientError } from './local-client.ts'

interface CollectOptions {
  readonly socket: string
  readonly nonce?: string
  readonly output: string
}

const NONCE = /^([0-9a-fA-F]{2}){16,64}$/
const NONCE_BYTES = 32

const HELP = `
The agent must run: it owns the TPM, and reads the logs that only root may. It quotes PCR 0 to 15 of every bank
over a digest of the nonce, and gives the firmware's log, systemd's, IMA's and the launch log, each whole.
Without --nonce one is chosen and printed; whoever wants to know that the quote is fresh chooses it and keeps it.

The file tells what the machine runs and what it is called: it is made for its owner alone (0600).

Examples:
  holdfast evidence collect
  holdfast evidence collect --nonce "$(openssl rand -hex 32)" --output node.evidence
  ssh root@node holdfast evidence collect --output - > node.evidence
`

/** `holdfast evidence collect`: a fresh quote and all logs of this machine in one file. */
export function collectCommand(): Command {
  return new Command('collect')
    .description('Write a fresh quote and all logs of this machine into one file.')
    .option('--socket <path>', 'socket of the agent', DEFAULT_AGENT_SOCKET)
    .option('--nonce <hex>', '16 to 64 bytes that make the quote fresh (default: random)')
    .option('--output <file>', '- for standard output', `${hostname()}.evidence`)
    .addHelpText('after', HELP)
    .action((options: CollectOptions) => collect(options))
}

async function collect({ socket, nonce: chosen, output }: CollectOptions): Promise<void> {
  if (chosen !== undefined && !NONCE.test(chosen)) {
    throw new UsageError('--nonce wants 16 to 64 bytes in hex, such as openssl rand -hex 32 prints')
  }
  if (output === '-' && process.stdout.isTTY) {
    throw new UsageError('evidence is binary: not written to a terminal; name a file with --output')
  }
  const nonce = chosen?.toLowerCase() ?? randomBytes(NONCE_BYTES).toString('hex')
  const bytes = await ask(socket, nonce)
  const file = decodeEvidenceFile(bytes)
  if (output === '-') await new Promise<void>((resolve) => process.stdout.write(bytes, () => resolve()))
  else writePrivately(output, bytes)
  process.stderr.write(collectedText(file, bytes.length, output))
}

async function ask(socket: string, nonce: string): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  try {
    await getLocal(socket, '/v1/evidence', (piece) => pieces.push(piece), { nonce })
  } catch (err) {
    throw new AgentCommandError(codeOf(err) === 'API_UNREACHABLE' ? unreachable(err) : err)
  }
  return concatBytes(...pieces)
}

function unreachable(err: unknown): LocalClientError {
  const why = 'the agent owns the TPM, so it alone can have this machine quoted'
  return new LocalClientError('API_UNREACHABLE', `${messageOf(err)}; ${why}`, { cause: err })
}

/** Whole or not at all, and for its owner alone. */
function writePrivately(path: string, bytes: Uint8Array): void {
  const unfinished = `${path}.${process.pid}.part`
  try {
    const file = openSync(unfinished, 'wx', 0o600)
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at)
    } finally {
      closeSync(file)
    }
    renameSync(unfinished, path)
  } catch (err) {
    rmSync(unfinished, { force: true })
    throw new UsageError(`${path}: ${messageOf(err)}`)
  }
}

/** For people, on standard error. */
export function collectedText(file: EvidenceFile, sizeBytes: number, output: string): string {
  const banks = [...new Set(file.pcrs.map((v) => v.bank))].join(', ')
  const lines = [
    `${output === '-' ? 'evidence' : output}: ${sizeBytes} bytes`,
    `  quote          ${file.pcrs.length} registers (${banks})`,
    ...evidenceContents(file).map(logText),
    `  nonce          ${toHex(file.nonce)}`,
  ]
  return `${lines.join('\n')}\n`
}

function logText({ log, events, sizeBytes }: LogContents): string {
  const counted = events === undefined ? 'cannot be read' : `${events} ${events === 1 ? 'event' : 'events'}`
  return `  ${`${log} log`.padEnd(13)}  ${counted}, ${sizeBytes} bytes`
}
