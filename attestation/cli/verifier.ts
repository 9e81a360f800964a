import { Command } from 'commander'
import { loadLaunchPolicies } from '../launch-policy/index.ts'
import { readRootStore, readVerifierConfig, runVerifier } from '../verifier/index.ts'
import { configOption } from './options.ts'

/** `holdfast verifier`: the service. */
export function command(): Command {
  return new Command('verifier')
    .description('Run the verifier: enrols nodes, challenges them, appraises what they run, authorises launches.')
    .addOption(configOption())
    .option('--check', 'read configuration, policies and roots, say what is wrong with them, and end')
    .addHelpText(
      'after',
      `
First start: makes its keys and trust.json in dataDirectory. Copy trust.json to every node; agents recognise the verifier
by it. SIGHUP: reads policies and roots again, and keeps the old ones if the new have a mistake. SIGTERM: ends in order.
Logs are JSON on standard error.

Examples:
  holdfast verifier --config /etc/holdfast/verifier.yaml
  holdfast verifier --check
`,
    )
    .action(async (options: { config: string; check?: true }) => {
      const config = readVerifierConfig(options.config)
      if (options.check) {
        const policies = loadLaunchPolicies(config.policies)
        const roots = readRootStore(config.enrolment.roots)
        process.stdout.write(`${options.config}: in order\n`)
        process.stdout.write(
          `${config.policies}: ${policies.policies.length} policies, revision ${policies.revision}\n`,
        )
        process.stdout.write(`${config.enrolment.roots}: roots of TPM makers: ${roots.anchorFingerprints.size}\n`)
        return
      }
      await runVerifier(config)
    })
}
