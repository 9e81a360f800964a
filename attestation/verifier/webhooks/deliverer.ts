import { setTimeout as wait } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Standing } from '../../appraisal/index.ts'
import { codeOf, messageOf } from '../../base/index.ts'
import type { NodeEvent, Store } from '../../store/index.ts'
import { webhookMessage } from './message.ts'

/** Where changes of standing are posted to. */
export interface WebhookReceiver {
  /** Also its name: how far it has come is kept under it. */
  readonly url: string
  readonly secret: Uint8Array
  /** Which new standings it wants to hear of. */
  readonly standings: ReadonlySet<Standing>
}

export interface DelivererParts {
  readonly store: Pick<Store, 'unacknowledged' | 'acknowledge' | 'node'>
  readonly verifierId: string
  readonly log: Logger
  readonly now: () => Date
  /** Between looks for new events, and the first wait after a failure; doubled with each further one. */
  readonly intervalMs?: number
}

const INTERVAL_MS = 500
const MAX_WAIT_MS = 15 * 60_000
const POST_TIMEOUT_MS = 10_000
const EVENTS_AT_ONCE = 64

/**
 * Posts every change of standing to every receiver, in order and at least once: an event counts as delivered when the receiver has
 * answered 2xx, and how far each has come is in the store. A receiver that is away is tried again for as long as it takes; it
 * holds up nobody else.
 */
export class WebhookDeliverer {
  readonly #parts: DelivererParts
  readonly #stopping = new AbortController()
  readonly #loops: Promise<void>[]

  constructor(receivers: readonly WebhookReceiver[], parts: DelivererParts) {
    this.#parts = parts
    this.#loops = receivers.map((receiver) => this.#serve(receiver))
  }

  /** Resolves when nothing is under way any more; what was not acknowledged is posted again by the next verifier. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await Promise.all(this.#loops)
  }

  async #serve(receiver: WebhookReceiver): Promise<void> {
    const { log, intervalMs = INTERVAL_MS } = this.#parts
    const url = withoutSecrets(receiver.url)
    let failures = 0
    while (!this.#stopping.signal.aborted) {
      try {
        await this.#deliver(receiver)
        if (failures > 0) log.info({ url }, 'webhooks are acknowledged again')
        failures = 0
      } catch (err) {
        if (this.#stopping.signal.aborted) return
        failures++
        const reason = messageOf(err instanceof Error && err.cause !== undefined ? err.cause : err)
        log.warn({ url, failures, code: codeOf(err) ?? 'WEBHOOK_FAILED', reason }, 'webhook not acknowledged')
      }
      const ms = Math.min(intervalMs * 2 ** Math.min(failures, 20), MAX_WAIT_MS)
      await wait(ms, undefined, { signal: this.#stopping.signal }).catch(messageOf) // ends early when stopping
    }
  }

  async #deliver(receiver: WebhookReceiver): Promise<void> {
    const { store } = this.#parts
    const events = await store.unacknowledged(receiver.url, EVENTS_AT_ONCE)
    for (const event of events) {
      if (this.#stopping.signal.aborted) return
      if (receiver.standings.has(event.to)) await this.#post(receiver, event)
      await store.acknowledge(receiver.url, event.id)
    }
  }

  async #post(receiver: WebhookReceiver, event: NodeEvent): Promise<void> {
    const { store, verifierId, log, now } = this.#parts
    const node = await store.node(event.nodeId)
    const { headers, body } = webhookMessage(
      event,
      node ?? { attributes: {}, labels: {} },
      verifierId,
      receiver.secret,
      now(),
    )
    const response = await fetch(receiver.url, {
      method: 'POST',
      headers,
      body,
      redirect: 'error', // a signed message goes to the receiver that was named, nowhere else
      signal: AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(POST_TIMEOUT_MS)]),
    })
    await response.body?.cancel()
    if (!response.ok) throw new Error(`answered ${response.status}`)
    log.debug({ url: withoutSecrets(receiver.url), eventId: event.id }, 'webhook acknowledged')
  }
}

/** An address as it is logged: its query may be what the receiver knows its senders by. */
function withoutSecrets(url: string): string {
  const { origin, pathname } = new URL(url)
  return origin + pathname
}
