import { toHex } from '../base/index.ts'
import { digest } from '../crypto/index.ts'
import { type EnterRequest, enterRecord, registerSwap, type TicketSubject, ticketedEnter } from '../protocol/index.ts'
import { type Finding, finding } from './finding.ts'
import type { BootProof } from './launch-log.ts'
import type { OpenPod } from './launch-log-state.ts'
import type { NodeState } from './node-state.ts'

/** An enter request beside what the same quote has proved. */
export interface EnterInput {
  readonly request: EnterRequest
  /** The bytes that were parsed: their digest is what log and ticket name. */
  readonly bytes: Uint8Array
  readonly nodeId: string
  /** Proof by the quote that came with the request; undefined when it proved nothing. */
  readonly boot: BootProof | undefined
  /** Records sent that the quote did not reach. */
  readonly unprovenRecords: number
}

/**
 * Holds an enter request against the proven log: the pod must run, launched by exactly the request that is named, and
 * the log must end where the quote does.
 *
 * @returns one finding per rule; it may only be put to policy when all are affirming
 */
export function appraiseEnterRequest({ request, nodeId, boot, unprovenRecords }: EnterInput): readonly Finding[] {
  const node = check('request.node', request.node === nodeId, 'instance-identity', `it is of node ${request.node}`)
  if (boot === undefined)
    return [node, check('request.log', false, 'executables', 'no log of this TPM start is proven')]
  const { agent, pods } = boot.log
  const wrong = podMisfit(request, pods.get(request.pod))
  return [
    node,
    check('request.log', unprovenRecords === 0, 'executables', `${unprovenRecords} records lie behind the proven log`),
    check(
      'request.mode',
      request.mode === agent.mode,
      'configuration',
      `it says mode ${request.mode}, the log ${agent.mode}`,
    ),
    check('request.pod', wrong === undefined, 'executables', `pod ${request.pod} ${wrong}`),
  ]
}

/** What a ticket for this request says; the caller adds the times (ticketClaims) and signs. */
export function enterTicketSubject(
  input: EnterInput,
  state: NodeState & { readonly boot: BootProof },
  ticket: Pick<TicketSubject, 'policy'> & {
    readonly verifierId: string
    /** 16 random bytes, hex. */
    readonly id: string
    readonly akName: string
  },
): TicketSubject {
  const { resetCount, restartCount } = state.clock
  const named = { iss: ticket.verifierId, jti: ticket.id, policy: ticket.policy }
  const requestSha256 = toHex(digest('sha256', input.bytes))
  const record = enterRecord(input.request, requestSha256, ticketedEnter(named))
  return {
    ...named,
    pod: input.request.pod,
    request: requestSha256,
    sub: input.nodeId,
    cnf: { akName: ticket.akName },
    resetCount,
    restartCount,
    register: { pcr: state.pcr, banks: registerSwap(state.boot.replay.banks, record) },
  }
}

function podMisfit(request: EnterRequest, pod: OpenPod | undefined): string | undefined {
  if (pod === undefined || !pod.launched) return 'does not run'
  return pod.request === request.launch ? undefined : 'was launched by another request than the one that is named'
}

function check(rule: string, ok: boolean, claim: Finding['claim'], wrong: string): Finding {
  return ok ? finding(rule, 'affirming', claim, 'as measured') : finding(rule, 'contraindicated', claim, wrong)
}
