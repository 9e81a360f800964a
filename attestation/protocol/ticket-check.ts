import { toHex } from '../base/index.ts'
import type { HashAlgorithm } from '../crypto/index.ts'
import {
  BANK_ORDER,
  type BankRegisters,
  banksOf,
  type EnterRecord,
  encodeLaunchLogContent,
  extendWithContent,
  type LaunchRecord,
} from '../event-log/index.ts'
import type { RegisterSwap, TicketClaims } from './ticket.ts'
import { checkTicketForPod, type ExpectedPod, expectSame } from './ticket-pod.ts'

/** What the agent can hold against a ticket. */
export interface ExpectedLaunch extends ExpectedPod {
  readonly akName: string
  readonly resetCount: number
  readonly restartCount: number
  readonly pcr: number
  /** The register of every allocated bank as the TPM has it now. */
  readonly registers: BankRegisters
  readonly mode: LaunchRecord['mode']
}

/**
 * The launch record that a ticket authorises. Verifier and agent both make it with this: its digest leads from `before`
 * to `after`. It holds the ticket's id and not its digest, since the ticket names the register after this record.
 */
export function ticketedLaunchRecord(
  ticket: Pick<TicketClaims, 'jti' | 'iss' | 'pod' | 'request'> & { readonly policy: { readonly revision: string } },
  mode: LaunchRecord['mode'],
): LaunchRecord {
  return {
    record: 'launch',
    uuid: ticket.pod,
    request: ticket.request,
    ticket: ticket.jti,
    verifierKey: ticket.iss,
    policy: ticket.policy.revision,
    mode,
  }
}

/** The compare-and-swap of a ticket: every bank's register now, and after `record` has been extended. */
export function registerSwap(
  registers: BankRegisters,
  record: LaunchRecord | EnterRecord,
): TicketClaims['register']['banks'] {
  const after = extendWithContent(registers, encodeLaunchLogContent(record))
  const swap: { [bank in HashAlgorithm]?: RegisterSwap } = {}
  for (const bank of banksOf(registers)) {
    // banksOf gives those with a value, and extendWithContent keeps the banks
    swap[bank] = { before: toHex(registers[bank] as Uint8Array), after: toHex(after[bank] as Uint8Array) }
  }
  return swap
}

/** What a ticket says of the decision, for the record of an enter that it authorises (enterRecord). */
export function ticketedEnter(
  ticket: Pick<TicketClaims, 'jti' | 'iss'> & { readonly policy: { readonly revision: string } },
): Pick<EnterRecord, 'ticket' | 'verifierKey' | 'policy'> {
  return { ticket: ticket.jti, verifierKey: ticket.iss, policy: ticket.policy.revision }
}

/**
 * All of it, just before the launch record is extended: nothing may land between this check and the extend.
 * @param claims as verifyTicket returned them
 * @returns the launch record to extend
 * @throws TicketError with a code per mismatch
 */
export function checkTicket(claims: TicketClaims, expected: ExpectedLaunch): LaunchRecord {
  const record = ticketedLaunchRecord(claims, expected.mode)
  checkTicketFor(claims, expected, record)
  return record
}

/** As checkTicket, for whichever record the ticket has to lead to. @throws TicketError with a code per mismatch */
export function checkTicketFor(
  claims: TicketClaims,
  expected: Omit<ExpectedLaunch, 'mode'>,
  record: LaunchRecord | EnterRecord,
): void {
  checkTicketForPod(claims, expected)
  expectSame('TICKET_WRONG_AK', 'AK', claims.cnf.akName, expected.akName)
  expectSame('TICKET_TPM_RESTARTED', 'resetCount', claims.resetCount, expected.resetCount)
  expectSame('TICKET_TPM_RESTARTED', 'restartCount', claims.restartCount, expected.restartCount)
  expectSame('TICKET_WRONG_PCR', 'PCR', claims.register.pcr, expected.pcr)

  const { banks } = claims.register
  const named = BANK_ORDER.filter((bank) => banks[bank] !== undefined)
  expectSame('TICKET_WRONG_BANKS', 'banks', named.join(', '), banksOf(expected.registers).join(', '))
  const wanted = registerSwap(expected.registers, record)
  for (const bank of named) {
    expectSame('TICKET_REGISTER_MOVED', `${bank} register`, banks[bank]?.before, wanted[bank]?.before)
  }
  for (const bank of named) {
    expectSame('TICKET_WRONG_AFTER', `${bank} register after the launch`, banks[bank]?.after, wanted[bank]?.after)
  }
}
