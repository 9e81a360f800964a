export { WebhookDeliverer, type WebhookReceiver } from './deliverer.ts'
export { webhookMessage } from './message.ts'
export { readReceivers } from './receivers.ts'
