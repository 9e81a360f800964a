import { Command } from 'commander'
import { AgentCommandError } from '../hints.ts'
import { DEFAULT_AGENT_SOCKET } from '../local-api/index.ts'
import { getLocal } from './local-client.ts'

/** `holdfast agent`: runs the agent; `holdfast agent status` asks the one that runs. */
export function command(): Command {
  const agent = new Command('agent')
    .description('Run the node agent: it owns the TPM and the launch log and asks the verifier')
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
    .description('Print what the running agent says of itself, as JSON')
    .option('--socket <path>', 'socket of the agent', DEFAULT_AGENT_SOCKET)
    .action(async ({ socket }: { socket: string }) => {
      try {
        await getLocal(socket, '/v1/status', (piece) => process.stdout.write(piece))
      } catch (err) {
        throw new AgentCommandError(err)
      }
    })
  return agent
}
