import { execFile } from 'node:child_process'
import { isIPv4 } from 'node:net'
import path from 'node:path'
import { promisify } from 'node:util'
import { Command } from 'commander'
import { pino } from 'pino'
import { codeOf, messageOf, UsageError } from '../../attestation/base/index.ts'
import { METADATA_ADDRESS, METADATA_PORT, MetadataServer, metadataServiceKey } from '../metadata/index.ts'
import { PodError } from '../pod/index.ts'
import { DEFAULT_DIR } from './installation.ts'

interface ServiceOptions {
  readonly dir: string
  readonly listen?: string
}

/** `holdfast metadata-service` */
export function command(): Command {
  return new Command('metadata-service')
    .description('Tell pods who they are, and sign for them: the App Container metadata service.')
    .option('--listen <address:port>', `where, instead of ${METADATA_ADDRESS}:${METADATA_PORT}, to which pods are sent`)
    .option('--dir <directory>', 'images and pods', DEFAULT_DIR)
    .addHelpText('after', EXAMPLES)
    .action((options: ServiceOptions) => serve(options))
}

const EXAMPLES = `
Optional: pods that were started with --mds-register find it at $AC_METADATA_URL. The URL holds the pod's secret; with it the pod
asks for its manifest, UUID, annotations and images, and has texts signed (HMAC-SHA-512) by a key that hangs on the launch as it
was measured. Other pods of this machine have the signature verified. It keeps nothing in memory: start it again at any time.

${METADATA_ADDRESS} is added to the interface lo while it runs. Pods need a network to reach it: --net=default or host.
Logs are JSON on standard error.

Examples:
  holdfast metadata-service &
  holdfast run --net=default --mds-register registry.example/busybox:1 -- \\
    sh -c 'wget -qO- --header "Metadata-Flavor: AppContainer" $AC_METADATA_URL/acMetadata/v1/pod/uuid'
`

const run = promisify(execFile)

async function serve(options: ServiceOptions): Promise<void> {
  if (process.geteuid?.() !== 0)
    throw new PodError('POD_UNSUPPORTED', "pods' directories are read by root", { hint: 'Use sudo.' })
  const { address, port } = options.listen === undefined ? DEFAULT : parseListen(options.listen)
  const logger = pino(
    {
      name: 'holdfast-metadata',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    pino.destination({ fd: 2, sync: true }),
  )
  const stopped = new Promise<string>((resolve) => {
    process.once('SIGTERM', resolve)
    process.once('SIGINT', resolve)
  })
  const dir = path.resolve(options.dir)
  const serviceKey = metadataServiceKey(dir)
  const added = address === METADATA_ADDRESS && (await addAddress(address))
  try {
    const server = await MetadataServer.listen({
      dir,
      serviceKey,
      address,
      port,
      tell: ({ err, ...about }) => {
        if (err === undefined) logger.info(about, 'answered')
        else logger.error({ ...about, code: codeOf(err) ?? 'INTERNAL', message: messageOf(err) }, 'failed')
      },
    })
    logger.info({ address, port: server.port }, 'listens')
    logger.info({ signal: await stopped }, 'stops')
    await server.close()
  } finally {
    if (added) await run('ip', ['address', 'del', `${address}/32`, 'dev', 'lo'])
  }
}

const DEFAULT = { address: METADATA_ADDRESS, port: METADATA_PORT }

function parseListen(text: string): typeof DEFAULT {
  const colon = text.lastIndexOf(':')
  const [address, port] = [text.slice(0, colon), Number(text.slice(colon + 1))]
  if (isIPv4(address) && /^[0-9]{1,5}$/.test(text.slice(colon + 1)) && port <= 65535) return { address, port }
  throw new UsageError(`--listen ${text}: wanted an IPv4 address and a port, such as 127.0.0.1:${METADATA_PORT}`)
}

/** @returns whether it was not there before: only then it is ours to take away */
async function addAddress(address: string): Promise<boolean> {
  const { stdout } = await ip('address', 'show', 'dev', 'lo', 'to', address)
  if (stdout.trim() !== '') return false
  await ip('address', 'add', `${address}/32`, 'dev', 'lo')
  return true
}

async function ip(...args: readonly string[]): Promise<{ stdout: string }> {
  try {
    return await run('ip', [...args])
  } catch (cause) {
    throw new PodError('POD_PROGRAM_MISSING', `ip ${args.join(' ')}: ${messageOf(cause)}`, {
      cause,
      hint: 'Install iproute2; the address is added by root, with CAP_NET_ADMIN.',
    })
  }
}
