import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { codeOf } from '../../../attestation/base/index.ts'
import { podManifestBytes, readPodManifest } from '../../../stage1/manifest/index.ts'
import { METADATA_VARIABLE, MetadataServer, metadataServiceKey, metadataUrl } from '../../../stage1/metadata/index.ts'
import { newPodUuid, type PodUuid, podParent } from '../../../stage1/pod/index.ts'
import { tempDir } from '../../support/temp-dir.ts'

const FLAVOR = { 'metadata-flavor': 'AppContainer' }
/** With or without the variable that registers the pod. */
function manifestBytes(url?: string): Uint8Array {
  const environment = url === undefined ? [] : [{ name: METADATA_VARIABLE, value: url }]
  const app = { exec: ['/app'], user: '0', group: '0', workingDirectory: '/', environment }
  const image = { id: `sha512-${'0'.repeat(64)}`, name: 'example.com/app' }
  return podManifestBytes(
    readPodManifest({ acKind: 'PodManifest', acVersion: '0.8.11', apps: [{ name: 'app', image, app }] }),
  )
}

describe('the metadata service', () => {
  const directory = tempDir()
  let server: MetadataServer
  const told: { pod?: string; path: string; status: number; err?: unknown }[] = []

  async function start(): Promise<void> {
    const store = { dir: directory.path, serviceKey: metadataServiceKey(directory.path) }
    server = await MetadataServer.listen({
      ...store,
      address: '127.0.0.1',
      port: 0,
      patienceMs: 1000,
      tell: (event) => told.push(event),
    })
  }

  before(start)
  after(async () => {
    await server?.close()
    directory.remove()
  })

  /** As a launched pod's directory is, with a secret of its own. */
  function launched(request: string): { uuid: PodUuid; url: string; base: string; path: string } {
    const uuid = newPodUuid()
    const path = join(podParent(directory.path, 'run'), uuid)
    const url = metadataUrl(uuid, new Uint8Array(32).fill(uuid.charCodeAt(0)))
    mkdirSync(path, { recursive: true })
    writeFileSync(join(path, 'pod'), manifestBytes(url))
    writeFileSync(join(path, 'launch.json'), JSON.stringify({ answer: { request } }))
    return { uuid, path, url, base: new URL(url).pathname }
  }

  const get = (path: string, headers: Record<string, string> = FLAVOR) =>
    fetch(`http://127.0.0.1:${server.port}${path}`, { headers })
  const post = (path: string, form: Record<string, string>) =>
    fetch(`http://127.0.0.1:${server.port}${path}`, {
      method: 'POST',
      headers: FLAVOR,
      body: new URLSearchParams(form),
    })

  it('knows a pod by its token, and tells nobody the token', async () => {
    const pod = launched('{}')
    const answer = await get(`${pod.base}/acMetadata/v1/pod/uuid`)
    assert.equal(answer.status, 200)
    assert.equal(answer.headers.get('content-type'), 'text/plain; charset=us-ascii')
    assert.equal(await answer.text(), pod.uuid)
    assert.deepEqual(told.at(-1), { pod: pod.uuid, path: '/acMetadata/v1/pod/uuid', status: 200 })
    const manifest = await get(`${pod.base}/acMetadata/v1/pod/manifest`)
    assert.deepEqual(new Uint8Array(await manifest.arrayBuffer()), manifestBytes(pod.url))
  })

  it('has signatures verified by other pods, after it was started again, and after the signer has ended', async () => {
    const [signer, other] = [launched('{"n":1}'), launched('{"n":2}')]
    const signature = await (await post(`${signer.base}/acMetadata/v1/pod/hmac/sign`, { content: 'true' })).text()
    await server.close()
    await start()
    const verify = async (form: Record<string, string>) =>
      (await post(`${other.base}/acMetadata/v1/pod/hmac/verify`, form)).status
    const form = { uuid: signer.uuid, content: 'true', signature }
    assert.equal(await verify(form), 200)
    assert.equal(await verify({ ...form, uuid: other.uuid }), 403)
    assert.equal(await verify({ ...form, content: 'false' }), 403)
    assert.equal(await verify({ ...form, uuid: '../../run' }), 403)
    const ended = podParent(directory.path, 'exited-garbage')
    mkdirSync(ended, { recursive: true })
    renameSync(signer.path, join(ended, signer.uuid))
    assert.equal(await verify(form), 200)
    assert.equal((await get(`${signer.base}/acMetadata/v1/pod/uuid`)).status, 404) // it does not run any more
    writeFileSync(join(ended, signer.uuid, 'launch.json'), JSON.stringify({ answer: { request: '{"n":3}' } }))
    assert.equal(await verify(form), 403) // measured as something else
  })

  it('refuses who has no token, another one, or does not say what it wants', async () => {
    const pod = launched('{}')
    const what = '/acMetadata/v1/pod/uuid'
    assert.equal((await get(`${pod.base}${what}`, {})).status, 400)
    assert.equal((await get(`${pod.base}${what}`, { 'metadata-flavor': 'Google' })).status, 400)
    const changed = pod.base.slice(0, -1) + (pod.base.endsWith('A') ? 'B' : 'A')
    for (const path of ['/', what, `/x${what}`, `${changed}${what}`, `/..%2f${pod.uuid}${what}`]) {
      assert.equal((await get(path)).status, 404, path)
    }
    writeFileSync(join(pod.path, 'pod'), manifestBytes())
    assert.equal((await get(`${pod.base}${what}`)).status, 404) // it was not registered
  })

  it('fails for a pod whose files are not as stage0 writes them, says so in its log, and goes on', async () => {
    const pod = launched('{}')
    assert.equal((await get(`${pod.base}/acMetadata/v1/apps/app/image/manifest`)).status, 500)
    assert.equal(codeOf(told.at(-1)?.err), 'POD_FILE_BAD')
    writeFileSync(join(pod.path, 'pod'), '{')
    assert.equal((await get(`${pod.base}/acMetadata/v1/pod/manifest`)).status, 500)
    assert.equal(codeOf(told.at(-1)?.err), 'MANIFEST_NOT_JSON')
    assert.equal((await get(`${launched('{}').base}/acMetadata/v1/pod/uuid`)).status, 200)
  })

  it('reads no more of a form than there may be, and nothing but forms', async () => {
    const pod = launched('{}')
    const sign = `${pod.base}/acMetadata/v1/pod/hmac/sign`
    const answer = await fetch(`http://127.0.0.1:${server.port}${sign}`, { method: 'POST', headers: FLAVOR, body: 'x' })
    assert.equal(answer.status, 415)
    const socket = connect(server.port, '127.0.0.1')
    const head = [`POST ${sign} HTTP/1.1`, 'Host: x', 'Metadata-Flavor: AppContainer']
    const type = ['Content-Type: application/x-www-form-urlencoded', 'Transfer-Encoding: chunked']
    socket.write([...head, ...type, '', ''].join('\r\n'))
    const said = new Promise<string>((resolve) => socket.once('data', (bytes) => resolve(String(bytes))))
    socket.on('error', () => {}) // it is closed while more is on its way
    const piece = `10000\r\n${'a'.repeat(0x10000)}\r\n`
    for (let i = 0; i < 20; i++) socket.write(piece)
    assert.match(await said, /^HTTP\/1\.1 413 /)
    socket.destroy()
  })

  it('lets no address keep the others out: not by many connections, not by still ones', async () => {
    const pod = launched('{}')
    const what = `${pod.base}/acMetadata/v1/pod/uuid`
    const from = { host: '127.0.0.1', port: server.port, localAddress: '127.0.0.2' }
    const still = Array.from({ length: 16 }, () => connect(from).on('error', () => {}))
    await Promise.all(still.map((socket) => once(socket, 'connect')))
    const more = connect(from).on('error', () => {})
    await once(more.resume(), 'close')
    assert.equal((await get(what)).status, 200)
    for (const socket of still) socket.write('GET / HTTP/1.1\r\n') // and never the rest
    await Promise.all(still.map((socket) => once(socket.resume(), 'close')))
    const again = connect(from)
    again.write(`GET ${what} HTTP/1.0\r\nMetadata-Flavor: AppContainer\r\n\r\n`)
    const [said] = await once(again, 'data')
    assert.match(String(said), /^HTTP\/1\.1 200 /)
    again.destroy()
  })
})

describe("the metadata service's key", () => {
  const directory = tempDir()
  after(() => directory.remove())

  it('is made once, for root alone, and is refused when it is not whole', () => {
    const key = metadataServiceKey(directory.path)
    assert.equal(key.length, 32)
    assert.deepEqual(metadataServiceKey(directory.path), key)
    const file = join(directory.path, 'metadata-key')
    assert.equal(statSync(file).mode & 0o777, 0o600)
    writeFileSync(file, key.subarray(1))
    assert.throws(() => metadataServiceKey(directory.path), { code: 'POD_FILE_BAD' })
  })
})
