import { startAgent } from './agent.ts'
import { loadAgentConfig } from './config/index.ts'
import { makeLogger } from './logging.ts'
import { programDigest } from './program-digest.ts'
import { openTpm } from './tpm/index.ts'
import { VERSION } from './version.ts'

/**
 * Runs the agent until SIGTERM or SIGINT.
 *
 * @param configFile path of the YAML configuration
 * @throws CodedError for everything that keeps it from starting
 */
export async function runAgent(configFile: string): Promise<void> {
  const loaded = await loadAgentConfig(configFile)
  const logger = makeLogger(loaded.config.logLevel)
  const stopped = new Promise<string>((resolve) => {
    process.once('SIGTERM', resolve)
    process.once('SIGINT', resolve)
  })
  const agent = await startAgent({
    loaded,
    tpm: await openTpm({ tcti: loaded.config.tcti }),
    logger,
    version: VERSION,
    programSha256: await programDigest(process.argv[1] ?? process.execPath),
  })
  const signal = await stopped
  logger.info({ signal }, 'agent stops')
  await agent.stop()
}
