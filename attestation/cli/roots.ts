import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { CodedError, formatTable, printable, UsageError } from '../base/index.ts'
import type { NodeRecord } from '../store/index.ts'
import {
  findRoot,
  type ImportReport,
  importRoots,
  readVerifierConfig,
  removeRoot,
  reportRoots,
  type ShownRoot,
} from '../verifier/index.ts'
import { configOption, formatOption, withStore } from './options.ts'

interface ConfigOption {
  readonly config: string
}
interface FormatOption extends ConfigOption {
  readonly format: 'table' | 'json'
}

/** `holdfast roots`: the CA certificates that may vouch for a TPM. */
export function command(): Command {
  const roots = new Command('roots')
    .description('Import and list the TPM makers whose certificates are believed.')
    .addHelpText('after', HELP)
  roots
    .command('import')
    .argument('[path...]', 'directories, PEM bundles, DER files, CRLs, TrustedTpm.cab')
    .description('Trust the makers in these; prints what became of each certificate.')
    .option('--check', 'only say what would be imported')
    .option('--as-roots', 'trust CA certificates as roots although others signed them')
    .option('--debian', "import the certificates of Debian's package ruby-tpm-key-attestation")
    .addOption(formatOption())
    .addOption(configOption())
    .action((paths: string[], options: ImportOptions) => runImport(paths, options))
  roots
    .command('list')
    .description('What is trusted now, where it came from, and how many nodes rely on it.')
    .addOption(formatOption())
    .addOption(configOption())
    .action(async (options: FormatOption) => list(options))
  roots
    .command('show')
    .argument('<id>', 'SHA-256 of a certificate or CRL, or the beginning of one')
    .description('All about one of them, and the nodes that rely on it.')
    .addOption(formatOption())
    .addOption(configOption())
    .action(async (id: string, options: FormatOption) => show(id, options))
  roots
    .command('remove')
    .argument('<id>', 'SHA-256 of a certificate or CRL, or the beginning of one')
    .description('Trust it no longer.')
    .option('--force', 'also when nodes rely on it: they are refused when they come back')
    .addOption(configOption())
    .action(async (id: string, options: ConfigOption & { readonly force?: true }) => remove(id, options))
  return roots
}

const HELP = `
Self-signed CA certificates become trusted roots; other CAs only help to reach a root, unless --as-roots says otherwise
(some makers keep their root to themselves). A CRL revokes what it lists; none is
ever fetched from the network. A running verifier takes changes over with: systemctl reload holdfast-verifier, or kill -HUP
its pid. The signature of Microsoft's TrustedTpm.cab is not checked here: do that where you fetch it.

Examples:
  holdfast roots import tpm-maker-bundle.pem maker.crl
  holdfast roots import --check TrustedTpm.cab
  holdfast roots import --debian
  holdfast roots list
  holdfast roots show 899e3547
`

interface ImportOptions extends FormatOption {
  readonly check?: true
  readonly asRoots?: true
  readonly debian?: true
}

function runImport(paths: readonly string[], options: ImportOptions): void {
  const all = options.debian === true ? [...paths, debianCertificates()] : paths
  if (all.length === 0) throw new UsageError('name a directory or file to import, or give --debian')
  const { roots } = readVerifierConfig(options.config).enrolment
  const report = importRoots(roots, all, { checkOnly: options.check === true, asRoots: options.asRoots === true })
  if (options.format === 'json') process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
  else printImport(report, options.check === true)
  if (report.items.some((item) => item.outcome === 'refused')) process.exitCode = 1
}

function printImport({ items, passedOver }: ImportReport, checkOnly: boolean): void {
  for (const { outcome, fingerprint, kind, subject, source, why } of items) {
    const what = outcome === 'imported' && checkOnly ? 'would be imported' : outcome
    const line =
      why === undefined
        ? `${fingerprint}  ${kind}  ${what}  ${subject}`
        : `${what}  ${source}${subject === undefined ? '' : ` (${subject})`}: ${why}`
    process.stdout.write(`${printable(line)}\n`)
  }
  const count = (outcome: string): number => items.filter((item) => item.outcome === outcome).length
  const counts = [
    `${count('imported')} ${checkOnly ? 'would be imported' : 'imported'}`,
    `${count('already there')} already there`,
    `${count('refused')} refused`,
    `${passedOver.length} other files passed over`,
  ]
  process.stderr.write(`${counts.join(', ')}\n`)
}

