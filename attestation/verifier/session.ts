import type { Logger } from 'pino'
import { type AgentMessage, NONCE_LIFETIME_MS } from '../protocol/index.ts'
import type { Connection, ConnectionHandler } from './connection.ts'
import { endorseAgain } from './endorse.ts'
import {
  type ActivationChallenge,
  beginEnrolment,
  completeEnrolment,
  endorsementTrust,
  type Hello,
  type KnownNode,
} from './enrolment.ts'
import { SessionError } from './errors.ts'
import type { Quoted } from './evidence.ts'
import { QuoteExchange } from './quote-exchange.ts'
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
  | { readonly name: 'attesting'; readonly exchange: QuoteExchange; readonly proven: boolean }
  | { readonly name: 'ended' }

/** One connection, from hello to its end. Its messages come one at a time. */
export class Session implements ConnectionHandler, LiveSession {
  readonly #connection: Connection
  readonly #service: VerifierService
  #log: Logger
  #phase: Phase = { name: 'hello' }
  #claimed: string | undefined
  #deadline: NodeJS.Timeout | undefined
  #period: NodeJS.Timeout | undefined
  /** What the timer of the period was started with, jitter aside. */
  #intervalMs = 0

  constructor(connection: Connection, service: VerifierService, log: Logger) {
    this.#connection = connection
    this.#service = service
    this.#log = log
    this.#expect(HELLO_TIMEOUT_MS, 'hello')
  }

  /** The node of this connection, once it has named itself. Proven only after its session quote. */
  get nodeId(): string | undefined {
    const phase = this.#phase
    return phase.name === 'pending'
      ? phase.known.node.nodeId
      : phase.name === 'attesting'
        ? phase.exchange.context.nodeId
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
      case 'renew':
        if (phase.name !== 'attesting' || !phase.proven) break
        phase.exchange.renew()
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
    if (this.#phase.name === 'attesting') this.#phase.exchange.end()
    this.#phase = { name: 'ended' }
    clearTimeout(this.#deadline)
    clearTimeout(this.#period)
  }

  /** Ends the connection, telling the agent why. */
  end(reason: SessionError): void {
    this.#connection.fail(reason)
  }

  endInOrder(reason: SessionError): void {
    this.#connection.failAfterAnswers(reason)
  }

  /** Something was written to the store by an operator: is this node still what it was? */
  async recheck(): Promise<void> {
    try {
      await this.#recheck()
    } catch (err) {
      this.#connection.fail(err)
    }
  }

  async recheckEndorsement(): Promise<void> {
    try {
      const node = this.nodeId === undefined ? undefined : await this.#service.store.node(this.nodeId)
      if (node !== undefined) await endorseAgain(node, this.#service.store, endorsementTrust(this.#service))
    } catch (err) {
      this.#connection.fail(err)
    }
  }

  hostChanged(hostId: string): void {
    const phase = this.#phase
    if (phase.name !== 'attesting' || !phase.proven || phase.exchange.context.endorsement?.host?.node !== hostId) return
    phase.exchange.challenge('periodic')
  }

  async #recheck(): Promise<void> {
    const phase = this.#phase
    if (phase.name !== 'pending' && phase.name !== 'attesting') return
    const nodeId = this.nodeId ?? ''
    const node = await this.#service.store.node(nodeId)
    if (phase.name === 'attesting' && node !== undefined) {
      phase.exchange.relabel(node.labels)
      this.judgeAnew()
      // it may have been its host that the act was about
      const host = phase.exchange.context.endorsement?.host
      if (host !== undefined) this.hostChanged(host.node)
    }
    const was = phase.name === 'pending' ? phase.known.node.generation : phase.exchange.context.generation
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
    const context = this.#service.context(known)
    if (context.state !== undefined && context.state.pcr !== hello.pcr) {
      throw new SessionError(
        'REGISTER_NOT_ALLOWED',
        `the node's launch log was in PCR ${context.state.pcr}, now the agent says ${hello.pcr}; if that was meant: holdfast nodes release ${node.nodeId.slice(0, 12)}`,
      )
    }
    const exchange = new QuoteExchange(context, hello, this.#connection, this.#service, this.#log)
    this.#phase = { name: 'attesting', exchange, proven: false }
    exchange.challenge('session')
    this.#expect(NONCE_LIFETIME_MS, 'the session quote')
  }

  async #quoted(phase: Extract<Phase, { name: 'attesting' }>, quoted: Quoted, frame: Uint8Array): Promise<void> {
    const { exchange, proven } = phase
    await exchange.answer(quoted, frame, proven)
    if (!this.#connection.open) return
    if (proven) {
      if (exchange.period().intervalMs < this.#intervalMs) this.#startPeriod(exchange) // a ticket is out
      return
    }
    clearTimeout(this.#deadline)
    this.#connection.proved()
    this.#phase = { ...phase, proven: true }
    this.#service.loggedIn(this, exchange.context)
    this.#startPeriod(exchange)
    this.judgeAnew() // policies and labels may have changed meanwhile
  }

  /** The next challenge after the policy's interval, give or take its jitter: a fleet that came at once need not stay together. */
  #startPeriod(exchange: QuoteExchange): void {
    const { intervalMs, jitterPercent } = exchange.period()
    this.#intervalMs = intervalMs
    clearTimeout(this.#period)
    const spread = ((2 * Math.random() - 1) * jitterPercent) / 100
    this.#period = setTimeout(
      () => {
        exchange.challenge('periodic')
        this.#startPeriod(exchange)
      },
      intervalMs * (1 + spread),
    )
  }

  /** Policies or labels were replaced: the node has to be judged by what holds now, and as often as that says. */
  judgeAnew(): void {
    const phase = this.#phase
    if (phase.name === 'attesting' && phase.proven && phase.exchange.judgeAnew()) this.#startPeriod(phase.exchange)
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
