import { toHex } from '../base/index.ts'
import { NONCE_BYTES, NONCE_LIFETIME_MS } from '../protocol/index.ts'

/** A challenge in hand, the one just sent, and one to spare for a launch that crosses a challenge on its way. */
const MAX_OUTSTANDING = 4

/** The nonces of one connection: each is good once, here, and not for long. With each is kept what it was given for. */
export class NonceTable<T> {
  readonly #given = new Map<string, { readonly expiry: number; readonly what: T }>()
  readonly #random: (size: number) => Uint8Array
  readonly #nowMs: () => number

  /** @param nowMs a clock that never goes back */
  constructor(random: (size: number) => Uint8Array, nowMs: () => number) {
    this.#random = random
    this.#nowMs = nowMs
  }

  /** A new nonce. When too many are out, the oldest is no longer good. */
  issue(what: T): Uint8Array {
    const nonce = this.#random(NONCE_BYTES)
    for (const oldest of this.#given.keys()) {
      if (this.#given.size < MAX_OUTSTANDING) break
      this.#given.delete(oldest)
    }
    this.#given.set(toHex(nonce), { expiry: this.#nowMs() + NONCE_LIFETIME_MS, what })
    return nonce
  }

  /** @returns what it was given for; undefined where it was not given to this connection, was used, or is too old. It is used up in any case */
  redeem(nonce: Uint8Array): T | undefined {
    const key = toHex(nonce)
    const given = this.#given.get(key)
    this.#given.delete(key)
    return given !== undefined && this.#nowMs() < given.expiry ? given.what : undefined
  }
}
