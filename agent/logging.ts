import { type Logger, pino } from 'pino'
import type { AgentConfig } from './config/index.ts'

/** Keys whose values never reach a log, wherever they turn up. */
const SECRETS = ['token', '*.token', 'enrolmentToken', '*.enrolmentToken', 'secret', '*.secret', 'nonce', '*.nonce']

/**
 * One JSON object a line on a descriptor, written at once so that a crash loses none.
 * Stable keys: nodeId, podUuid, code, err, reason, ms.
 */
export function makeLogger(level: AgentConfig['logLevel'], fd = 2): Logger {
  return pino(
    {
      name: 'holdfast-agent',
      level,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: SECRETS, censor: '[redacted]' },
    },
    pino.destination({ fd, sync: true }),
  )
}
