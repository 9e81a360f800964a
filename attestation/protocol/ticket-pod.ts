import type { TicketClaims } from './ticket.ts'
import { TicketError, type TicketErrorCode } from './ticket-error.ts'

// Apart from ticket-check.ts because stage0 loads this on the way of every launch, and nothing of the launch log.

/** What stage0 can hold against a ticket: it sees no register. */
export interface ExpectedPod {
  readonly nodeId: string
  readonly podUuid: string
  /** SHA-256 of the launch request's bytes, hex. */
  readonly requestSha256: string
}

/**
 * stage0's share: the ticket is for this node, pod and request.
 * @throws TicketError TICKET_WRONG_NODE, TICKET_WRONG_POD, TICKET_WRONG_REQUEST
 */
export function checkTicketForPod(claims: TicketClaims, expected: ExpectedPod): void {
  expectSame('TICKET_WRONG_NODE', 'node', claims.sub, expected.nodeId)
  expectSame('TICKET_WRONG_POD', 'pod', claims.pod, expected.podUuid)
  expectSame('TICKET_WRONG_REQUEST', 'launch request', claims.request, expected.requestSha256)
}

/** @throws TicketError with `code` when what the ticket says is not what is so here */
export function expectSame<T extends string | number | undefined>(
  code: TicketErrorCode,
  what: string,
  ticket: T,
  here: T,
): void {
  if (ticket !== here) throw new TicketError(code, `${what}: the ticket says ${ticket}, here it is ${here}`)
}
