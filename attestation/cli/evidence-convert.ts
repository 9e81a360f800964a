import { Command, Option } from 'commander'
import { UsageError } from '../base/index.ts'
import type { CelEncoding, LogSource } from '../event-log/index.ts'
import { convertToCel, openEvidence } from '../evidence-report/index.ts'
import { readEvidenceBytes, writeBytes } from './evidence-io.ts'

interface ConvertOptions {
  readonly to: `cel-${CelEncoding}`
  readonly source?: LogSource
}

const HELP = `
Writes the logs of FILE (evidence, or one log, as for 'evidence show') as one canonical event log (TCG CEL 1.0), for
other tools. Firmware, systemd, IMA and launch log follow one another, numbered through; --source takes one of them.
Digests stay as they were measured. What a quote proves is not part of such a log: keep the evidence beside it.

IMA's entries get the digests that kernels since Linux 5.8 extend. CBOR is Holdfast's own reading of the specification:
no other writer is known.

Examples:
  holdfast evidence convert node.evidence --to cel-json | jq '.[] | select(.content_type == "holdfast")'
  holdfast evidence convert node.evidence --to cel-tlv --source launch-log > launch.cel
  holdfast evidence convert /sys/kernel/security/tpm0/binary_bios_measurements --to cel-json
`

/** `holdfast evidence convert`: logs for other tools. Needs no verifier, no agent and no TPM. */
export function convertCommand(): Command {
  return new Command('convert')
    .argument('<file>', 'evidence, or a log; - for standard input')
    .description('Write logs as a canonical event log (CEL).')
    .addOption(
      new Option('--to <format>', 'what to write').choices(['cel-json', 'cel-cbor', 'cel-tlv']).makeOptionMandatory(),
    )
    .addOption(
      new Option('--source <log>', 'of one log only').choices([
        'firmware',
        'systemd',
        'ima',
        'launch-log',
        'cel',
      ] satisfies LogSource[]),
    )
    .addHelpText('after', HELP)
    .action((file: string, options: ConvertOptions) => convert(file, options))
}

const ENCODINGS: Readonly<Record<ConvertOptions['to'], CelEncoding>> = {
  'cel-tlv': 'tlv',
  'cel-json': 'json',
  'cel-cbor': 'cbor',
}

async function convert(file: string, { to, source }: ConvertOptions): Promise<void> {
  if (to !== 'cel-json' && process.stdout.isTTY) {
    throw new UsageError(`${to} is not text: send it to a file with >`)
  }
  await writeBytes(convertToCel(openEvidence(readEvidenceBytes(file)), ENCODINGS[to], source))
}
