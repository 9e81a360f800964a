import { performance } from 'node:perf_hooks'
import { fromHex } from '../base/index.ts'
import type { LaunchLogContent } from '../event-log/index.ts'
import {
  type AgentMessage,
  activationProof,
  decodeVerifierMessage,
  encodeMessage,
  pcrValuesToWire,
  type QuotedBody,
  quoteBinding,
  quotePurpose,
  selectionFromWire,
  type VerifierMessage,
} from '../protocol/index.ts'
import { nodeIdOf } from '../tpm2/index.ts'
import { type Behaviour, DESERTS } from './behaviour.ts'
import { LOG_PCR, NodeLog } from './node-log.ts'
import type { SoftTpm } from './soft-tpm.ts'

type MessageOf<T extends VerifierMessage['t']> = Extract<VerifierMessage, { t: T }>
type Tier = MessageOf<'result'>['tier']

/** More than a connection may have waiting, and than it may send in a second. */
const FLOOD_MESSAGES = 400
const MAX_UINT32 = 0xffffffff

/** What the shell does for a node that has a connection. */
export interface NodeLink {
  /** RFC 9266 channel binding of the connection, 32 bytes. */
  readonly exporter: Uint8Array
  send(frame: Uint8Array): void
  /** Runs `work` after that time, unless the connection has ended by then. */
  later(delayMs: number, work: () => void): void
}

/** What becomes of nodes, told as it happens. */
export interface NodeWatcher {
  enrolled(node: SimulatedNode): void
  /** @param latencyMs from the quote that was sent to its result */
  result(node: SimulatedNode, tier: Tier, latencyMs: number, isFalse: boolean): void
  /** The verifier ends the connection. */
  refused(node: SimulatedNode, code: string, isFalse: boolean): void
}

export interface NodeIdentity {
  readonly tpm: SoftTpm
  readonly ekCertificate?: () => Uint8Array
  readonly token?: string
  readonly hostname: string
}

/** How a node stands, by what the verifier has told it. */
export type Seen =
  | { readonly by: 'nothing' }
  | { readonly by: 'status'; readonly admission: 'pending' | 'refused' }
  | { readonly by: 'result'; readonly tier: Tier }
  | { readonly by: 'refusal'; readonly code: string }

/** One simulated machine: TPM, launch log and agent. It behaves until it has been trusted once, and then as it is meant to. */
export class SimulatedNode {
  readonly nodeId: string
  readonly behaviour: Behaviour
  readonly #identity: NodeIdentity
  readonly #verifierId: string
  readonly #slowMs: number
  readonly #watcher: NodeWatcher
  #log: NodeLog
  #link: NodeLink | undefined
  #sentAtMs = 0
  #proved = false
  #misbehaved = false
  #enrolled = false
  #seen: Seen = { by: 'nothing' }

  /** @param slowMs how late a slow node answers */
  constructor(
    identity: NodeIdentity,
    behaviour: Behaviour,
    terms: { readonly verifierId: string; readonly slowMs: number },
    watcher: NodeWatcher,
  ) {
    this.#identity = identity
    this.behaviour = behaviour
    this.#verifierId = terms.verifierId
    this.#slowMs = terms.slowMs
    this.#watcher = watcher
    this.nodeId = nodeIdOf(identity.tpm.ekPublic)
    this.#log = new NodeLog(identity.tpm, terms.verifierId)
  }

  get seen(): Seen {
    return this.#seen
  }

  /** Whether it has nothing more to say to the verifier: it was sent away for good, or is silent. */
  get done(): boolean {
    return this.#seen.by === 'refusal' || (this.#misbehaved && this.behaviour === 'silent')
  }

