import { Command } from 'commander'
import { LAUNCH_SCHEMA, loadLaunchPolicies } from '../launch-policy/index.ts'
import { formatTable } from './table.ts'

/** `holdfast policy`: launch policies on this machine's disk, no verifier needed. */
export function command(): Command {
  const policy = new Command('policy').description('Check launch policies.').addHelpText(
    'after',
    `
Launch policies are *.cedar files in the directory that verifier.yaml names. Each mistake is printed with its file, line
and column; exit status 254 then. The revision is what tickets and decisions name.

Examples:
  holdfast policy check /etc/holdfast/policies && systemctl reload holdfast-verifier
  holdfast policy schema > launch.cedarschema
`,
  )
  policy
    .command('check')
    .argument('<directory>', 'directory of *.cedar files')
    .description('Check all policies of a directory and list them.')
    .action(async (directory: string) => {
      const set = loadLaunchPolicies(directory)
      const rows = set.policies.map((p) => [p.effect, p.id, `${p.file}:${p.line}`, p.description ?? ''])
      process.stdout.write(formatTable(['EFFECT', 'POLICY', 'WHERE', 'DESCRIPTION'], rows))
      process.stdout.write(`revision ${set.revision}\n`)
      if (!set.policies.some((p) => p.effect === 'permit')) {
        process.stderr.write('holdfast: note: nothing here permits anything, so no pod would start\n')
      }
    })
  policy
    .command('schema')
    .description('Print what policies can speak of.')
    .action(() => {
      process.stdout.write(LAUNCH_SCHEMA)
    })
  return policy
}