/** Ruby gems of Debian packages; the folder's name carries the gem's version. */
const GEMS = '/usr/share/rubygems-integration/all/gems'

function debianCertificates(): string {
  let gem: string | undefined
  try {
    gem = readdirSync(GEMS)
      .sort()
      .findLast((name) => name.startsWith('tpm-key_attestation-'))
  } catch {
    // no gem at all: the same advice
  }
  if (gem === undefined) {
    throw new UsageError(
      'Debian’s package is not installed: apt-get install --no-install-recommends ruby-tpm-key-attestation',
    )
  }
  return join(GEMS, gem, 'lib/tpm/certificates')
}

async function list(options: FormatOption): Promise<void> {
  const all = await report(options)
  if (options.format === 'json') {
    process.stdout.write(`${JSON.stringify(all, null, 2)}\n`)
    return
  }
  const rows = all.map((r) => [
    r.fingerprint.slice(0, 16),
    r.kind,
    r.vendor.slice(0, 24),
    r.key ?? '-',
    r.signature,
    r.notAfter?.slice(0, 10) ?? '-',
    r.nodes === null ? '-' : String(r.nodes.length),
    r.flags.join(',') || '-',
    r.subject.slice(0, 80),
  ])
  const header = ['SHA-256', 'KIND', 'VENDOR', 'KEY', 'SIGNED', 'UNTIL', 'NODES', 'FLAGS', 'SUBJECT']
  process.stdout.write(formatTable(header, rows))
}

async function show(id: string, options: FormatOption): Promise<void> {
  const root = findRoot(await report(options), id)
  if (options.format === 'json') {
    process.stdout.write(`${JSON.stringify(root, null, 2)}\n`)
    return
  }
  const facts: readonly (readonly [string, string])[] = [
    ['SHA-256', root.fingerprint],
    ['kind', root.kind],
    ['vendor', root.vendor],
    ['subject', root.subject],
    ['issuer', root.issuer],
    ['serial number', root.serial ?? '-'],
    ['key', root.key ?? '-'],
    ['signed with', root.signature],
    ['valid', `${root.notBefore} to ${root.notAfter ?? 'no end given'}`],
    ['path length', root.pathLength === null ? 'not limited' : String(root.pathLength)],
    ['key identifier', root.subjectKeyId ?? '-'],
    ["issuer's key", root.authorityKeyId ?? '-'],
    ['issuer at', root.issuerPublishedAt.join(' ') || '-'],
    ['CRL at', root.crlPublishedAt.join(' ') || '-'],
    ...(root.revokedCertificates === null ? [] : [['revokes', `${root.revokedCertificates} certificates`] as const]),
    ['not DER', root.encoding.join(', ') || '-'],
    ['source', root.source ?? '-'],
    ['imported', root.imported ?? '-'],
    ['file', root.file],
    ['flags', root.flags.join(', ') || '-'],
    ['nodes', nodesText(root)],
  ]
  process.stdout.write(formatTable(undefined, facts))
}

function nodesText({ nodes }: ShownRoot): string {
  if (nodes === null) return '-'
  return nodes.length === 0 ? 'none' : `${nodes.length}: ${nodes.map((id) => id.slice(0, 12)).join(' ')}`
}

async function remove(id: string, options: ConfigOption & { readonly force?: true }): Promise<void> {
  const root = findRoot(await report(options), id)
  removeRoot(readVerifierConfig(options.config).enrolment.roots, root, options.force === true)
  process.stdout.write(`${root.fingerprint}  ${root.kind}  removed  ${printable(root.subject)}\n`)
}

async function report({ config }: ConfigOption): Promise<readonly ShownRoot[]> {
  return reportRoots(readVerifierConfig(config).enrolment.roots, await nodesOf(config), new Date())
}

/** Before the verifier's first start there is no store, and nothing is known of nodes. */
async function nodesOf(config: string): Promise<readonly NodeRecord[] | undefined> {
  try {
    return await withStore(config, async (store) => await store.nodes())
  } catch (err) {
    if (err instanceof CodedError && err.code === 'STORE_UNAVAILABLE') return undefined
    throw err
  }
}
