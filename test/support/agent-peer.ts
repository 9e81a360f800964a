import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { TLSSocket } from 'node:tls'
import { WebSocket } from 'ws'
import { canonicalJson, fromHex, toHex, utf8 } from '../../attestation/base/index.ts'
import { digest } from '../../attestation/crypto/index.ts'
import {
  encodeCelRecord,
  encodeLaunchLogContent,
  type LaunchLogContent,
  launchLogRecord,
} from '../../attestation/event-log/index.ts'
import {
  type AgentMessage,
  activationProof,
  decodeVerifierMessage,
  encodeLaunchRequest,
  encodeMessage,
  type LaunchRequest,
  type MachineLogPiece,
  pcrValuesToWire,
  type QuotedBody,
  quoteBinding,
  quotePurpose,
  SUBPROTOCOL,
  selectionFromWire,
  type TicketClaims,
  TLS_EXPORTER_BYTES,
  TLS_EXPORTER_LABEL,
  ticketedLaunchRecord,
  type VerifierMessage,
} from '../../attestation/protocol/index.ts'
import { nodeIdOf, type PcrSelection } from '../../attestation/tpm2/index.ts'
import { launchRequest } from './launch-request.ts'
import type { SoftTpm } from './soft-tpm.ts'

type MessageOf<T extends VerifierMessage['t']> = Extract<VerifierMessage, { t: T }>
const LOG_PCR = 15

/** A node's launch log beside its software TPM, for one TPM start. */
export class SoftNode {
  readonly tpm: SoftTpm
  readonly nodeId: string
  readonly verifierId: string
  log: Uint8Array = new Uint8Array(0)
  #recnum = 0
  readonly #measured = new Set<string>()

  constructor(tpm: SoftTpm, verifierId: string) {
    this.tpm = tpm
    this.nodeId = nodeIdOf(tpm.ekPublic)
    this.verifierId = verifierId
    this.startAgent()
  }

  startAgent(): void {
    const found = Object.fromEntries(this.tpm.banks.map((bank) => [bank, toHex(this.tpm.register(bank, LOG_PCR))]))
    this.record({
      record: 'agent',
      version: 'test',
      programSha256: 'a'.repeat(64),
      configSha256: 'b'.repeat(64),
      mode: 'enforce',
      found,
      verifierKeys: [this.verifierId],
    })
  }

  /** After tpm.reset() or restart(): a new log. */
  newBoot(): void {
    this.log = new Uint8Array(0)
    this.#recnum = 0
    this.#measured.clear()
    this.startAgent()
  }

  /** Extends and appends, as the agent does. */
  record(content: LaunchLogContent): void {
    const bytes = encodeLaunchLogContent(content)
    this.tpm.extend(LOG_PCR, bytes)
    this.append(content)
  }

