import type { Logger } from 'pino'
import {
  EAR_SUBMOD,
  earClaims,
  type NodeState,
  reasonsAgainst,
  serialiseNodeState,
  signEar,
  wantedLog,
  worstFirst,
} from '../appraisal/index.ts'
import type { Labels } from '../appraisal-policy/index.ts'
import { serialiseMachineState, wantedMachineLogs } from '../machine/index.ts'
import { decodeQuotedBody, type QuotedBody, selectionToWire } from '../protocol/index.ts'
import { isBetterTier } from '../results/index.ts'
import { StoreError, type VerdictChange } from '../store/index.ts'
import { AttestError } from '../tpm2/index.ts'
import { authoriseLaunch } from './authorise.ts'
import type { Connection } from './connection.ts'
import type { Hello } from './enrolment.ts'
import { SessionError } from './errors.ts'
import {
  appraiseNode,
  evidenceItem,
  type NodeAppraisal,
  type Quoted,
  type RegisterChoice,
  registerChoice,
  verifyEvidence,
} from './evidence.ts'
import type { NodeContext } from './node-context.ts'
import { NonceTable } from './nonces.ts'
import type { VerifierService } from './service.ts'

/** Where a policy does not say: enough that nodes which came at once do not stay together. */
export const DEFAULT_JITTER_PERCENT = 10

/** An answer to a question of before the policy was replaced is judged by the old one for this long: it was under way. */
const REPLACED_GRACE_MS = 10_000

/** Challenge and answer: the quotes of one admitted node on one connection, and what they lead to. */
export class QuoteExchange {
  readonly context: NodeContext
  readonly #registers: Pick<Hello, 'pcr' | 'banks'>
  /** Of the challenge that was sent last. */
  #choice: RegisterChoice
  /** performance.now() of when it took another one's place. */
  #chosenAtMs = 0
  readonly #connection: Connection
  readonly #service: VerifierService
  /** Each with what it was given for: a quote is held against what it was asked by. */
  readonly #nonces: NonceTable<RegisterChoice>
  readonly #log: Logger

  /** @param registers where the node's launch log is, and which banks its TPM has */
  constructor(
    context: NodeContext,
    registers: Pick<Hello, 'pcr' | 'banks'>,
    connection: Connection,
    service: VerifierService,
    log: Logger,
  ) {
    this.context = context
    this.#registers = registers
    this.#connection = connection
    this.#service = service
    this.#choice = this.#choose()
    this.#log = log
    this.#nonces = new NonceTable(service.random, () => performance.now())
  }

  /** How often the node is to prove itself, by the policy that it was last asked by. */
  period(): { readonly intervalMs: number; readonly jitterPercent: number } {
    const { intervalMs, jitterPercent } = this.#choice.policy?.attestation ?? {}
    return {
      intervalMs: intervalMs ?? this.#service.config.attestation.periodMs,
      jitterPercent: jitterPercent ?? DEFAULT_JITTER_PERCENT,
    }
  }

  /** Labels decide which policy is the node's. */
  relabel(labels: Labels): void {
    this.context.labels = labels
  }

