import { randomBytes } from 'node:crypto'
import { createServer } from 'node:https'
import { type RawData, WebSocketServer } from 'ws'
import {
  decodeAgentMessage,
  decodeQuotedBody,
  encodeMessage,
  NONCE_BYTES,
  type QuotedBody,
  SUBPROTOCOL,
  type VerifierMessage,
} from '../../attestation/protocol/index.ts'
import { nodeIdOf } from '../../attestation/tpm2/index.ts'
import { loadIdentity } from '../../attestation/verifier/identity.ts'
import { readVerifierConfig } from '../../attestation/verifier/index.ts'

/** What an agent asks when it wants a ticket. */
export type AskedLaunch = Extract<QuotedBody, { t: 'launch' }>

/**
 * An attacker who has the verifier's place on the network and even its TLS key, but not its ticket key: it admits every
 * node, believes every quote, and answers each launch with a ticket that the real verifier once signed.
 *
 * @param configFile configuration of the verifier whose place it takes
 * @param ticket the ticket that it replays, or makes for this launch
 */
export async function startReplayingVerifier(
  configFile: string,
  ticket: string | ((asked: AskedLaunch) => Promise<string>),
): Promise<{ readonly stop: () => Promise<void> }> {
  const config = readVerifierConfig(configFile)
  const { tls } = await loadIdentity(config, new Date())
  const server = createServer({ key: tls.key, cert: tls.certificate, minVersion: 'TLSv1.3' })
  const sockets = new WebSocketServer({ server, handleProtocols: () => SUBPROTOCOL, perMessageDeflate: false })
  sockets.on('connection', (socket) => {
    const send = (message: VerifierMessage): void => socket.send(encodeMessage(message))
    const nonce = (): Uint8Array => new Uint8Array(randomBytes(NONCE_BYTES))
    socket.on('message', (data: RawData) => {
      const message = decodeAgentMessage(new Uint8Array(data as Buffer)) // binaryType is nodebuffer
      if (message.t === 'hello') {
        send({ t: 'status', nodeId: nodeIdOf(message.ekPublic), admission: 'admitted', message: 'welcome' })
        send({
          t: 'challenge',
          purpose: 'session',
          nonce: nonce(),
          selection: message.banks.map((bank) => ({ bank, pcrs: [message.pcr] })),
          log: { resetCount: 0, restartCount: 0, offset: 0 },
          machineLogs: [],
        })
      } else if (message.t === 'quoted') {
        const body = decodeQuotedBody(message.body)
        const next = { nonce: nonce(), logOffset: body.log.offset + body.log.bytes.length, machineLogs: [] }
        if (body.t === 'launch') {
          const made = typeof ticket === 'string' ? Promise.resolve(ticket) : ticket(body)
          void made.then((text) => send({ t: 'ticket', id: body.id, ticket: text, ...next }))
        } else send({ t: 'result', tier: 'affirming', result: 'none', findings: [], ...next })
      }
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(config.listen.port, config.listen.host, resolve)
  })
  return {
    stop: async () => {
      for (const socket of sockets.clients) socket.terminate()
      sockets.close()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