  /** Appends without extending: a log that says more than the register. */
  append(content: LaunchLogContent): void {
    const bytes = encodeLaunchLogContent(content)
    const record = encodeCelRecord(launchLogRecord(this.#recnum++, LOG_PCR, this.tpm.banks, bytes))
    this.log = Buffer.concat([this.log, record])
  }

  /** A request of this node, everything in it measured; its bytes. */
  measured(over: Partial<LaunchRequest> = {}): { request: LaunchRequest; bytes: Uint8Array } {
    const base = launchRequest({ node: this.nodeId, ...over })
    const manifestSha256 = toHex(digest('sha256', utf8(canonicalJson(base.pod.manifest))))
    const request: LaunchRequest = { ...base, pod: { ...base.pod, manifestSha256 } }
    const bytes = encodeLaunchRequest(request)
    if (!this.#measured.has(request.stage1.id)) this.record({ record: 'stage1', ...request.stage1 })
    this.#measured.add(request.stage1.id)
    for (const image of request.images) {
      if (!this.#measured.has(image.id)) this.record({ record: 'image', ...image })
      this.#measured.add(image.id)
    }
    this.record({
      record: 'pod',
      uuid: request.pod.uuid,
      request: toHex(digest('sha256', bytes)),
      manifest: manifestSha256,
      stage1: request.stage1.id,
      images: request.images.map((i) => i.id),
      ...(request.guest !== undefined && { guest: request.guest.archive }),
    })
    return { request, bytes }
  }

  /** The launch record that a ticket authorises. */
  launch(ticket: TicketClaims): void {
    this.record(ticketedLaunchRecord(ticket, 'enforce'))
  }
}

/** Claims of a ticket, unverified: the verifier's own tests know whom they talk to. */
export function claimsOf(ticket: string): TicketClaims {
  return JSON.parse(Buffer.from(ticket.split('.')[1] ?? '', 'base64url').toString())
}

/** What a test may bend about one quote. */
export interface QuoteBend {
  readonly exporter?: Uint8Array
  readonly verifierId?: Uint8Array
  readonly selection?: readonly PcrSelection[]
  readonly log?: Partial<QuotedBody['log']>
  readonly extraData?: (right: Uint8Array) => Uint8Array
  readonly body?: (right: QuotedBody) => QuotedBody
  readonly machineLogs?: readonly MachineLogPiece[]
}

/** One connection to a verifier, speaking the agent's side by hand so that each message can be bent. */
export class AgentPeer {
  readonly node: SoftNode
  readonly exporter: Uint8Array
  readonly ws: WebSocket
  readonly #received: VerifierMessage[] = []
  readonly #wake: (() => void)[] = []
  closeCode: number | undefined
  /** Last nonce and offset that the verifier gave. */
  nonce: Uint8Array = new Uint8Array(32)
  selection: readonly PcrSelection[] = []
  offset = 0

  private constructor(node: SoftNode, ws: WebSocket, exporter: Uint8Array) {
    this.node = node
    this.ws = ws
    this.exporter = exporter
    ws.on('message', (data) => this.#take(decodeVerifierMessage(new Uint8Array(data as Buffer)))) // nodebuffer is the default
    ws.on('close', (code) => {
      this.closeCode = code
      this.#wakeAll()
    })
    ws.on('error', () => {}) // a close follows
  }

  static async connect(node: SoftNode, to: { readonly port: number; readonly ca: string }): Promise<AgentPeer> {
    const ws = new WebSocket(`wss://127.0.0.1:${to.port}/v1/agent`, SUBPROTOCOL, {
      ca: to.ca,
      perMessageDeflate: false,
    })
    const [response] = (await once(ws, 'upgrade')) as [IncomingMessage] // ws's documented event
    const { socket } = response
    if (!(socket instanceof TLSSocket)) throw new TypeError('wss is over TLS')
    const exporter = socket.exportKeyingMaterial(TLS_EXPORTER_BYTES, TLS_EXPORTER_LABEL, Buffer.alloc(0))
    const peer = new AgentPeer(node, ws, new Uint8Array(exporter))
    if (ws.readyState !== WebSocket.OPEN) await once(ws, 'open')
    return peer
  }

  send(message: AgentMessage): void {
    this.ws.send(encodeMessage(message))
  }

  sendRaw(bytes: Uint8Array): void {
    this.ws.send(bytes)
  }

  /** The next message, which must be of this kind; an error message otherwise fails with its text. */
  async next<T extends VerifierMessage['t']>(t: T): Promise<MessageOf<T>> {
    while (this.#received.length === 0 && this.closeCode === undefined) {
      await new Promise<void>((resolve) => this.#wake.push(resolve))
    }
    const message = this.#received.shift()
    if (message === undefined) throw new Error(`closed with ${this.closeCode} while waiting for '${t}'`)
    if (message.t !== t) throw new Error(`waited for '${t}', got ${JSON.stringify(message)}`)
    return message as MessageOf<T> // its `t` has just been compared
  }

  /** The next result; challenges that cross it are passed over. */
  async result(): Promise<MessageOf<'result'>> {
    while (this.#received.length > 0 || this.closeCode === undefined) {
      if (this.#received[0]?.t === 'challenge') this.#received.shift()
      else if (this.#received.length > 0) break
      else await new Promise<void>((resolve) => this.#wake.push(resolve))
    }
    return await this.next('result')
  }

  /** Waits until the verifier has ended the connection. @returns the code of the error it gave */
  async refused(): Promise<string> {
    const { code } = await this.next('error')
    while (this.closeCode === undefined) await new Promise<void>((resolve) => this.#wake.push(resolve))
    return code
  }

  hello(over: Partial<Extract<AgentMessage, { t: 'hello' }>> = {}): void {
    const { tpm } = this.node
    this.send({
      t: 'hello',
      agent: 'test/1',
      hostname: 'host.example',
      ekPublic: tpm.ekPublic,
      ekChain: [],
      akPublic: tpm.ak.public,
      pcr: LOG_PCR,
      banks: [...tpm.banks],
      mode: 'enforce',
      ...over,
    })
  }

  /** Answers an activation as the TPM would. */
  activate(message: MessageOf<'activate'>): void {
    const secret = this.node.tpm.activate(message)
    this.send({ t: 'activation', proof: activationProof(secret, this.exporter, this.node.tpm.ak.name) })
  }

  /** hello and, where asked for, activation. */
  async enrol(over: Partial<Extract<AgentMessage, { t: 'hello' }>> = {}): Promise<MessageOf<'status'>> {
    this.hello(over)
    this.activate(await this.next('activate'))
    return await this.next('status')
  }

  /** hello of a node that is known, up to its first result. */
  async login(): Promise<MessageOf<'result'>> {
    this.hello()
    await this.next('status')
    return await this.prove()
  }

  /** Answers the challenge that comes next. */
  async prove(bend: QuoteBend = {}): Promise<MessageOf<'result'>> {
    const challenge = await this.next('challenge')
    this.quote({ t: 'evidence', purpose: challenge.purpose }, bend)
    return await this.next('result')
  }

  /** Sends a quote with the nonce in hand. */
  quote(
    subject: { t: 'evidence'; purpose: 'session' | 'periodic' } | { t: 'launch'; id: number; request: Uint8Array },
    bend: QuoteBend = {},
  ): Uint8Array {
    const { tpm, log } = this.node
    const { resetCount, restartCount } = tpm.clock
    const selection = bend.selection ?? this.selection
    const right: QuotedBody = {
      ...subject,
      nonce: this.nonce,
      pcrs: pcrValuesToWire(tpm.values(selection)),
      log: { resetCount, restartCount, offset: this.offset, bytes: log.slice(this.offset), more: false, ...bend.log },
    }
    const body = encodeMessage(bend.body?.(right) ?? right)
    const binding = quoteBinding(
      quotePurpose(right),
      bend.verifierId ?? fromHex(this.node.verifierId),
      this.nonce,
      bend.exporter ?? this.exporter,
      body,
    )
    const { attest, signature } = tpm.quote(bend.extraData?.(binding) ?? binding, selection)
    const frame = encodeMessage({ t: 'quoted', body, attest, signature, machineLogs: [...(bend.machineLogs ?? [])] })
    this.sendRaw(frame)
    return frame
  }

  /** Asks for a launch and waits for the answer. */
  async launch(request: Uint8Array, bend: QuoteBend = {}, id = 1): Promise<MessageOf<'ticket'> | MessageOf<'denied'>> {
    this.quote({ t: 'launch', id, request }, bend)
    while (this.#received.length === 0 && this.closeCode === undefined) {
      await new Promise<void>((resolve) => this.#wake.push(resolve))
    }
    return this.#received[0]?.t === 'ticket' ? await this.next('ticket') : await this.next('denied')
  }

  async close(): Promise<void> {
    if (this.ws.readyState === WebSocket.CLOSED) return
    const closed = once(this.ws, 'close')
    this.ws.terminate()
    await closed
  }

  #take(message: VerifierMessage): void {
    if ('nonce' in message) this.nonce = message.nonce
    if ('logOffset' in message) this.offset = message.logOffset
    if (message.t === 'challenge') {
      this.selection = selectionFromWire(message.selection)
      const { resetCount, restartCount, offset } = message.log
      const { clock } = this.node.tpm
      this.offset = resetCount === clock.resetCount && restartCount === clock.restartCount ? offset : 0
    }
    this.#received.push(message)
    this.#wakeAll()
  }

  #wakeAll(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }
}
