import { Command } from 'commander'
import { convertCommand } from './evidence-convert.ts'
import { showCommand } from './evidence-show.ts'
import { verifyCommand } from './evidence-verify.ts'

/**
 * `holdfast evidence`: what one machine proves, in a file.
 * @param collect the one subcommand that needs an agent
 */
export function evidenceCommand(collect: Command): Command {
  return new Command('evidence')
    .description("Collect, show, verify and convert a machine's evidence, without a verifier.")
    .addCommand(collect)
    .addCommand(showCommand())
    .addCommand(verifyCommand())
    .addCommand(convertCommand())
}
