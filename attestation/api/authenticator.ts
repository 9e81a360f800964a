import { timingSafeEqual } from 'node:crypto'
import type { Logger } from 'pino'
import { findApiToken, noteApiTokenUse, type Store } from '../store/index.ts'
import { isRole, type Principal } from './permissions.ts'
import { apiTokenDigest, isApiToken } from './token.ts'

/** Tells who presents a credential. */
export interface Authenticator {
  /**
   * @param credential what follows `Bearer` in the header Authorization
   * @returns undefined for everything that is not good now; why is nobody's business
   */
  authenticate(credential: string): Promise<Principal | undefined>
}

const HOUR_MS = 3_600_000

/** Tokens of the store. Each request asks anew, so that a revoked one is refused at once. */
export class TokenAuthenticator implements Authenticator {
  readonly #store: Store
  readonly #now: () => Date
  readonly #log: Logger

  constructor(store: Store, now: () => Date, log: Logger) {
    this.#store = store
    this.#now = now
    this.#log = log
  }

  async authenticate(credential: string): Promise<Principal | undefined> {
    if (!isApiToken(credential)) return undefined
    const sha256 = apiTokenDigest(credential)
    const token = await findApiToken(this.#store, sha256)
    if (token === undefined || !timingSafeEqual(Buffer.from(token.sha256), Buffer.from(sha256))) return undefined
    const nowMs = this.#now().getTime()
    // written so that a time that is none refuses
    if (token.revokedAt !== undefined || !(Date.parse(token.expiresAt) > nowMs) || !isRole(token.role)) return undefined
    const hour = new Date(nowMs - (nowMs % HOUR_MS)).toISOString()
    if (token.lastUsedAt !== hour) await this.#note(token.name, hour)
    return { name: `token ${token.name}`, role: token.role, labels: token.labels }
  }

  /** That it was used is for people; a full disk does not keep them from reading. */
  async #note(name: string, hour: string): Promise<void> {
    try {
      await noteApiTokenUse(this.#store, name, hour)
    } catch (err) {
      this.#log.warn({ err, token: name }, 'the use of an API token could not be kept')
    }
  }
}
