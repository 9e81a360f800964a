import type { Logger } from 'pino'
import { EAR_SUBMOD, earClaims, type Finding, serialiseNodeState, signEar, wantedLog } from '../appraisal/index.ts'
import {
  type AgentMessage,
  decodeQuotedBody,
  NONCE_LIFETIME_MS,
  type QuotedBody,
  selectionToWire,
} from '../protocol/index.ts'
import { StoreError, type VerdictChange } from '../store/index.ts'
import { AttestError } from '../tpm2/index.ts'
import { authoriseLaunch } from './authorise.ts'
import type { Connection, ConnectionHandler } from './connection.ts'
import { type ActivationChallenge, beginEnrolment, completeEnrolment, type Hello, type KnownNode } from './enrolment.ts'
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
import type { LiveSession, VerifierService } from './service.ts'

const HELLO_TIMEOUT_MS = 10_000
/** A hardware TPM takes seconds for ActivateCredential, and longer when it is busy. */
const ACTIVATION_TIMEOUT_MS = 60_000

type Phase =
  | { readonly name: 'hello' }
  | { readonly name: 'activating'; readonly challenge: ActivationChallenge }
  /** Not admitted. It may wait. */
  | { readonly name: 'pending'; readonly hello: Hello; readonly known: KnownNode }
  /** `proven` says whether a session quote has been verified on this connection: its login. */
  | {
      readonly name: 'attesting'
      readonly context: NodeContext
      readonly choice: RegisterChoice
      readonly proven: boolean
    }
  | { readonly name: 'ended' }

/** One connection, from hello to its end. Its messages come one at a time. */
export class Session implements ConnectionHandler, LiveSession {
  readonly #connection: Connection
  readonly #service: VerifierService
  readonly #nonces: NonceTable
  #log: Logger
  #phase: Phase = { name: 'hello' }
  #claimed: string | undefined
  #deadline: NodeJS.Timeout | undefined
  #period: NodeJS.Timeout | undefined

  constructor(connection: Connection, service: VerifierService, log: Logger) {
    this.#connection = connection
    this.#service = service
    this.#log = log
    this.#nonces = new NonceTable(service.random, () => performance.now())
    this.#expect(HELLO_TIMEOUT_MS, 'hello')
  }

  /** The node of this connection, once it has named itself. Proven only after its session quote. */
  get nodeId(): string | undefined {
    const phase = this.#phase
    return phase.name === 'pending'
      ? phase.known.node.nodeId
      : phase.name === 'attesting'
        ? phase.context.nodeId
        : undefined
  }

  async message(message: AgentMessage, frame: Uint8Array): Promise<void> {
    const phase = this.#phase
    switch (message.t) {
      case 'hello':
        if (phase.name !== 'hello') break
        await this.#hello(message)
        return
      case 'activation':
        if (phase.name !== 'activating') break
        await this.#activation(phase.challenge, message.proof)
        return
      case 'quoted':
        if (phase.name !== 'attesting') break
        await this.#quoted(phase, message, frame)
        return
      default:
        message satisfies never
    }
    throw new SessionError('SESSION_UNEXPECTED_MESSAGE', `'${message.t}' has no place in phase ${phase.name}`)
  }

