import { readFileSync } from 'node:fs'
import { messageOf, utf8 } from '../../base/index.ts'
import { type VerifierConfig, VerifierError } from '../config/index.ts'
import type { WebhookReceiver } from './deliverer.ts'

/** A shorter secret could be guessed from one signed message. */
const MIN_SECRET_BYTES = 16

/**
 * The configured receivers with their secrets: the file's text without white space at its end.
 * @throws VerifierError VERIFIER_CONFIG_UNREADABLE, VERIFIER_CONFIG_INVALID
 */
export function readReceivers(config: Pick<VerifierConfig, 'webhooks'>): WebhookReceiver[] {
  return config.webhooks.map(({ url, secretFile, standings }) => {
    let secret: Uint8Array
    try {
      secret = utf8(readFileSync(secretFile, 'utf8').trimEnd())
    } catch (cause) {
      const why = `webhook secret ${secretFile}: ${messageOf(cause)}`
      throw new VerifierError('VERIFIER_CONFIG_UNREADABLE', why, { cause })
    }
    if (secret.length < MIN_SECRET_BYTES) {
      const why = `webhook secret ${secretFile} has ${secret.length} bytes; make one with: openssl rand -base64 32`
      throw new VerifierError('VERIFIER_CONFIG_INVALID', why)
    }
    return { url, secret, standings }
  })
}
