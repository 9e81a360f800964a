import type { Logger } from 'pino'
import {
  type AppraisalResult,
  appraisalResult,
  finding,
  type NodeState,
  reasonsAgainst,
  serialiseNodeState,
  wantedLog,
} from '../appraisal/index.ts'
import type { Labels } from '../appraisal-policy/index.ts'
import { wantedMachineLogs } from '../machine/index.ts'
import { decodeQuotedBody, MAX_SESSION_LOG_BYTES, type QuotedBody, selectionToWire } from '../protocol/index.ts'
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
import type { RoundResult } from './metrics.ts'
import type { NodeContext } from './node-context.ts'
import { NonceTable } from './nonces.ts'
import { hostFinding } from './pod-host.ts'
import { machineRecord, verdictChange } from './records.ts'
import { resultMessage } from './result-message.ts'
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
  /** From where the agent on this connection was last told to send its log. */
  #told: ReturnType<typeof wantedLog>
  /** Of the challenge that was answered last: what the agent quotes without being asked. */
  #answered: RegisterChoice
  /** Each with what it was given for: a quote is held against what it was asked by. */
  readonly #nonces: NonceTable<RegisterChoice>
  /** A challenge that waits until the node may send logs again. */
  #later: NodeJS.Timeout | undefined
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
    this.#answered = this.#choice
    this.#log = log
    this.#nonces = new NonceTable(service.random, () => performance.now())
    this.#told = wantedLog(this.context.state)
  }

  /** How often the node is to prove itself, by the policy that it was last asked by; a ticket that is out needs a quote before its deadline. */
  period(): { readonly intervalMs: number; readonly jitterPercent: number } {
    const { attestation, launch } = this.#service.config
    const { intervalMs = attestation.periodMs, jitterPercent = DEFAULT_JITTER_PERCENT } =
      this.#choice.policy?.attestation ?? {}
    const waits = this.context.state?.tickets.some((t) => !t.overdue) ?? false
    const ticketMs = (launch.ticketSeconds * 1000 + launch.deadlineMs) / 2
    return { intervalMs: waits ? Math.min(intervalMs, ticketMs) : intervalMs, jitterPercent }
  }

  /** The connection is gone. */
  end(): void {
    clearTimeout(this.#later)
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

  /** Another nonce for what the agent may ask next. It proves nothing, and nothing is kept of it. */
  renew(): void {
    this.#service.budgets.message(this.context.nodeId, 0, performance.now())
    this.#connection.send({ t: 'renewed', nonce: this.#nonces.issue(this.#answered) })
  }

  /** Asks for a quote over a new nonce: now, or where the node has sent more logs than its share, as soon as it may send more. */
  challenge(purpose: 'session' | 'periodic'): void {
    clearTimeout(this.#later)
    const waitMs = this.#service.budgets.logsWaitMs(this.context.nodeId, performance.now())
    if (waitMs > 0 && purpose === 'periodic') {
      this.#later = setTimeout(() => this.challenge(purpose), waitMs)
      return
    }
    const choice = this.#choose()
    if (!sameTerms(choice, this.#choice)) {
      this.#choice = choice
      this.#chosenAtMs = performance.now()
    }
    this.#told = wantedLog(this.context.state)
    this.#connection.send({
      t: 'challenge',
      purpose,
      nonce: this.#nonces.issue(this.#choice),
      selection: selectionToWire(this.#choice.selection),
      log: this.#told,
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
    const body = decodeQuotedBody(quoted.body)
    const beganMs = performance.now()
    let result: RoundResult = 'refused'
    try {
      result = await this.#answer(body, quoted, frame, proven)
    } finally {
      const purpose = body.t === 'launch' ? 'launch' : body.purpose
      this.#service.metrics.round(purpose, result, (performance.now() - beganMs) / 1000)
    }
  }

  async #answer(body: QuotedBody, quoted: Quoted, frame: Uint8Array, proven: boolean): Promise<RoundResult> {
    const { context } = this
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
    this.#answered = choice
    // before the quote is looked at, but not before anything of this connection was proved: that would be for anybody to use up
    const { budgets } = this.#service
    const count = (): void => budgets.message(context.nodeId, logBytes(body, quoted), performance.now())
    if (proven) count()
    if (body.t === 'launch') {
      const denial = budgets.launch(context.nodeId, frame.length + body.request.length, performance.now())
      if (denial !== undefined) {
        this.#deny(body.id, denial.code, denial.reason, choice)
        return 'refused'
      }
    }
    return await context.exclusively(async () => {
      const binding = { verifierId: this.#service.identity.verifierId, exporter: this.#connection.exporter }
      let verified: Awaited<ReturnType<typeof verifyEvidence>>
      try {
        verified = await verifyEvidence(quoted, body, context, choice, binding)
      } catch (err) {
        // Not a word about the node: anybody can send a quote that does not verify in its name.
        throw err instanceof AttestError ? SessionError.from(err) : err
      }
      if (!proven) count()
      if (!proven && isCut(body, quoted)) {
        await this.#greet(body.nonce, choice)
        return 'incomplete'
      }
      if (!sameLog(this.#told, wantedLog(context.state))) {
        const message = 'this node was heard on another connection since it was asked here; connect again'
        throw new SessionError('NODE_CHANGED', message, { retry: true })
      }
      const { identity, config } = this.#service
      const podOf = context.endorsement?.host
      const host = podOf === undefined ? [] : [await hostFinding(podOf, this.#service.store)]
      const terms = { config, verifierId: identity.verifierIdHex, choice, host, now: this.#service.now() }
      const appraisal = appraiseNode(context, verified.quote, verified.evidence, quoted.machineLogs, terms)
      const evidence = evidenceItem(frame, this.#connection.exporter)
      try {
        if (body.t === 'launch') await this.#launch(body, appraisal, evidence, choice)
        else await this.#evidence(body, appraisal, evidence, choice)
      } catch (err) {
        throw err instanceof StoreError && err.code === 'STORE_CONFLICT' ? this.#overtaken(err) : err
      }
      if (appraisal.more) return 'incomplete' // what has not come to its end says nothing, so the node is silent still
      context.lastEvidenceMs = performance.now()
      context.lastEvidenceAt = terms.now.getTime()
      return appraisal.result.tier
    })
  }

  async #evidence(
    body: Extract<QuotedBody, { t: 'evidence' }>,
    appraisal: NodeAppraisal,
    evidence: ReturnType<typeof evidenceItem>,
    choice: RegisterChoice,
  ): Promise<void> {
    const { context } = this
    const { store } = this.#service
    const change = this.#change(appraisal, evidence.bytes.length)
    await store.saveResult({
      node: context.version,
      state: serialiseNodeState(appraisal.state),
      ...this.#machineRecord(appraisal, change === undefined ? evidence.bytes.length : 0),
      ...(change !== undefined && { change }),
      evidence,
    })
    this.#keep(appraisal, appraisal.state, change)
    await this.#sendResult(body.nonce, appraisal.result, choice)
    this.#stopPods(appraisal, choice)
    // a long log comes in pieces: ask for the next one now
    if (appraisal.more) this.challenge('periodic')
  }

  /** A login whose logs did not fit into it says who is there and nothing else; the logs are asked for now that it is known. */
  async #greet(nonce: Uint8Array, choice: RegisterChoice): Promise<void> {
    const message = `the logs of this node are longer than the ${MAX_SESSION_LOG_BYTES} bytes that a login carries; they are asked for at once`
    const result = appraisalResult([finding('node.login', 'none', 'instance-identity', message)])
    await this.#sendResult(nonce, result, choice)
    this.challenge('periodic')
  }

  async #sendResult(nonce: Uint8Array, result: AppraisalResult, choice: RegisterChoice): Promise<void> {
    const of = { nodeId: this.context.nodeId, nonce, choice }
    const next = { nonce: this.#nonces.issue(choice), ...this.#wantedLogs(this.context.state) }
    this.#connection.send(await resultMessage(result, of, next, this.#service))
  }

  /** A launch that is not looked at, and of which nothing is kept. */
  #deny(id: number, code: string, reason: string, choice: RegisterChoice): void {
    this.#log.warn({ code, reason }, 'launch denied')
    this.#service.metrics.launch('denied', code)
    const next = { nonce: this.#nonces.issue(choice), ...this.#wantedLogs(this.context.state) }
    this.#connection.send({ t: 'denied', id, code, reasons: [reason], ...next })
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
    this.#told = wantedLog(state)
    return {
      logOffset: this.#told.offset,
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
    if (node === undefined || !context.isOf(node)) throw this.#overtaken(undefined)
    const change = this.#change(appraisal, 0)
    const input = {
      requestBytes: body.request,
      context,
      node,
      appraisal,
      change,
      evidence,
      machine: this.#machineRecord(appraisal, 0),
    }
    const { answer, state, podUuid } = await authoriseLaunch(input, this.#service)
    this.#keep(appraisal, state, change)
    const next = { id: body.id, nonce: this.#nonces.issue(choice), ...this.#wantedLogs(state) }
    if (answer.outcome === 'allowed') {
      const { jti, policy } = answer.claims
      this.#log.info({ podUuid, ticketId: jti, allowedBy: policy.allowedBy }, 'launch allowed')
      this.#service.metrics.launch('allowed')
      this.#connection.send({ t: 'ticket', ticket: answer.ticket, ...next })
    } else {
      this.#log.info({ podUuid, code: answer.code, reasons: answer.reasons }, 'launch denied')
      this.#service.metrics.launch('denied', answer.code)
      this.#connection.send({ t: 'denied', code: answer.code, reasons: [...answer.reasons], ...next })
    }
    this.#stopPods(appraisal, choice)
    // as after evidence: what is missing is asked for, and the next launch need not wait for the interval
    if (appraisal.more) this.challenge('periodic')
  }

  /**
   * @param keptBytes what is kept of it; 0 where that is counted already
   * @throws SessionError NODE_OVER_BUDGET for a node that recovers too often; the worse verdict stands then
   */
  #change(appraisal: NodeAppraisal, keptBytes: number): VerdictChange | undefined {
    const { context } = this
    const { budgets } = this.#service
    const change = verdictChange(context, appraisal)
    if (change === undefined) return undefined
    const better = isBetterTier(appraisal.result.tier, context.tier)
    if (better) budgets.recovered(context.nodeId, keptBytes, performance.now())
    else budgets.worsened(context.nodeId, keptBytes, performance.now())
    return change
  }

  /** @param keptBytes as above */
  #machineRecord(appraisal: NodeAppraisal, keptBytes: number): ReturnType<typeof machineRecord> {
    const { keepEvidence = false, ...record } = machineRecord(this.context, appraisal)
    if (!keepEvidence || !this.#service.budgets.keep(this.context.nodeId, keptBytes, performance.now())) return record
    return { ...record, keepEvidence }
  }

  /** After the commit: memory follows the store. */
  #keep(appraisal: NodeAppraisal, state: NodeAppraisal['state'], change: VerdictChange | undefined): void {
    this.context.revision++
    this.context.state = state
    this.context.machine = appraisal.machine
    for (const { ticket, end, reason } of appraisal.ended) {
      this.#log.info({ ticketId: ticket.id, podUuid: ticket.uuid, end, reason }, 'ticket ended')
    }
    if (change === undefined) return
    this.context.tier = appraisal.result.tier
    this.context.silent = false
    this.#service.metrics.verdictChanged(change.tier)
    this.#service.hostChanged(this.context.nodeId)
    const level = change.tier === 'affirming' ? 'info' : 'warn'
    const findings = reasonsAgainst(appraisal.result.findings)
    this.#log[level]({ tier: change.tier, findings, quarantine: change.quarantine }, 'verdict changed')
  }

  #overtaken(cause: unknown): SessionError {
    this.#service.forget(this.context)
    return new SessionError('NODE_CHANGED', 'an operator or another verifier has changed this node; connect again', {
      retry: true,
      cause,
    })
  }
}

function sameLog(a: ReturnType<typeof wantedLog>, b: ReturnType<typeof wantedLog>): boolean {
  return a.resetCount === b.resetCount && a.restartCount === b.restartCount && a.offset === b.offset
}

/** What of a message is replayed, or judged by its size. */
function logBytes(body: QuotedBody, { machineLogs }: Quoted): number {
  const request = body.t === 'launch' ? body.request.length : 0
  return machineLogs.reduce((sum, { bytes }) => sum + bytes.length, body.log.bytes.length + request)
}

/** Whether a log goes on behind what came of it. */
function isCut(body: QuotedBody, { machineLogs }: Quoted): boolean {
  return body.log.more || machineLogs.some(({ more }) => more)
}

function sameTerms(a: RegisterChoice, b: RegisterChoice): boolean {
  return a.policy?.revision === b.policy?.revision && a.unmeant === b.unmeant
}
