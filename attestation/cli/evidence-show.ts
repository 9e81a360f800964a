import { Command, Option } from 'commander'
import { UsageError } from '../base/index.ts'
import type { LogSource } from '../event-log/index.ts'
import {
  COLOURED,
  openEvidence,
  type Paint,
  PLAIN,
  parseRegister,
  showJson,
  shownEvidence,
  showText,
} from '../evidence-report/index.ts'
import { looksLikeResultToken } from '../results/index.ts'
import { readEvidenceBytes, writePieces } from './evidence-io.ts'
import { shownResult } from './evidence-result.ts'

interface ShowCommandOptions {
  readonly by: 'register' | 'time' | 'source'
  readonly pcr?: string
  readonly source?: LogSource
  readonly ima?: true
  readonly json?: true
  readonly verbose?: true
  readonly key?: string
  readonly color: ColourChoice
}
export type ColourChoice = 'auto' | 'always' | 'never'

const HELP = `
FILE is what 'holdfast evidence collect' wrote, or one log by itself: a TCG firmware log
(/sys/kernel/security/tpm0/binary_bios_measurements), a TDX guest's CCEL, an IMA list (binary or ASCII,
/sys/kernel/security/ima/*_runtime_measurements), systemd's /run/log/systemd/tpm2-measure.log, a canonical
event log (TLV, JSON, CBOR) or an attestation agent's AAEL. What it is shows its content. - is standard input.

It can also be what a verifier said: an attestation result (EAR) or an entity attestation token (EAT), as a JWT or as
bare claims. That is not verified unless --key names the key that signs results (PEM, JWK, or a verifier's trust.json);
then a signature that is not of that key, or a time that does not hold, is an error. No claim is never a good claim.

Each event says what the quote proves of it:
  proved         digest and data: what the line says was measured
  digest only    something with this digest was measured; what the line says of it is its writer's claim
  not yet        it came after the quote
  not quoted     its register is not in the quote, or there is no quote
  refuted        the register does not replay, or the data is not what was measured: believe nothing of it
  not extended   no register speaks for it

Examples:
  holdfast evidence show node.evidence
  holdfast evidence show node.evidence --pcr 7 --verbose
  holdfast evidence show /sys/kernel/security/tpm0/binary_bios_measurements | less
  holdfast evidence show node.evidence --source ima | grep /usr/local
  holdfast evidence show result.jwt --key trust.json
  holdfast evidence show node.evidence --json | jq -r '.events[] | select(.proof == "refuted").text'
`

/**
 * `holdfast evidence show`: what a machine's logs say, and what of it is proved. Needs no verifier, no agent and no
 * TPM.
 */
export function showCommand(): Command {
  return new Command('show')
    .argument('<file>', 'evidence, or a log; - for standard input')
    .description('Show events, register by register, with what is proved of each.')
    .addOption(
      new Option('--by <order>', 'how events are put together')
        .choices(['register', 'time', 'source'])
        .default('register'),
    )
    .option('--pcr <register>', 'of one register only: 7, or RTMR1')
    .addOption(
      new Option('--source <log>', 'of one log only').choices([
        'firmware',
        'systemd',
        'ima',
        'launch-log',
        'cel',
        'aael',
      ] satisfies LogSource[]),
    )
    .option('--ima', "also every entry of IMA's list")
    .option('--verbose', 'why each proof is what it is, and whole digests')
    .option('--key <file>', 'of an attestation result: whose signature it must have')
    .option('--json', 'one JSON object')
    .addOption(colourOption())
    .addHelpText('after', HELP)
    .action((file: string, options: ShowCommandOptions) => show(file, options))
}

async function show(file: string, options: ShowCommandOptions): Promise<void> {
  const bytes = readEvidenceBytes(file)
  if (looksLikeResultToken(bytes)) return writePieces([await shownResult(bytes, options, paintFor(options.color))])
  if (options.key !== undefined) {
    throw new UsageError(
      `--key: ${file} is no attestation result; what proves evidence is holdfast evidence verify --ak`,
    )
  }
  const { by, pcr, source, ima = false, verbose = false, color } = options
  const register = pcr === undefined ? undefined : parseRegister(pcr)
  if (pcr !== undefined && register === undefined) {
    throw new UsageError(`--pcr ${pcr}: name a PCR from 0 to 23, or RTMR0 to RTMR3`)
  }
  const chosen = { ima, ...(register !== undefined && { register }), ...(source !== undefined && { source }) }
  const shown = shownEvidence(openEvidence(bytes), new Date())
  if (options.json === true) return writePieces(showJson(shown, chosen))
  const { columns } = process.stdout
  await writePieces(
    showText(shown, {
      ...{ ...chosen, by, verbose, paint: paintFor(color) },
      ...(process.stdout.isTTY && columns !== undefined && { width: columns }),
    }),
  )
}

export function colourOption(): Option {
  return new Option('--color <when>', 'colours').choices(['auto', 'always', 'never']).default('auto')
}

/** Colours on a terminal, unless NO_COLOR is set (no-color.org). */
export function paintFor(choice: ColourChoice): Paint {
  if (choice !== 'auto') return choice === 'always' ? COLOURED : PLAIN
  const refused = (process.env['NO_COLOR'] ?? '') !== '' || process.env['TERM'] === 'dumb'
  return process.stdout.isTTY && !refused ? COLOURED : PLAIN
}
