import { Command, Option } from 'commander'
import { policyJsonSchema } from '../appraisal-policy/index.ts'
import { LAUNCH_SCHEMA } from '../launch-policy/index.ts'
import { DEFAULT_CONFIG, formatOption } from './options.ts'
import { checkPolicies, type DiffOptions, diffPolicyFiles } from './policy-check.ts'
import { type CreateArguments, createPolicyFile } from './policy-create.ts'
import { type TestOptions, testPolicy } from './policy-test.ts'

const CREATE_HELP = `
Sources can be combined: what any of them has is good. A unified kernel image gives its digest, its sections as
systemd-stub measures them (of each profile), the command line, and what PCR 11 comes to, all in SHA-256; so a policy
for a kernel can be there before the first machine boots it. What could not be taken over is said, and stands at the
head of the policy. Nothing vouches for these files: see to it that they are the ones you mean.

Examples:
  holdfast policy create --from-image /boot/EFI/Linux/debian-6.12.efi --mode enforce --out kernel.yaml
  holdfast policy create --from-evidence good.evidence --from-image vmlinuz-6.12 grubx64.efi --out workers.yaml
  holdfast policy create --from-corim maker.corim --from-keylime runtime_policy.json --out workers.yaml
`

/** `holdfast policy`: policies on this machine's disk; no verifier needs to run. */
export function command(): Command {
  const policy = new Command('policy').description('Check, make, compare and try policies.').addHelpText(
    'after',
    `
Launch policies (*.cedar) say which pods may start on which nodes; appraisal policies (*.yaml) say what a node must prove of how it
booted and what it runs. Each mistake is printed with its file, line and column; exit status 254 then. The revision of a policy names
exactly its content; results, tickets and decisions name it.

Examples:
  holdfast policy check /etc/holdfast/policies && systemctl reload holdfast-verifier
  holdfast policy create --from-evidence good-1.evidence good-2.evidence --out /etc/holdfast/appraisal/workers.yaml
  holdfast policy diff old.yaml new.yaml
  holdfast policy test new.yaml --against store
`,
  )
  policy
    .command('check')
    .argument('<path>', 'a directory of policies (*.cedar, *.yaml), or one *.yaml')
    .addOption(formatOption())
    .description('Check policies and list them.')
    .action(checkPolicies)
  policy
    .command('schema')
    .argument('[kind]', 'launch: what launch policies can speak of; appraisal: a JSON schema for editors', 'launch')
    .description('Print the form of policies.')
    .action((kind: string) => {
      if (kind !== 'launch' && kind !== 'appraisal')
        policy.error(`there are 'launch' and 'appraisal' schemas, no '${kind}'`)
      process.stdout.write(kind === 'appraisal' ? policyJsonSchema() : LAUNCH_SCHEMA)
    })
  policy
    .command('create')
    .option('--from-evidence <file...>', 'what `holdfast evidence collect` wrote, of machines of one kind')
    .option('--from-image <file...>', 'EFI images that are to be booted: unified kernel images, kernels, boot loaders')
    .option('--from-corim <file...>', 'reference values of PCRs: a CoRIM, whose signature is not checked')
    .option('--from-keylime <file>', 'files: a Keylime runtime policy or allowlist')
    .option('--name <name>', 'name of the policy (default: from-evidence or from-reference-values)')
    .option('--owner <owner>', 'who answers for it', 'nobody yet')
    .addOption(new Option('--mode <mode>', 'of its rules').choices(['observe', 'warn', 'enforce']).default('observe'))
    .option('--out <file>', 'write it there, and beside it the list of files, and keys; default: print it')
    .description('Make an appraisal policy of machines as they are, or of what is to be rolled out.')
    .addHelpText('after', CREATE_HELP)
    .action((options: CreateArguments) => createPolicyFile(options))
  policy
    .command('diff')
    .argument('<old>', 'an appraisal policy')
    .argument('<new>', 'another')
    .addOption(formatOption())
    .option('--refuse-looser', 'exit with status 1 if anything becomes looser')
    .description('Compare two appraisal policies by what they mean.')
    .action((before: string, after: string, options: DiffOptions) => diffPolicyFiles(before, after, options))
  policy
    .command('test')
    .argument('<policy>', 'an appraisal policy, or a directory of them')
    .requiredOption('--against <what...>', 'evidence files, a node (ID, prefix or host name), or `store`: all nodes')
    .option('--before <policy>', 'compare with this one (default: the policies of the verifier, if there are any)')
    .option('--config <file>', "the verifier's configuration", DEFAULT_CONFIG)
    .addOption(formatOption())
    .description('Say what an appraisal policy would change: exit status 1 if any verdict becomes worse.')
    .action((path: string, options: TestOptions) => testPolicy(path, options))
  return policy
}
