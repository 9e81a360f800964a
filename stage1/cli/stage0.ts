import { Command } from 'commander'
import { pino } from 'pino'
import { PodError } from '../pod/index.ts'
import { installationIdentity } from './installation.ts'
import { STAGE0_UMASK } from './run.ts'
import { DEFAULT_STAGE0_SOCKET } from './stage0-protocol.ts'
import { type Stage0Event, Stage0Server } from './stage0-server.ts'

/** `holdfast stage0` */
export function command(): Command {
  return new Command('stage0')
    .description('Keep the code of holdfast run loaded: launches need not wait for Node to start.')
    .option('--socket <path>', 'where holdfast run finds it', DEFAULT_STAGE0_SOCKET)
    .addHelpText('after', EXAMPLES)
    .action(({ socket }: { socket: string }) => serve(socket))
}

const EXAMPLES = `
Optional: without it holdfast run does the same, only later. It has launches measured and authorised for root's processes, which
become the pods themselves: pods are not its children and go on without it. SIGTERM: ends when the launches in hand have.
Logs are JSON on standard error.

Examples:
  holdfast stage0 &
  holdfast run --stage0 none registry.example/busybox:1    # not with it
`

async function serve(socketPath: string): Promise<void> {
  if (process.geteuid?.() !== 0)
    throw new PodError('POD_UNSUPPORTED', 'pods are started by root', { hint: 'Use sudo.' })
  process.umask(STAGE0_UMASK)
  const stopped = new Promise<string>((resolve) => {
    process.once('SIGTERM', resolve)
    process.once('SIGINT', resolve)
  })
  const logger = pino(
    {
      name: 'holdfast-stage0',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    pino.destination({ fd: 2, sync: true }),
  )
  const tell = ({ event, ...about }: Stage0Event): void => logger.info(about, event)
  const server = await Stage0Server.listen({ socketPath, installation: installationIdentity(), tell })
  logger.info({ socketPath }, 'listens')
  logger.info({ signal: await stopped }, 'stops')
  await server.close()
}
