import { Command } from 'commander'
import { importRoots, listRoots, readVerifierConfig } from '../verifier/index.ts'
import { configOption, formatOption } from './options.ts'
import { formatTable } from './table.ts'

/** `holdfast roots`: the CA certificates that may vouch for a TPM. */
export function command(): Command {
  const roots = new Command('roots')
    .description('Import and list the TPM makers whose certificates are believed.')
    .addHelpText(
      'after',
      `
Files may be PEM or DER and hold several certificates. Self-signed ones become trusted roots; the others only help to
reach a root. A running verifier takes them over with: systemctl reload holdfast-verifier, or kill -HUP its pid.

Examples:
  holdfast roots import tpm-maker-bundle.pem
  holdfast roots list
`,
    )
  roots
    .command('import')
    .argument('<file...>', 'certificates, PEM or DER')
    .description('Trust the makers in these files; prints what was imported.')
    .addOption(configOption())
    .action(async (files: string[], options: { config: string }) => {
      for (const root of importRoots(readVerifierConfig(options.config).enrolment.roots, files)) {
        process.stdout.write(`${root.fingerprint}  ${root.kind}  ${root.subject}\n`)
      }
    })
  roots
    .command('list')
    .description('List what is trusted now.')
    .addOption(formatOption())
    .addOption(configOption())
    .action(async (options: { config: string; format: 'table' | 'json' }) => {
      const all = listRoots(readVerifierConfig(options.config).enrolment.roots)
      if (options.format === 'json') {
        process.stdout.write(`${JSON.stringify(all, null, 2)}\n`)
        return
      }
      const rows = all.map((r) => [r.fingerprint.slice(0, 16), r.kind, r.notAfter.slice(0, 10), r.subject])
      process.stdout.write(formatTable(['SHA-256', 'KIND', 'UNTIL', 'SUBJECT'], rows))
    })
  return roots
}
