import { existsSync } from 'node:fs'
import { Command, Option } from 'commander'
import { selectPolicy } from '../appraisal-policy/index.ts'
import { CodedError, fromHex, messageOf, toHex, UsageError } from '../base/index.ts'
import { makeRootStoreOfBundle, type RootStore } from '../endorsement/index.ts'
import { decodeEvidenceFile, looksLikeEvidenceFile } from '../evidence-file/index.ts'
import {
  describeKind,
  describeResult,
  openEvidence,
  type Verification,
  type VerifyTerms,
  verifyEar,
  verifyEvidenceFile,
  verifyJson,
  verifyText,
} from '../evidence-report/index.ts'
import { looksLikeResultToken, readResultToken, type Tier, writeEarCbor, writeEarJson } from '../results/index.ts'
import { nameHash, objectName } from '../tpm2/index.ts'
import { readSources } from '../verifier/roots/index.ts'
import { readEvidenceBytes } from './evidence-io.ts'
import { type ColourChoice, colourOption, paintFor } from './evidence-show.ts'
import { parseLabels } from './options.ts'
import { readPolicies } from './policy-files.ts'

interface VerifyOptions {
  readonly policy?: string
  readonly nonce?: string
  readonly roots?: readonly string[]
  readonly nodeLabels?: readonly string[]
  readonly ak?: string
  readonly time?: string
  readonly format: 'table' | 'json' | 'ear' | 'ear-cbor'
  readonly color: ColourChoice
}

const HELP = `
Checks the quote by every rule, replays every log, holds the rules of boots and of launch logs, and asks the policy,
as a verifier would. Two things a verifier knows and a file cannot show have to be brought along:
  --ak       the attestation key of an enrolled node. Without it anybody could have made the file: not judged (2).
  --nonce    the nonce that you asked for. Without it the file may be old; the table says so.
Evidence of other tools, whose quote is over the nonce itself, is taken as well as that of 'holdfast evidence collect'.

Exit status 0: trusted, every rule holds. 1: not trusted. 2: not judged, something needed is not proved.
254: the file, or something else, could not be read. --format=ear prints the claims of a result (EAR) in JSON,
unsigned; --format=ear-cbor writes them in CBOR.

Examples:
  holdfast evidence verify node.evidence --ak 000b99ca13... --nonce "$NONCE" --policy /etc/holdfast/appraisal
  holdfast evidence verify node.evidence --ak ak.pub --roots tpm-maker-bundle.pem
  holdfast evidence verify node.evidence --policy new.yaml --node-labels role=worker zone=a --format=json
`

/** `holdfast evidence verify`: what a verifier would say of one file. Needs no verifier, no agent and no TPM. */
export function verifyCommand(): Command {
  return new Command('verify')
    .argument('<file>', "what 'holdfast evidence collect' wrote; - for standard input")
    .description('Judge evidence offline, rule by rule.')
    .option('--policy <path>', 'an appraisal policy, or a directory of them')
    .option('--nonce <hex>', 'the nonce that was asked for')
    .option('--roots <path...>', 'whose EK certificates are believed: directories or files')
    .option('--node-labels <label...>', 'KEY=VALUE of the node, by which a policy of a directory is chosen')
    .option('--ak <key>', 'the enrolled attestation key: its Name in hex, or a file with Name or public area')
    .option('--time <time>', 'judge as if it were this time (ISO 8601)')
    .addOption(
      new Option('--format <format>', 'how to print').choices(['table', 'json', 'ear', 'ear-cbor']).default('table'),
    )
    .addOption(colourOption())
    .addHelpText('after', HELP)
    .action((file: string, options: VerifyOptions) => verify(file, options))
}

/** What the exit status says of the file; 254 is Holdfast's own. */
const STATUS: Readonly<Record<Tier, number>> = { affirming: 0, warning: 1, contraindicated: 1, none: 2 }

