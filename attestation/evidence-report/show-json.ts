import { type TimelineEvent, toBankValues } from '../event-log/index.ts'
import { printableJson } from './paint.ts'
import type { EventOptions, ShownEvidence } from './shown.ts'

/**
 * One JSON object, in pieces; `events` is made while it is read:
 *
 * `{"v": 1, "detected", "kind", "sizeBytes", "quote": {"state": "verified" | "refused" | "absent", "extraData"?},
 *  "summary": [{"section", "what", "text", "proof"?}],
 *  "registers": [{"register", "events"?, "state", "why", "banks": [{"bank", "quoted"?, "replayed"?}]}],
 *  "events": [{"source", "index", "register": {"kind", "index"} | null, "type", "text", "digests": {BANK: HEX}, "proof", "why"}]}`
 *
 * Proofs are `data`, `digest`, `not-quoted`, `not-yet`, `refuted`, `not-extended`. Digests are lowercase hex.
 */
export function* showJson(shown: ShownEvidence, options: EventOptions): Generator<string> {
  const { kind, detected, sizeBytes, quote, summary, registers } = shown
  const head = printableJson({ v: 1, detected, kind, sizeBytes, quote, summary, registers })
  yield `${head.slice(0, -1)},"events":[`
  let separator = '\n'
  for (const told of shown.events(options)) {
    yield `${separator}${printableJson(eventJson(told, shown.registerUnknown))}`
    separator = ',\n'
  }
  yield '\n]}\n'
}

function eventJson({ event, proof, why }: TimelineEvent, registerUnknown: boolean): unknown {
  const { source, index, register, type, text, digests } = event
  const { kind, index: number } = register
  return {
    ...{ source, index, register: registerUnknown ? null : { kind, index: number }, type, text },
    ...{ digests: toBankValues(digests), proof, why },
  }
}