  /** Whether the verifier has come to the verdict on it that it deserves. */
  get deserved(): boolean {
    const desert = DESERTS[this.behaviour]
    const tier = this.#seen.by === 'result' ? this.#seen.tier : undefined
    switch (desert.verdict) {
      case 'trusted':
        return tier === 'affirming' && (this.behaviour === 'healthy' || this.#misbehaved)
      case 'contraindicated':
        return this.#misbehaved && tier === 'contraindicated'
      case 'refused':
        return this.#misbehaved && this.#seen.by === 'refusal' && desert.codes.includes(this.#seen.code)
      case 'unheard':
        return this.#misbehaved
      default:
        return desert satisfies never
    }
  }

  /** A connection is there. */
  connected(link: NodeLink): void {
    this.#link = link
    const { tpm, ekCertificate, token, hostname } = this.#identity
    this.#send({
      t: 'hello',
      ...{ agent: 'holdfast-simulate', hostname, ekPublic: tpm.ekPublic, ekChain: [], akPublic: tpm.ak.public },
      ...{ pcr: LOG_PCR, banks: [...tpm.banks], mode: 'enforce' },
      ...(ekCertificate !== undefined && { ekCertificate: ekCertificate() }),
      ...(token !== undefined && { token }),
    })
  }

  /** @throws ProtocolError when the frame is no verifier's */
  received(frame: Uint8Array): void {
    const message = decodeVerifierMessage(frame)
    switch (message.t) {
      case 'activate': {
        const { ak } = this.#identity.tpm
        const exporter = this.#link?.exporter ?? new Uint8Array(0)
        this.#send({ t: 'activation', proof: activationProof(this.#identity.tpm.activate(message), exporter, ak.name) })
        return
      }
      case 'status':
        this.#status(message)
        return
      case 'challenge':
        this.#challenged(message)
        return
      case 'result':
        this.#result(message)
        return
      case 'error':
        this.#refused(message)
        return
      default: // tickets, nonces and orders to end pods: it asked for none, and has none
    }
  }

  /** The connection is gone. @param forGood whether the same would be refused again, by the close code */
  ended(forGood: boolean): void {
    this.#link = undefined
    if (!forGood && this.#seen.by === 'refusal' && !this.deserved) this.#seen = { by: 'nothing' }
  }

  #status({ admission }: MessageOf<'status'>): void {
    if (admission !== 'admitted') {
      this.#seen = { by: 'status', admission }
      return
    }
    if (!this.#enrolled) this.#watcher.enrolled(this)
    this.#enrolled = true
  }

  #challenged(challenge: MessageOf<'challenge'>): void {
    if (this.#proved && challenge.purpose === 'periodic' && this.#misbehaves(challenge)) return
    this.#answer(challenge)
  }

  /** @returns whether the challenge is dealt with */
  #misbehaves(challenge: MessageOf<'challenge'>): boolean {
    const before = this.#misbehaved
    this.#misbehaved = true
    switch (this.behaviour) {
      case 'healthy':
        return false
      case 'silent':
        return true
      case 'slow':
        this.#link?.later(this.#slowMs, () => this.#answer(challenge))
        return true
      case 'flood':
        for (let i = 0; i < FLOOD_MESSAGES; i++) this.#send({ t: 'renew' })
        return true
      case 'wrong-nonce':
        this.#answer(
          challenge,
          challenge.nonce.map((byte) => byte ^ 0xff),
        )
        return true
      case 'log-fork':
        if (!before) this.#log.fork(something(1), something(2))
        return false
      case 'reset-replay':
        if (!before) this.#replayReset()
        return false
      default:
        return this.behaviour satisfies never
    }
  }

  /** The TPM says what it said one reset ago, registers and all. */
  #replayReset(): void {
    const { tpm } = this.#identity
    tpm.clock = { ...tpm.clock, resetCount: tpm.clock.resetCount - 1 }
    tpm.start()
    this.#log = new NodeLog(tpm, this.#verifierId)
  }

  /** @param quotedNonce what the quote is over, where that is another nonce than the challenge's */
  #answer(challenge: MessageOf<'challenge'>, quotedNonce: Uint8Array = challenge.nonce): void {
    const link = this.#link
    if (link === undefined) return
    const { tpm } = this.#identity
    const selection = selectionFromWire(challenge.selection)
    const log = this.#logPiece(challenge)
    const body: QuotedBody = {
      t: 'evidence',
      purpose: challenge.purpose,
      nonce: challenge.nonce,
      pcrs: pcrValuesToWire(tpm.values(selection)),
      log,
    }
    const bytes = encodeMessage(body)
    const binding = quoteBinding(quotePurpose(body), fromHex(this.#verifierId), quotedNonce, link.exporter, bytes)
    this.#sentAtMs = performance.now()
    this.#send({ t: 'quoted', body: bytes, ...tpm.quote(binding, selection), machineLogs: [] })
  }

  /** What is new in the log since the verifier saw it, and one more record with each answer. */
  #logPiece({ log: known }: MessageOf<'challenge'>): QuotedBody['log'] {
    const { tpm } = this.#identity
    const sameStart = (): boolean =>
      known.resetCount === tpm.clock.resetCount && known.restartCount === tpm.clock.restartCount
    if (!this.#misbehaved || this.behaviour === 'slow' || this.behaviour === 'healthy') {
      // a verifier that has lost its store asks for what is not here any more: the machine starts anew
      if (this.#log.since(sameStart() ? known.offset : 0) === undefined) this.#reboot()
      this.#log.record(something(this.#log.size))
    }
    const offset = sameStart() && this.#log.since(known.offset) !== undefined ? known.offset : 0
    const { resetCount, restartCount } = tpm.clock
    const bytes = this.#log.since(offset) ?? new Uint8Array(0)
    return { resetCount, restartCount, offset, bytes, more: false }
  }

  #reboot(): void {
    this.#identity.tpm.reset()
    this.#log = new NodeLog(this.#identity.tpm, this.#verifierId)
  }

  #result({ tier, logOffset }: MessageOf<'result'>): void {
    const { verdict } = DESERTS[this.behaviour]
    const trusted = !this.#misbehaved || verdict === 'trusted'
    const isFalse = trusted ? tier !== 'affirming' : verdict !== 'contraindicated' || tier !== 'contraindicated'
    if (tier === 'affirming') {
      this.#proved = true
      this.#log.drop(logOffset)
    }
    this.#seen = { by: 'result', tier }
    this.#watcher.result(this, tier, performance.now() - this.#sentAtMs, isFalse)
  }

  #refused({ code }: MessageOf<'error'>): void {
    const desert = DESERTS[this.behaviour]
    this.#seen = { by: 'refusal', code }
    const isDeserved = this.#misbehaved && desert.verdict === 'refused' && desert.codes.includes(code)
    this.#watcher.refused(this, code, !isDeserved && !PASSING.has(code))
  }

  #send(message: AgentMessage): void {
    this.#link?.send(encodeMessage(message))
  }
}

/** Refusals that say nothing of the node: it comes again, as an agent does. */
const PASSING: ReadonlySet<string> = new Set([
  'VERIFIER_STOPPING',
  'VERIFIER_BUSY',
  'SESSION_TIMEOUT',
  'SESSION_TOO_MANY_CONNECTIONS',
  'NODE_CHANGED',
  'NONCE_UNKNOWN',
  'INTERNAL',
])

/** A record that is in order wherever it stands and of which nothing has to be remembered: of a pod that was not let in. */
function something(n: number): LaunchLogContent {
  const hex = (n % MAX_UINT32).toString(16).padStart(8, '0')
  const uuid = `${hex}-0000-4000-8000-000000000000`
  return { record: 'denied', uuid, request: hex.repeat(8), code: 'LAUNCH_DENIED' }
}