function verify(path: string, options: VerifyOptions): void {
  const bytes = readEvidenceBytes(path)
  if (bytes.length > 0 && !looksLikeEvidenceFile(bytes)) {
    if (looksLikeResultToken(bytes)) {
      const found = describeResult(readResultToken(bytes))
      throw new UsageError(`${path} is an ${found}: a verdict, not evidence; evidence show --key checks who signed it`)
    }
    const opened = openEvidence(bytes)
    const found = describeKind(opened)
    if (opened.kind === 'firmware' && opened.log.registers === 'rtmr') {
      const why = 'RTMRs are proved by a TDX quote, and none is read here: it can be shown, not appraised'
      throw new UsageError(`${path} is a ${found}: ${why}`)
    }
    throw new UsageError(`${path} is a ${found}, without a quote: there is nothing to verify; show it instead`)
  }
  const file = decodeEvidenceFile(bytes)
  const terms = termsOf(options)
  const verification = verifyEvidenceFile(file, terms)
  process.stdout.write(printed(verification, file.nonce, terms.now, options))
  process.exitCode = STATUS[verification.result.tier]
}

function printed(
  verification: Verification,
  nonce: Uint8Array,
  now: Date,
  { format, color }: VerifyOptions,
): string | Uint8Array {
  switch (format) {
    case 'table':
      return verifyText(verification, paintFor(color))
    case 'json':
      return verifyJson(verification)
    case 'ear':
      return `${writeEarJson(verifyEar(verification, nonce, now, 'json'))}\n`
    case 'ear-cbor':
      return writeEarCbor(verifyEar(verification, nonce, now, 'cbor'))
  }
}

function termsOf(options: VerifyOptions): VerifyTerms {
  const labels = parseLabels(options.nodeLabels ?? []).set
  const policy = options.policy === undefined ? undefined : policyOf(options.policy, labels)
  return {
    labels,
    now: timeOf(options.time),
    ...(options.nonce !== undefined && { nonce: hexOf('--nonce', options.nonce) }),
    ...(options.ak !== undefined && { akName: akNameOf(options.ak) }),
    ...(options.roots !== undefined && { roots: rootsOf(options.roots) }),
    ...(policy !== undefined && { policy }),
  }
}

/** One policy judges whatever it is given; of a directory the one for these labels. */
function policyOf(path: string, labels: VerifyTerms['labels']): NonNullable<VerifyTerms['policy']> {
  const { one, set } = readPolicies(path)
  return one ?? selectPolicy(set, labels) ?? 'unmeant'
}

function rootsOf(paths: readonly string[]): RootStore {
  const items = readSources(paths).candidates.map((candidate) => candidate.item)
  return makeRootStoreOfBundle(
    items.flatMap((item) => (item.kind === 'certificate' ? [item.certificate] : [])),
    items.flatMap((item) => (item.kind === 'crl' ? [item.crl] : [])),
  )
}

/** A Name in hex, or a file: Name (bytes or hex), TPMT_PUBLIC or TPM2B_PUBLIC. @throws UsageError */
function akNameOf(key: string): Uint8Array {
  if (!existsSync(key)) return nameOf('--ak', hexOf('--ak', key))
  const bytes = readEvidenceBytes(key)
  const text = Buffer.from(bytes).toString('latin1').trim()
  if (/^[0-9a-fA-F]{40,}$/.test(text)) return nameOf(key, hexOf(key, text))
  if (nameHash(bytes) !== undefined) return bytes
  const sized = 256 * (bytes[0] ?? 0) + (bytes[1] ?? 0) === bytes.length - 2
  try {
    return objectName(sized ? bytes.subarray(2) : bytes)
  } catch (err) {
    if (!(err instanceof CodedError)) throw err
    throw new UsageError(`${key}: neither a Name nor a public area of a key: ${messageOf(err)}`)
  }
}

function nameOf(where: string, name: Uint8Array): Uint8Array {
  if (nameHash(name) !== undefined) return name
  throw new UsageError(
    `${where}: ${toHex(name.subarray(0, 8))}… is no Name of a key: an algorithm (000b) and its digest`,
  )
}

function hexOf(where: string, text: string): Uint8Array {
  try {
    return fromHex(text)
  } catch {
    throw new UsageError(`${where}: ${text.slice(0, 20)} is neither a file nor hex`)
  }
}

function timeOf(text: string | undefined): Date {
  const time = text === undefined ? new Date() : new Date(text)
  if (Number.isNaN(time.getTime())) throw new UsageError(`--time ${text}: write it as 2026-11-24T00:00:00Z`)
  return time
}
