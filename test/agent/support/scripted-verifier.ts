import { createHash, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import { createServer, type Server } from 'node:https'
import type { Duplex } from 'node:stream'
import { TLSSocket, type TlsOptions } from 'node:tls'
import { type ServerOptions, type WebSocket, WebSocketServer } from 'ws'
import type { TrustedVerifier } from '../../../agent/config/index.ts'
import { toHex } from '../../../attestation/base/index.ts'
import { createCa, issueTlsCertificate, loadCa } from '../../../attestation/ca/index.ts'
import { digest } from '../../../attestation/crypto/index.ts'
import type { BankRegisters } from '../../../attestation/event-log/index.ts'
import {
  type AgentMessage,
  decodeAgentMessage,
  decodeQuotedBody,
  encodeMessage,
  parseLaunchRequest,
  pcrValuesFromWire,
  type QuotedBody,
  quoteBinding,
  quotePurpose,
  registerSwap,
  signTicket,
  type TicketClaims,
  type TicketSubject,
  TLS_EXPORTER_BYTES,
  TLS_EXPORTER_LABEL,
  ticketClaims,
  ticketedLaunchRecord,
  type VerifierMessage,
} from '../../../attestation/protocol/index.ts'
import { decodeQuoteAttest, nodeIdOf, objectName } from '../../../attestation/tpm2/index.ts'

/** What a test makes of one message of the agent; without it the verifier is honest, and believes everything. */
export type Script = (peer: ScriptedPeer, message: AgentMessage) => Promise<boolean> | boolean

/** A verifier that says whatever a test wants it to say. */
export class ScriptedVerifier {
  readonly trust: TrustedVerifier
  /** Returns true when it has dealt with the message. */
  script: Script = () => false
  /** Selection of its challenges. */
  selection: Extract<VerifierMessage, { t: 'challenge' }>['selection'] = [
    { bank: 'sha256', pcrs: [0, 15] },
    { bank: 'sha384', pcrs: [15] },
  ]
  readonly peers: ScriptedPeer[] = []
  /** TLS connections that were made, whether or not anything came over them. */
  connections = 0
  /** Bytes that came over connections, handshakes not counted. */
  received = 0
  readonly ticketKey: KeyObject
  readonly ca: string
  readonly #server: Server
  readonly #sockets = new Set<TLSSocket>()

  private constructor(
    server: Server,
    trust: TrustedVerifier,
    ticketKey: KeyObject,
    ca: string,
    webSocket: ServerOptions,
    upgrade: ((socket: Duplex) => void) | undefined,
  ) {
    this.#server = server
    this.trust = trust
    this.ticketKey = ticketKey
    this.ca = ca
    const webSockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, ...webSocket })
    server.on('secureConnection', (socket) => {
      this.connections++
      this.#sockets.add(socket)
      socket.on('data', (data: Buffer) => {
        this.received += data.length
      })
      socket.on('error', () => {})
      socket.on('close', () => this.#sockets.delete(socket))
    })
    server.on('tlsClientError', () => {})
    server.on('upgrade', (request, socket, head) => {
      if (upgrade !== undefined) return upgrade(socket)
      webSockets.handleUpgrade(request, socket, head, (ws) => {
        if (socket instanceof TLSSocket) this.peers.push(new ScriptedPeer(this, ws, socket))
      })
    })
  }

  /**
   * @param upgrade answers the upgrade instead of a websocket server
   * @param names on the certificate, instead of the address that it listens on
   */
  static async start(
    tls: TlsOptions = {},
    upgrade?: (socket: Duplex) => void,
    webSocket: ServerOptions = {},
    names?: readonly string[],
  ): Promise<ScriptedVerifier> {
    const now = new Date()
    const ca = createCa('scripted', now)
    const key = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const spki = key.publicKey.export({ type: 'spki', format: 'der' })
    const certificate = issueTlsCertificate(loadCa(ca.certPem, ca.keyPem), {
      ...{ publicKeyInfo: new Uint8Array(spki), dnsNames: names ?? [] },
      ...{ ipAddresses: names === undefined ? ['127.0.0.1'] : [], now, lifetimeMs: 86_400_000 },
    })
    const server = createServer({
      cert: certificate.pem + ca.certPem,
      key: key.privateKey.export({ type: 'pkcs8', format: 'pem' }),
      minVersion: 'TLSv1.3',
      ...tls,
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    if (address === null || typeof address === 'string') throw new TypeError('a TCP listener has an address')
    const ticket = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const id = sha256(ticket.publicKey.export({ type: 'spki', format: 'der' }))
    const trust: TrustedVerifier = {
      url: `wss://127.0.0.1:${address.port}/v1/agent`,
      verifierId: id,
      ticketKeys: [{ id, key: ticket.publicKey }],
      tlsSpkiSha256: [sha256(spki)],
    }
    return new ScriptedVerifier(server, trust, ticket.privateKey, ca.certPem, webSocket, upgrade)
  }

  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }
}

/** One connection of an agent. */
export class ScriptedPeer {
  readonly ws: WebSocket
  readonly exporter: Uint8Array
  /** What came, in order. */
  readonly messages: AgentMessage[] = []
  /** Bodies of quotes whose binding was right. */
  readonly bodies: QuotedBody[] = []
  closed: { readonly code: number; readonly reason: string } | undefined
  hello: Extract<AgentMessage, { t: 'hello' }> | undefined
  readonly #verifier: ScriptedVerifier

  constructor(verifier: ScriptedVerifier, ws: WebSocket, socket: TLSSocket) {
    this.#verifier = verifier
    this.ws = ws
    this.exporter = new Uint8Array(socket.exportKeyingMaterial(TLS_EXPORTER_BYTES, TLS_EXPORTER_LABEL, Buffer.alloc(0)))
    ws.on('error', () => {})
    ws.on('close', (code, reason) => {
      this.closed = { code, reason: reason.toString() }
    })
    ws.on('message', (data: Buffer) => void this.#take(decodeAgentMessage(new Uint8Array(data))))
  }

  send(message: VerifierMessage): void {
    this.ws.send(encodeMessage(message))
  }

  /** Frames as they are: nonsense. */
  sendRaw(data: Uint8Array | string): void {
    this.ws.send(data)
  }

  challenge(purpose: 'session' | 'periodic'): void {
    const { selection } = this.#verifier
    const log = { resetCount: 0, restartCount: 0, offset: 0 }
    this.send({ t: 'challenge', purpose, nonce: nonce(), selection, log, machineLogs: [] })
  }

  result(): void {
    const size = this.bodies.at(-1)?.log.bytes.length ?? 0
    const logOffset = (this.bodies.at(-1)?.log.offset ?? 0) + size
    this.send({
      t: 'result',
      tier: 'affirming',
      result: 'ear',
      findings: [],
      nonce: nonce(),
      logOffset,
      machineLogs: [],
    })
  }

  /** A ticket for the launch of this body. `bend` changes what is in it, `key` who signs it. */
  async ticket(
    body: Extract<QuotedBody, { t: 'launch' }>,
    bend: (subject: TicketSubject) => TicketSubject = (subject) => subject,
    over: { key?: KeyObject; now?: Date; claims?: (claims: TicketClaims) => TicketClaims; text?: string } = {},
  ): Promise<void> {
    const claims = ticketClaims(bend(this.#subject(body)), over.now ?? new Date(), 30)
    const bent = over.claims?.(claims) ?? claims
    const ticket = over.text ?? (await signTicket(bent, over.key ?? this.#verifier.ticketKey))
    const logOffset = body.log.offset + body.log.bytes.length
    this.send({ t: 'ticket', id: body.id, ticket, nonce: nonce(), logOffset, machineLogs: [] })
  }

  denied(body: Extract<QuotedBody, { t: 'launch' }>, code: string, reasons: string[]): void {
    this.send({ t: 'denied', id: body.id, code, reasons, nonce: nonce(), logOffset: body.log.offset, machineLogs: [] })
  }

  #subject(body: Extract<QuotedBody, { t: 'launch' }>): TicketSubject {
    const hello = this.hello
    if (hello === undefined) throw new TypeError('no hello came')
    const registers: { [bank in string]?: Uint8Array } = {}
    for (const v of pcrValuesFromWire(body.pcrs)) if (v.pcr === hello.pcr) registers[v.bank] = v.value
    const request = parseLaunchRequest(body.request)
    const base = {
      iss: this.#verifier.trust.verifierId,
      sub: nodeIdOf(hello.ekPublic),
      jti: randomBytes(16).toString('hex'),
      cnf: { akName: toHex(objectName(hello.akPublic)) },
      pod: request.pod.uuid,
      request: toHex(digest('sha256', body.request)),
      resetCount: body.log.resetCount,
      restartCount: body.log.restartCount,
      policy: { revision: 'e'.repeat(64), allowedBy: ['test'] },
    }
    const banks = registerSwap(registers as BankRegisters, ticketedLaunchRecord(base, request.mode))
    return { ...base, register: { pcr: hello.pcr, banks } }
  }

  async #take(message: AgentMessage): Promise<void> {
    this.messages.push(message)
    if (message.t === 'hello') this.hello = message
    if (message.t === 'quoted') this.#takeBody(message)
    if (await this.#verifier.script(this, message)) return
    if (message.t === 'hello') this.challenge('session')
    if (message.t === 'renew') this.send({ t: 'renewed', nonce: nonce() })
    const body = this.bodies.at(-1)
    if (message.t !== 'quoted' || body === undefined) return
    if (body.t === 'launch') await this.ticket(body)
    else this.result()
  }

  #takeBody(message: Extract<AgentMessage, { t: 'quoted' }>): void {
    const body = decodeQuotedBody(message.body)
    const id = Buffer.from(this.#verifier.trust.verifierId, 'hex')
    const wanted = quoteBinding(quotePurpose(body), id, body.nonce, this.exporter, message.body)
    const { extraData, pcrDigest } = decodeQuoteAttest(message.attest)
    if (toHex(extraData) !== toHex(wanted)) throw new Error('the quote is bound to something else')
    if (toHex(pcrDigest) !== toHex(digest('sha256', ...body.pcrs.map((p) => p.value)))) {
      throw new Error('the values in the body are not those of the quote')
    }
    this.bodies.push(body)
  }
}

function nonce(): Uint8Array {
  return new Uint8Array(randomBytes(32))
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
