import { toHex } from '../base/index.ts'
import { NONCE_BYTES, NONCE_LIFETIME_MS } from '../protocol/index.ts'

/** A challenge in hand, the one just sent, and one to spare for a launch that crosses a challenge on its way. */
const MAX_OUTSTANDING = 4

/** The nonces of one connection: each is good once, here, and not for long. */
export class NonceTable {
  readonly #expiry = new Map<string, number>()
  readonly #random: (size: number) => Uint8Array
  readonly #nowMs: () => number

  /** @param nowMs a clock that never goes back */
  constructor(random: (size: number) => Uint8Array, nowMs: () => number) {
    this.#random = random
    this.#nowMs = nowMs
  }

  /** A new nonce. When too many are out, the oldest is no longer good. */
  issue(): Uint8Array {
    const nonce = this.#random(NONCE_BYTES)
    for (const oldest of this.#expiry.keys()) {
      if (this.#expiry.size < MAX_OUTSTANDING) break
      this.#expiry.delete(oldest)
    }
    this.#expiry.set(toHex(nonce), this.#nowMs() + NONCE_LIFETIME_MS)
    return nonce
  }

  /** @returns whether it was given to this connection, has not been used, and is not too old; it is used up in any case */
  redeem(nonce: Uint8Array): boolean {
    const key = toHex(nonce)
    const expiry = this.#expiry.get(key)
    this.#expiry.delete(key)
    return expiry !== undefined && this.#nowMs() < expiry
  }
}
