import { Command } from 'commander'
import { AgentCommandError } from '../hints.ts'
import { DEFAULT_AGENT_SOCKET } from '../local-api/index.ts'
import { getLocalJson } from './local-client.ts'

const EXAMPLES = `
The configuration is commented: config/agent.yaml. First start: makes the attestation key in the TPM, enrols at the verifier,
and logs its node ID, which the verifier's operator admits (holdfast nodes admit NODE). SIGTERM: ends in order; pods go on.
Logs are JSON on standard error.

Examples:
  holdfast agent --config /etc/holdfast/agent.yaml
  holdfast agent status | jq -r '.nodeId, .uplink.state'
`

/** `holdfast agent`: runs the agent; `holdfast agent status` asks the one that runs. */
export function command(): Command {
  const agent = new Command('agent')
    .description('Run the node agent: it owns the TPM and the launch log and asks the verifier.')
    .addHelpText('after', EXAMPLES)
    .option('--config <file>', 'configuration', '/etc/holdfast/agent.yaml')
    .action(async ({ config }: { config: string }) => {
      try {
        await (await import('../main.ts')).runAgent(config)
      } catch (err) {
        throw new AgentCommandError(err)
      }
    })
  agent
    .command('status')
    .description('Print what the running agent says of itself, as JSON.')
    .option('--socket <path>', 'socket of the agent', DEFAULT_AGENT_SOCKET)
    .action(async ({ socket }: { socket: string }) => {
      try {
        process.stdout.write(`${JSON.stringify(await getLocalJson(socket, '/v1/status'), undefined, 2)}\n`)
      } catch (err) {
        throw new AgentCommandError(err)
      }
    })
  return agent
}
