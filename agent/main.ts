import { startAgent } from './agent.ts'
import { loadAgentConfig } from './config/index.ts'
import { makeLogger } from './logging.ts'
import { programDigest } from './program-digest.ts'
import { TpmClient } from './tpm/index.ts'
import { VERSION } from './version.ts'

/**
 * Runs the agent until SIGTERM or SIGINT, or until only another one could go on; that is said by the exit status, for whoever starts it again.
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
  const entry = process.argv[1] ?? ''
  const agent = await startAgent({
    loaded,
    tpm: new TpmClient({
      tcti: loaded.config.tcti,
      // This program once more, started the same way.
      command: { file: process.execPath, args: [...process.execArgv, entry, '__tpm-process'] },
    }),
    logger,
    version: VERSION,
    programSha256: await programDigest(entry),
  })
  const ended = await Promise.race([stopped, agent.failed])
  if (typeof ended === 'string') logger.info({ signal: ended }, 'agent stops')
  else {
    logger.fatal({ code: ended.code, reason: ended.message }, 'agent stops')
    process.exitCode = 1
  }
  await agent.stop()
}