  /** Another policy has to see the node's logs before it can say anything. @returns whether it is another */
  judgeAnew(): boolean {
    const another = !sameTerms(this.#choose(), this.#choice)
    if (another) this.challenge('periodic')
    return another
  }

  #choose(): RegisterChoice {
    const { pcr, banks } = this.#registers
    const choice = this.#service.policyFor(this.context.labels)
    return registerChoice(pcr, banks, this.#service.config.attestation.pcrs, choice)
  }

  /** Asks for a quote over a new nonce. */
  challenge(purpose: 'session' | 'periodic'): void {
    const choice = this.#choose()
    if (!sameTerms(choice, this.#choice)) {
      this.#choice = choice
      this.#chosenAtMs = performance.now()
    }
    this.#connection.send({
      t: 'challenge',
      purpose,
      nonce: this.#nonces.issue(this.#choice),
      selection: selectionToWire(this.#choice.selection),
      log: wantedLog(this.context.state),
      machineLogs: wantedMachineLogs(this.context.machine, this.#choice.policy),
    })
  }

  /**
   * Verifies a quote and answers it, after everything of this node that was begun before.
   *
   * @param frame the message's bytes, kept as evidence
   * @param proven whether a session quote has been verified on this connection
   * @throws what ends the connection: SessionError, ProtocolError, StoreError or LaunchPolicyError
   */
  async answer(quoted: Quoted, frame: Uint8Array, proven: boolean): Promise<void> {
    const { context } = this
    const body = decodeQuotedBody(quoted.body)
    const wanted = proven
      ? body.t === 'launch' || body.purpose === 'periodic'
      : body.t === 'evidence' && body.purpose === 'session'
    if (!wanted) {
      throw new SessionError(
        'SESSION_UNEXPECTED_MESSAGE',
        proven ? 'a session quote was given already' : 'a connection begins with a session quote',
      )
    }
    const choice = this.#nonces.redeem(body.nonce)
    if (choice === undefined || !this.#isUnderWay(choice)) {
      throw new SessionError(
        'NONCE_UNKNOWN',
        'the quote answers no challenge of this connection, or one that was used or is too old',
        { retry: true },
      )
    }
    if (body.t === 'launch' && !context.launchRate.take(performance.now())) {
      this.#log.warn({ code: 'LAUNCH_TOO_MANY' }, 'launch denied')
      const reasons = ['the node asks for more launches than limits.launchesPerSecond']
      const next = { nonce: this.#nonces.issue(choice), ...this.#wantedLogs(context.state) }
      this.#connection.send({ t: 'denied', id: body.id, code: 'LAUNCH_TOO_MANY', reasons, ...next })
      return
    }
    await context.exclusively(async () => {
      const binding = { verifierId: this.#service.identity.verifierId, exporter: this.#connection.exporter }
      let verified: Awaited<ReturnType<typeof verifyEvidence>>
      try {
        verified = await verifyEvidence(quoted, body, context, choice, binding)
      } catch (err) {
        // Not a word about the node: anybody can send a quote that does not verify in its name.
        throw err instanceof AttestError ? SessionError.from(err) : err
      }
      const { identity, config } = this.#service
      const terms = { config, verifierId: identity.verifierIdHex, choice, now: this.#service.now() }
      const appraisal = appraiseNode(context, verified.quote, verified.evidence, quoted.machineLogs, terms)
      const evidence = evidenceItem(frame, this.#connection.exporter)
      try {
        if (body.t === 'launch') await this.#launch(body, appraisal, evidence, choice)
        else await this.#evidence(body, appraisal, evidence, choice)
      } catch (err) {
        throw err instanceof StoreError && err.code === 'STORE_CONFLICT' ? this.#overtaken(err) : err
      }
      if (appraisal.more) return // what has not come to its end says nothing, so the node is silent still
      context.lastEvidenceMs = performance.now()
      context.lastEvidenceAt = terms.now.getTime()
    })
  }

  async #evidence(
    body: Extract<QuotedBody, { t: 'evidence' }>,
    appraisal: NodeAppraisal,
    evidence: ReturnType<typeof evidenceItem>,
    choice: RegisterChoice,
  ): Promise<void> {
    const { context } = this
    const { store, identity, config } = this.#service
    const change = this.#change(appraisal)
    await store.saveResult({
      nodeId: context.nodeId,
      generation: context.generation,
      state: serialiseNodeState(appraisal.state),
      ...this.#machineRecord(appraisal),
      ...(change !== undefined && { change }),
      evidence,
    })
    this.#keep(appraisal, appraisal.state, change)
    const ear = earClaims(appraisal.result, {
      verifierId: identity.verifierIdHex,
      nodeId: context.nodeId,
      nonce: body.nonce,
      issuedAt: this.#service.now(),
      validForS: Math.ceil(config.attestation.silentAfterMs / 1000),
      verifier: this.#service.build,
      policyIds: [policyId(choice)],
    })
    this.#connection.send({
      t: 'result',
      tier: appraisal.result.tier,
      result: await signEar(ear, identity.ticketKey.privateKey),
      findings: appraisal.result.findings.slice(0, 256).map(({ rule, tier, message }) => ({ rule, tier, message })),
      nonce: this.#nonces.issue(choice),
      ...this.#wantedLogs(context.state),
    })
    this.#stopPods(appraisal, choice)
    // a long log comes in pieces: ask for the next one now
    if (appraisal.more) this.challenge('periodic')
  }

  /** A node that has failed gets no tickets; what runs on it already is ended where its policy says so. */
  #stopPods({ result }: NodeAppraisal, choice: RegisterChoice): void {
    // by a policy that was replaced nothing is ended: the one that holds is about to be asked
    if (result.tier !== 'contraindicated' || choice !== this.#choice || choice.policy?.podsOnFailure !== 'stop') return
    const [cause] = reasonsAgainst(result.findings)
    const reason = `${cause?.rule ?? 'appraisal'}: ${cause?.message ?? 'the node has failed'}`
    this.#connection.send({ t: 'stop-pods', reason: reason.slice(0, 2048).toWellFormed() })
  }

  #isUnderWay(choice: RegisterChoice): boolean {
    return choice === this.#choice || performance.now() - this.#chosenAtMs < REPLACED_GRACE_MS
  }

  /** From where the node's logs are wanted next, by the policy that holds: part of every answer. */
  #wantedLogs(state: NodeState | undefined) {
    return {
      logOffset: wantedLog(state).offset,
      machineLogs: wantedMachineLogs(this.context.machine, this.#choice.policy),
    }
  }

  async #launch(
    body: Extract<QuotedBody, { t: 'launch' }>,
    appraisal: NodeAppraisal,
    evidence: ReturnType<typeof evidenceItem>,
    choice: RegisterChoice,
  ): Promise<void> {
    const { context } = this
    const node = await this.#service.store.node(context.nodeId)
    if (node === undefined || node.generation !== context.generation) throw this.#overtaken(undefined)
    const change = this.#change(appraisal)
    const input = {
      requestBytes: body.request,
      context,
      node,
      appraisal,
      change,
      evidence,
      machine: this.#machineRecord(appraisal),
    }
    const { answer, state, podUuid } = await authoriseLaunch(input, this.#service)
    this.#keep(appraisal, state, change)
    const next = { id: body.id, nonce: this.#nonces.issue(choice), ...this.#wantedLogs(state) }
    if (answer.outcome === 'allowed') {
      const { jti, policy } = answer.claims
      this.#log.info({ podUuid, ticketId: jti, allowedBy: policy.allowedBy }, 'launch allowed')
      this.#connection.send({ t: 'ticket', ticket: answer.ticket, ...next })
    } else {
      this.#log.info({ podUuid, code: answer.code, reasons: answer.reasons }, 'launch denied')
      this.#connection.send({ t: 'denied', code: answer.code, reasons: [...answer.reasons], ...next })
    }
    this.#stopPods(appraisal, choice)
  }

  /** @throws SessionError SESSION_TOO_MANY_MESSAGES for a node that recovers too often; the worse verdict stands then */
  #change(appraisal: NodeAppraisal): VerdictChange | undefined {
    const { context } = this
    const change = verdictChange(context, appraisal)
    if (change === undefined || !isBetterTier(appraisal.result.tier, context.tier)) return change
    if (this.#service.recoveries.take(context.nodeId, performance.now())) return change
    const message = `the verdict about this node went to and fro too often; it stays ${context.tier} for some seconds`
    throw new SessionError('SESSION_TOO_MANY_MESSAGES', message, { retry: true })
  }

  #machineRecord(appraisal: NodeAppraisal): ReturnType<typeof machineRecord> {
    const { keepEvidence = false, ...record } = machineRecord(this.context, appraisal)
    if (!keepEvidence || !this.#service.keptLogs.take(this.context.nodeId, performance.now())) return record
    return { ...record, keepEvidence }
  }

  /** After the commit: memory follows the store. */
  #keep(appraisal: NodeAppraisal, state: NodeAppraisal['state'], change: VerdictChange | undefined): void {
    this.context.state = state
    this.context.machine = appraisal.machine
    for (const { ticket, end, reason } of appraisal.ended) {
      this.#log.info({ ticketId: ticket.id, podUuid: ticket.uuid, end, reason }, 'ticket ended')
    }
    if (change === undefined) return
    this.context.tier = appraisal.result.tier
    this.context.silent = false
    const level = change.tier === 'affirming' ? 'info' : 'warn'
    const findings = reasonsAgainst(appraisal.result.findings)
    this.#log[level]({ tier: change.tier, findings, quarantine: change.quarantine }, 'verdict changed')
  }

  #overtaken(cause: unknown): SessionError {
    this.#service.forget(this.context)
    return new SessionError('NODE_CHANGED', 'an operator has acted on this node; connect again', { retry: true, cause })
  }
}

/** What of the machine's logs is stored with a result: only what is new, and with it the evidence, for a log is sent only once. */
export function machineRecord(
  context: NodeContext,
  { machine }: NodeAppraisal,
): { readonly machine?: string; readonly keepEvidence?: boolean } {
  if (machine === undefined || machine === context.machine) return {}
  const text = serialiseMachineState(machine)
  if (context.machine !== undefined && text === serialiseMachineState(context.machine)) return {}
  const boot = machine.boot?.state.wanted.firmware?.offset
  return { machine: text, keepEvidence: boot !== context.machine?.boot?.state.wanted.firmware?.offset }
}

function sameTerms(a: RegisterChoice, b: RegisterChoice): boolean {
  return a.policy?.revision === b.policy?.revision && a.unmeant === b.unmeant
}

function policyId({ policy }: RegisterChoice): string {
  return policy === undefined ? `${EAR_SUBMOD}/1` : `${policy.name}@sha256:${policy.revision}`
}

/**
 * What is worth a line of history: another tier, the beginning of a quarantine, the end of silence. While a log comes in pieces there is nothing to
 * say yet, and what was said before stands until the node counts as silent.
 */
function verdictChange(context: NodeContext, appraisal: NodeAppraisal): VerdictChange | undefined {
  const { tier, findings } = appraisal.result
  const { quarantine } = appraisal.state
  if (appraisal.more && tier !== 'contraindicated') return undefined
  const entered = quarantine !== undefined && context.state?.quarantine === undefined
  if (tier === context.tier && !entered && !context.silent) return undefined
  return {
    tier,
    findings: JSON.stringify(worstFirst(findings)),
    ...(entered && { quarantine: `${quarantine.rule}: ${quarantine.reason}` }),
  }
}
