import { type BankRegisters, type BankValues, type LaunchLogContent, toBankValues } from '../event-log/index.ts'
import type { TicketClaims } from '../protocol/index.ts'
import type { ClockInfo } from '../tpm2/index.ts'

/**
 * A ticket that was handed out and whose end has not been seen. `overdue` is set once the deadline has passed without
 * proof of anything: the launch may be running unmeasured.
 */
export interface PendingTicket {
  readonly id: string
  readonly uuid: string
  readonly request: string
  readonly before: BankValues
  readonly after: BankValues
  readonly resetCount: number
  readonly restartCount: number
  /** Milliseconds since 1970: by then a quote must have proved the launch record, or another one in its place. */
  readonly deadlineMs: number
  readonly overdue: boolean
}

/** How a ticket ended: used as it said, or dead because something else happened first. */
export interface TicketEnd {
  readonly ticket: PendingTicket
  readonly end: 'proven' | 'proven-late' | 'dead'
  readonly reason: string
}

/** @param graceMs time after the ticket's expiry for the quote that proves it */
export function pendingTicket(claims: TicketClaims, graceMs: number): PendingTicket {
  const before: { [bank: string]: string } = {}
  const after: { [bank: string]: string } = {}
  for (const [bank, swap] of Object.entries(claims.register.banks)) {
    before[bank] = swap.before
    after[bank] = swap.after
  }
  return {
    id: claims.jti,
    uuid: claims.pod,
    request: claims.request,
    before,
    after,
    resetCount: claims.resetCount,
    restartCount: claims.restartCount,
    deadlineMs: claims.exp * 1000 + graceMs,
    overdue: false,
  }
}

/** One record that a quote has proved, with the register on either side of it. */
export interface ProvenStep {
  readonly before: BankRegisters
  readonly after: BankRegisters
  readonly content: LaunchLogContent
}

/**
 * Lets one proven record decide the tickets it bears on: the record at a ticket's `before` is either the launch that
 * the ticket names, or it landed first and the ticket is dead.
 *
 * @returns what is still pending, and which tickets ended with this record
 */
export function settleTickets(
  pending: readonly PendingTicket[],
  step: ProvenStep,
): { readonly pending: readonly PendingTicket[]; readonly ended: readonly TicketEnd[] } {
  if (pending.length === 0) return { pending, ended: [] }
  const before = toBankValues(step.before)
  const after = toBankValues(step.after)
  const left: PendingTicket[] = []
  const ended: TicketEnd[] = []
  for (const ticket of pending) {
    const { content } = step
    if (!sameValues(ticket.before, before)) left.push(ticket)
    else if (
      (content.record === 'launch' || content.record === 'enter') &&
      content.ticket === ticket.id &&
      sameValues(ticket.after, after)
    ) {
      // `after` is reached by the very bytes the ticket foresaw, so every field of the record is as authorised
      ended.push({
        ticket,
        end: ticket.overdue ? 'proven-late' : 'proven',
        reason: `its ${content.record} record is proven`,
      })
    } else {
      ended.push({ ticket, end: 'dead', reason: `a ${content.record} record landed first` })
    }
  }
  return { pending: left, ended }
}

/**
 * Tickets of another TPM start are dead: their `before` is gone for good. So are those of an AK that is gone, for each names its own.
 *
 * @param clock undefined where the AK is gone
 */
export function voidTickets(
  pending: readonly PendingTicket[],
  clock: Pick<ClockInfo, 'resetCount' | 'restartCount'> | undefined,
): { readonly pending: readonly PendingTicket[]; readonly ended: readonly TicketEnd[] } {
  const current = (t: PendingTicket) => t.resetCount === clock?.resetCount && t.restartCount === clock.restartCount
  return {
    pending: pending.filter(current),
    ended: pending
      .filter((t) => !current(t))
      .map((ticket) => ({
        ticket,
        end: 'dead',
        reason: clock === undefined ? 'the TPM was cleared' : 'the TPM was started again',
      })),
  }
}

/** Marks tickets whose deadline has passed without proof of their use or death. */
export function markOverdue(
  pending: readonly PendingTicket[],
  nowMs: number,
): { readonly pending: readonly PendingTicket[]; readonly overdue: readonly PendingTicket[] } {
  const overdue: PendingTicket[] = []
  const marked = pending.map((ticket) => {
    if (ticket.overdue || nowMs < ticket.deadlineMs) return ticket
    const late = { ...ticket, overdue: true }
    overdue.push(late)
    return late
  })
  return { pending: marked, overdue }
}

function sameValues(a: BankValues, b: BankValues): boolean {
  return a.sha1 === b.sha1 && a.sha256 === b.sha256 && a.sha384 === b.sha384 && a.sha512 === b.sha512
}