  closed(): void {
    if (this.#claimed !== undefined) this.#service.releaseConnection(this.#claimed)
    this.#claimed = undefined
    this.#service.sessionEnded(this, this.nodeId)
    this.#phase = { name: 'ended' }
    clearTimeout(this.#deadline)
    clearInterval(this.#period)
  }

  /** Ends the connection, telling the agent why. */
  end(reason: SessionError): void {
    this.#connection.fail(reason)
  }

  /** Something was written to the store by an operator: is this node still what it was? */
  async recheck(): Promise<void> {
    try {
      await this.#recheck()
    } catch (err) {
      this.#connection.fail(err)
    }
  }

  async #recheck(): Promise<void> {
    const phase = this.#phase
    if (phase.name !== 'pending' && phase.name !== 'attesting') return
    const nodeId = this.nodeId ?? ''
    const node = await this.#service.store.node(nodeId)
    const was = phase.name === 'pending' ? phase.known.node.generation : phase.context.generation
    if (node === undefined || node.generation === was || this.#phase !== phase) return
    if (node.admission === 'refused') {
      this.end(new SessionError('NODE_REFUSED', `node ${nodeId} was refused by an operator`))
    } else if (phase.name === 'pending' && node.ak?.name === phase.known.node.ak?.name) {
      this.#enter(phase.hello, { node, ak: phase.known.ak })
    } else {
      this.end(new SessionError('NODE_CHANGED', 'an operator has acted on this node; connect again', { retry: true }))
    }
  }

  async #hello(hello: Hello): Promise<void> {
    const begun = await beginEnrolment(hello, this.#connection.exporter, this.#service)
    if (this.#phase.name === 'ended') return // the peer went away meanwhile
    this.#claim('message' in begun ? begun.nodeId : begun.node.nodeId)
    if ('message' in begun) {
      this.#phase = { name: 'activating', challenge: begun }
      this.#connection.send(begun.message)
      this.#expect(ACTIVATION_TIMEOUT_MS, 'activation')
      return
    }
    this.#enter(hello, begun)
  }

  /** Anybody can say hello in a node's name, which is public: a few connections each, so that nobody holds them all. */
  #claim(nodeId: string): void {
    if (!this.#service.claimConnection(nodeId)) {
      throw new SessionError('SESSION_TOO_MANY_CONNECTIONS', `too many connections in the name of node ${nodeId}`, {
        retry: true,
      })
    }
    this.#claimed = nodeId
  }

  async #activation(challenge: ActivationChallenge, proof: Uint8Array): Promise<void> {
    const known = await completeEnrolment(challenge, proof, this.#service)
    this.#log.info(
      { nodeId: known.node.nodeId, akName: known.node.ak?.name, admission: known.node.admission },
      'attestation key bound to node',
    )
    this.#enter(challenge.hello, known)
  }

  /** Says how the node stands; an admitted one is challenged at once. */
  #enter(hello: Hello, known: KnownNode): void {
    if (this.#phase.name === 'ended') return // the peer went away meanwhile
    const { node } = known
    this.#log = this.#log.child({ nodeId: node.nodeId })
    clearTimeout(this.#deadline)
    const admitted = node.admission === 'admitted'
    this.#connection.send({
      t: 'status',
      nodeId: node.nodeId,
      admission: node.admission,
      // anybody may say hello in a waiting node's name, and the CA is not to vouch for one that nobody has let in
      ...(admitted && node.ak !== undefined && { akCertificate: node.ak.certificate }),
      message: admitted ? 'admitted' : `waits for an operator: holdfast nodes admit ${node.nodeId.slice(0, 12)}`,
    })
    if (!admitted) {
      this.#phase = { name: 'pending', hello, known }
      this.#log.info({ hostname: hello.hostname }, 'node waits to be admitted')
      return
    }
    this.#connection.admit()
    const context = this.#service.context(known)
    if (context.state !== undefined && context.state.pcr !== hello.pcr) {
      throw new SessionError(
        'REGISTER_NOT_ALLOWED',
        `the node's launch log was in PCR ${context.state.pcr}, now the agent says ${hello.pcr}; if that was meant: holdfast nodes release ${node.nodeId.slice(0, 12)}`,
      )
    }
    const choice = registerChoice(hello.pcr, hello.banks, this.#service.config.attestation.pcrs)
    this.#phase = { name: 'attesting', context, choice, proven: false }
    this.#challenge(context, choice, 'session')
    this.#expect(NONCE_LIFETIME_MS, 'the session quote')
  }

  #challenge(context: NodeContext, choice: RegisterChoice, purpose: 'session' | 'periodic'): void {
    this.#connection.send({
      t: 'challenge',
      purpose,
      nonce: this.#nonces.issue(),
      selection: selectionToWire(choice.selection),
      log: wantedLog(context.state),
    })
  }

  async #quoted(phase: Extract<Phase, { name: 'attesting' }>, quoted: Quoted, frame: Uint8Array): Promise<void> {
    const { context, choice, proven } = phase
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
    if (!this.#nonces.redeem(body.nonce)) {
      throw new SessionError(
        'NONCE_UNKNOWN',
        'the quote answers no challenge of this connection, or one that was used or is too old',
        { retry: true },
      )
    }
    if (body.t === 'launch' && !context.launchRate.take(performance.now())) {
      this.#log.warn({ code: 'LAUNCH_TOO_MANY' }, 'launch denied')
      const reasons = ['the node asks for more launches than limits.launchesPerSecond']
      const next = { nonce: this.#nonces.issue(), logOffset: wantedLog(context.state).offset }
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
      const appraisal = appraiseNode(
        context,
        verified.quote,
        verified.evidence,
        config,
        identity.verifierIdHex,
        this.#service.now(),
      )
      const evidence = evidenceItem(frame, this.#connection.exporter)
      try {
        if (body.t === 'launch') await this.#launch(context, body, appraisal, evidence)
        else await this.#evidence(context, choice, body, appraisal, evidence)
      } catch (err) {
        throw err instanceof StoreError && err.code === 'STORE_CONFLICT' ? this.#overtaken(context, err) : err
      }
      context.lastEvidenceMs = performance.now()
    })
    if (proven || !this.#connection.open) return
    clearTimeout(this.#deadline)
    this.#phase = { ...phase, proven: true }
    this.#service.loggedIn(this, context)
    this.#startPeriod(context, choice)
  }

  async #evidence(
    context: NodeContext,
    choice: RegisterChoice,
    body: Extract<QuotedBody, { t: 'evidence' }>,
    appraisal: NodeAppraisal,
    evidence: ReturnType<typeof evidenceItem>,
  ): Promise<void> {
    const { store, identity, config } = this.#service
    const change = verdictChange(context, appraisal)
    await store.saveResult({
      nodeId: context.nodeId,
      generation: context.generation,
      state: serialiseNodeState(appraisal.state),
      ...(change !== undefined && { change }),
      evidence,
    })
    this.#keep(context, appraisal, appraisal.state, change)
    const ear = earClaims(appraisal.result, {
      verifierId: identity.verifierIdHex,
      nodeId: context.nodeId,
      nonce: body.nonce,
      issuedAt: this.#service.now(),
      validForS: Math.ceil(config.attestation.silentAfterMs / 1000),
      verifier: this.#service.build,
      policyIds: [`${EAR_SUBMOD}/1`],
    })
    this.#connection.send({
      t: 'result',
      tier: appraisal.result.tier,
      result: await signEar(ear, identity.ticketKey.privateKey),
      findings: appraisal.result.findings.slice(0, 256).map(({ rule, tier, message }) => ({ rule, tier, message })),
      nonce: this.#nonces.issue(),
      logOffset: wantedLog(context.state).offset,
    })
    // a long log comes in pieces: ask for the next one now
    if (context.state?.ahead !== undefined) this.#challenge(context, choice, 'periodic')
  }

  async #launch(
    context: NodeContext,
    body: Extract<QuotedBody, { t: 'launch' }>,
    appraisal: NodeAppraisal,
    evidence: ReturnType<typeof evidenceItem>,
  ): Promise<void> {
    const node = await this.#service.store.node(context.nodeId)
    if (node === undefined || node.generation !== context.generation) throw this.#overtaken(context, undefined)
    const change = verdictChange(context, appraisal)
    const input = { requestBytes: body.request, context, node, appraisal, change, evidence }
    const { answer, state, podUuid } = await authoriseLaunch(input, this.#service)
    this.#keep(context, appraisal, state, change)
    const next = { id: body.id, nonce: this.#nonces.issue(), logOffset: wantedLog(state).offset }
    if (answer.outcome === 'allowed') {
      const { jti, policy } = answer.claims
      this.#log.info({ podUuid, ticketId: jti, allowedBy: policy.allowedBy }, 'launch allowed')
      this.#connection.send({ t: 'ticket', ticket: answer.ticket, ...next })
    } else {
      this.#log.info({ podUuid, code: answer.code, reasons: answer.reasons }, 'launch denied')
      this.#connection.send({ t: 'denied', code: answer.code, reasons: [...answer.reasons], ...next })
    }
  }

  /** After the commit: memory follows the store. */
  #keep(
    context: NodeContext,
    appraisal: NodeAppraisal,
    state: NodeAppraisal['state'],
    change: VerdictChange | undefined,
  ): void {
    context.state = state
    context.tier = appraisal.result.tier
    for (const { ticket, end, reason } of appraisal.ended) {
      this.#log.info({ ticketId: ticket.id, podUuid: ticket.uuid, end, reason }, 'ticket ended')
    }
    if (change === undefined) return
    const level = change.tier === 'affirming' ? 'info' : 'warn'
    const findings = appraisal.result.findings.filter((f) => f.tier !== 'affirming')
    this.#log[level]({ tier: change.tier, findings, quarantine: change.quarantine }, 'verdict changed')
  }

  #overtaken(context: NodeContext, cause: unknown): SessionError {
    this.#service.forget(context)
    return new SessionError('NODE_CHANGED', 'an operator has acted on this node; connect again', { retry: true, cause })
  }

  #startPeriod(context: NodeContext, choice: RegisterChoice): void {
    const { periodMs } = this.#service.config.attestation
    this.#period = setInterval(() => this.#challenge(context, choice, 'periodic'), periodMs)
  }

  #expect(timeoutMs: number, what: string): void {
    clearTimeout(this.#deadline)
    this.#deadline = setTimeout(() => {
      this.end(
        new SessionError('SESSION_TIMEOUT', `${what} did not come within ${timeoutMs / 1000} s`, { retry: true }),
      )
    }, timeoutMs)
  }
}

/** What is worth a line of history: another tier, or the beginning of a quarantine. */
function verdictChange(context: NodeContext, appraisal: NodeAppraisal): VerdictChange | undefined {
  const { tier, findings } = appraisal.result
  const { quarantine } = appraisal.state
  const entered = quarantine !== undefined && context.state?.quarantine === undefined
  if (tier === context.tier && !entered) return undefined
  return {
    tier,
    findings: JSON.stringify(findings.filter((f: Finding) => f.tier !== 'affirming')),
    ...(entered && { quarantine: `${quarantine.rule}: ${quarantine.reason}` }),
  }
}
