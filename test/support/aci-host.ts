import { generateKeyPairSync, randomInt } from 'node:crypto'
import { once } from 'node:events'
import https from 'node:https'
import { createCa, issueTlsCertificate, loadCa } from '../../attestation/ca/index.ts'
import type { ImageAnswer } from './image-server.ts'

/** A host of App Container images, with discovery, over TLS. */
export interface AciHost {
  /**
   * Names of images begin with it. It is an address of loopback: discovery asks port 443 of a name, and there every
   * test has its own.
   */
  readonly name: string
  /** PEM of the certificate authority that vouches for it. */
  readonly certificateAuthority: string
  /** What lies where, by path. */
  readonly files: Map<string, Uint8Array>
  /** Paths asked for, with their queries, in order. */
  readonly asked: string[]
  /** Asked first: true where it has answered. */
  intercept: ((...args: Parameters<ImageAnswer>) => boolean) | undefined
  readonly stop: () => Promise<void>
}

/** A page that says where images are whose names begin like this. */
export function discoveryPage(prefix: string, template: string): Uint8Array {
  return Buffer.from(`<html><head><meta name="ac-discovery" content="${prefix} ${template}"></head></html>`)
}

/** Starts one; whoever may not listen on port 443 gets EACCES. */
export async function startAciHost(): Promise<AciHost> {
  const now = new Date()
  const { certPem, keyPem } = createCa('test', now)
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const name = `127.${randomInt(1, 255)}.${randomInt(255)}.${randomInt(1, 255)}`
  const certificate = issueTlsCertificate(loadCa(certPem, keyPem), {
    publicKeyInfo: new Uint8Array(publicKey.export({ format: 'der', type: 'spki' })),
    dnsNames: [],
    ipAddresses: [name],
    now,
    lifetimeMs: 3600_000,
  })
  const key = privateKey.export({ format: 'pem', type: 'pkcs8' })
  const server = https.createServer({ key, cert: certificate.pem }, (request, response) => {
    const path = request.url ?? ''
    host.asked.push(path)
    if (host.intercept?.(path, request, response)) return
    const file = host.files.get(path)
    if (file === undefined) response.writeHead(404).end()
    else response.writeHead(200, { 'content-length': file.length }).end(file)
  })
  server.listen(443, name)
  await once(server, 'listening')
  const host: AciHost = {
    name,
    certificateAuthority: certPem,
    files: new Map(),
    asked: [],
    intercept: undefined,
    stop: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return host
}
