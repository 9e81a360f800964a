import { createHmac } from 'node:crypto'
import type { NodeEvent, NodeRecord } from '../../store/index.ts'

/** A webhook as it is posted. */
export interface WebhookMessage {
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/**
 * One change of standing as a signed message: Standard Webhooks 1.0.0. The id is the same at each try, so a receiver can tell a repetition; the signature covers
 * id, time of sending and body.
 *
 * @param secret shared with the receiver
 * @param verifierId names the fleet in the id
 */
export function webhookMessage(
  event: NodeEvent,
  node: Pick<NodeRecord, 'attributes' | 'labels'>,
  verifierId: string,
  secret: Uint8Array,
  now: Date,
): WebhookMessage {
  const id = `${verifierId.slice(0, 16)}-${event.id}`
  const body = JSON.stringify({
    type: 'node.standing',
    timestamp: event.at,
    data: {
      node: event.nodeId,
      hostname: node.attributes['hostname'] ?? null,
      labels: node.labels,
      from: event.from,
      to: event.to,
      reasons: event.reasons,
    },
  })
  const seconds = Math.floor(now.getTime() / 1000).toString()
  const signature = createHmac('sha256', secret).update(`${id}.${seconds}.${body}`).digest('base64')
  return {
    headers: {
      'content-type': 'application/json',
      'user-agent': 'holdfast-verifier/1',
      'webhook-id': id,
      'webhook-timestamp': seconds,
      'webhook-signature': `v1,${signature}`,
    },
    body,
  }
}
