import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type FetchOptions,
  fetchImage,
  findImage,
  type ImageStore,
  openImageStore,
} from '../../../stage1/image/index.ts'
import { BUSYBOX, cannotRender, json, sha256, writeBusyboxLayout } from '../../support/images.ts'

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
const INDEX = 'application/vnd.oci.image.index.v1+json'
const PASSWORD = {
  user: 'alice',
  password: 'swordfish',
  // crypt(3) of it, cost 4: htpasswd files of docker-registry hold nothing else
  bcrypt: '$2b$04$FBjrdFv8zoS1L26Mg1AV7.CD0OgplooIyI8f9NSRHJuU8XLLcZK3y',
}

describe('images from a registry', () => {
  let dir: string
  let store: ImageStore
  const cleanups: (() => Promise<void> | void)[] = []

  beforeEach(() => {
    dir = fs.mkdtempSync(join(tmpdir(), 'holdfast-registry-'))
    store = openImageStore(join(dir, 'store'))
  })
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
    fs.rmSync(dir, { recursive: true, force: true })
  })

  function fetch(reference: string, more: Partial<FetchOptions> = {}) {
    return fetchImage(store, reference, { cwd: '/', relax: ['http'], ...more })
  }

  describe('docker-registry', () => {
    before(function () {
      const missing = ['docker-registry', 'skopeo'].find((p) => spawnSync(p, ['--version']).error)
      const reason =
        cannotRender() ?? (missing ? `no ${missing}` : fs.existsSync(BUSYBOX) ? undefined : 'no busybox-static')
      if (reason !== undefined) {
        console.log(`      skipped: ${reason}`)
        this.skip()
      }
    })

    /** Starts Debian's docker-registry on a free loopback port with one busybox image in it. */
    async function startRegistry(
      options: { readonly password?: boolean } = {},
    ): Promise<{ host: string; data: string; digest: string }> {
      const port = await freePort()
      const data = join(dir, 'registry')
      const auth = options.password ? { auth: { htpasswd: { realm: 'test', path: join(dir, 'htpasswd') } } } : {}
      if (options.password) fs.writeFileSync(join(dir, 'htpasswd'), `${PASSWORD.user}:${PASSWORD.bcrypt}\n`)
      const config = {
        version: 0.1,
        log: { level: 'error', accesslog: { disabled: true } },
        storage: { filesystem: { rootdirectory: data } },
        http: { addr: `127.0.0.1:${port}` },
        ...auth,
      }
      fs.writeFileSync(join(dir, 'registry.yml'), JSON.stringify(config)) // JSON is YAML
      const child = spawn('docker-registry', ['serve', join(dir, 'registry.yml')], { stdio: 'ignore' })
      const ended = once(child, 'close')
      cleanups.push(async () => {
        child.kill('SIGKILL')
        await ended
      })
      await answers(`http://127.0.0.1:${port}/v2/`)
      const { manifestDigest } = writeBusyboxLayout(join(dir, 'layout'), { ref: '1' })
      const credentials = options.password ? [`--dest-creds=${PASSWORD.user}:${PASSWORD.password}`] : []
      const copied = spawnSync(
        'skopeo',
        [
          'copy',
          '--dest-tls-verify=false',
          ...credentials,
          `oci:${join(dir, 'layout')}:1`,
          `docker://127.0.0.1:${port}/test/busybox:1`,
        ],
        { encoding: 'utf8' },
      )
      assert.equal(copied.status, 0, copied.stderr)
      return { host: `127.0.0.1:${port}`, data, digest: manifestDigest }
    }

    it('are fetched, recorded with what was relaxed, and found by name, short name, ID and prefix', async () => {
      const { host, digest } = await startRegistry()
      const image = await fetch(`docker://${host}/test/busybox:1`)
      assert.equal(image.origin.name, `docker://${host}/test/busybox:1`)
      assert.equal(image.origin.manifestDigest, digest)
      assert.deepEqual(image.origin.relaxed, ['http'])
      assert.deepEqual(image.origin.signers, [])
      assert.deepEqual(image.manifest.app?.exec, ['/bin/sh'])
      for (const text of [
        image.origin.name,
        'busybox',
        'busybox:1',
        'test/busybox',
        image.id,
        image.id.slice(0, 15),
        image.id.slice(7, 15),
      ]) {
        assert.deepEqual(findImage(store, text, '/'), image, text)
      }
    })

    it('are fetched by digest, and not when the digest is another one', async () => {
      const { host, digest } = await startRegistry()
      const image = await fetch(`docker://${host}/test/busybox@${digest}`)
      assert.equal(image.origin.manifestDigest, digest)
      await assert.rejects(fetch(`docker://${host}/test/busybox@sha256:${'0'.repeat(64)}`), { code: 'IMAGE_NOT_FOUND' })
    })

    it('are refused over plain HTTP that nobody allowed', async () => {
      const { host } = await startRegistry()
      await assert.rejects(fetch(`docker://${host}/test/busybox:1`, { relax: [] }), {
        code: 'IMAGE_SOURCE_UNREACHABLE',
      })
    })

    it('may come over plain HTTP from a registry that is listed as insecure', async () => {
      const { host } = await startRegistry()
      const image = await fetch(`docker://${host}/test/busybox:1`, { relax: [], insecureRegistries: [host] })
      assert.deepEqual(image.origin.relaxed, ['http'])
    })

    it('are not found under another name or tag', async () => {
      const { host } = await startRegistry()
      await assert.rejects(fetch(`docker://${host}/test/busybox:2`), { code: 'IMAGE_NOT_FOUND' })
      await assert.rejects(fetch(`docker://${host}/other:1`), { code: 'IMAGE_NOT_FOUND' })
    })

    it('are refused when a blob of the registry was changed, and fetched when it is mended', async () => {
      const { host, data } = await startRegistry()
      const layer = largestFile(data)
      const good = fs.readFileSync(layer)
      const bad = Buffer.from(good)
      bad[100_000] = (bad[100_000] ?? 0) ^ 1
      fs.writeFileSync(layer, bad)
      await assert.rejects(fetch(`docker://${host}/test/busybox:1`), { code: 'IMAGE_DIGEST_MISMATCH' })
      assert.deepEqual(fs.readdirSync(join(store.dir, 'images')), [])
      fs.writeFileSync(layer, good)
      await fetch(`docker://${host}/test/busybox:1`)
    })

    it('need the password where the registry asks for one', async () => {
      const { host } = await startRegistry({ password: true })
      const authFile = join(dir, 'auth.json')
      const login = (password: string) => {
        const auth = Buffer.from(`${PASSWORD.user}:${password}`).toString('base64')
        fs.writeFileSync(authFile, json({ auths: { [host]: { auth } } }))
        return fetch(`docker://${host}/test/busybox:1`, { environment: { REGISTRY_AUTH_FILE: authFile } })
      }
      await assert.rejects(fetch(`docker://${host}/test/busybox:1`), { code: 'IMAGE_SOURCE_DENIED' })
      await assert.rejects(login('wrong'), { code: 'IMAGE_SOURCE_DENIED' })
      assert.equal((await login(PASSWORD.password)).kind, 'oci')
    })
  })

  describe('a registry that misbehaves', () => {
    type Answer = (path: string, request: http.IncomingMessage, response: http.ServerResponse) => void

    /** A server on loopback, and the reference of an image there. */
    async function serve(answer: Answer): Promise<string> {
      const server = http.createServer((request, response) => answer(request.url ?? '', request, response))
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      cleanups.push(async () => {
        server.closeAllConnections()
        server.close()
        await once(server, 'close')
      })
      return `docker://127.0.0.1:${portOf(server)}/x:1`
    }

    /** Serves one manifest for any tag or digest, and blobs by digest. */
    function image(manifest: Buffer, type: string, blobs: ReadonlyMap<string, Buffer> = new Map()): Answer {
      return (path, _, response) => {
        if (path.includes('/manifests/')) response.setHeader('content-type', type).end(manifest)
        else {
          const blob = blobs.get(path.split('/').at(-1) ?? '')
          if (blob === undefined) response.writeHead(404).end()
          else response.end(blob)
        }
      }
    }

    function manifestOf(config: Buffer, layers: readonly unknown[] = [], more: object = {}): Buffer {
      const type = 'application/vnd.oci.image.config.v1+json'
      return json({
        schemaVersion: 2,
        config: { mediaType: type, digest: sha256(config), size: config.length },
        layers,
        ...more,
      })
    }

    const config = json({
      os: 'linux',
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      rootfs: { type: 'layers', diff_ids: [] },
    })

    const cases: { name: string; code: string; answer: () => Answer }[] = [
      {
        name: 'HTML with status 200',
        code: 'IMAGE_SOURCE_BAD',
        answer: () => (_, __, response) => response.setHeader('content-type', 'text/html').end('<html>login</html>'),
      },
      { name: 'no content type', code: 'IMAGE_SOURCE_BAD', answer: () => (_, __, response) => response.end('{}') },
      {
        name: 'an unknown media type',
        code: 'IMAGE_UNSUPPORTED',
        answer: () => image(Buffer.from('{}'), 'application/octet-stream'),
      },
      {
        name: 'a schema 1 manifest',
        code: 'IMAGE_UNSUPPORTED',
        answer: () => image(json({ schemaVersion: 1 }), 'application/vnd.docker.distribution.manifest.v1+prettyjws'),
      },
      {
        name: 'a manifest that is no JSON',
        code: 'IMAGE_MANIFEST_BAD',
        answer: () => image(Buffer.from('{'), MANIFEST),
      },
      {
        name: 'a manifest that is an index as well',
        code: 'IMAGE_MANIFEST_BAD',
        answer: () => image(manifestOf(config, [], { manifests: [] }), MANIFEST),
      },
      {
        name: 'a media type inside that is not the one outside',
        code: 'IMAGE_MANIFEST_BAD',
        answer: () => image(manifestOf(config, [], { mediaType: INDEX }), MANIFEST),
      },
      {
        name: 'a manifest that does not end',
        code: 'IMAGE_TOO_LARGE',
        answer: () => (_, __, response) => {
          response.setHeader('content-type', MANIFEST)
          const more = (): void => {
            while (response.write(Buffer.alloc(65536, 0x20)));
            response.once('drain', more)
          }
          more()
        },
      },
      {
        name: 'a redirect to itself',
        code: 'IMAGE_SOURCE_BAD',
        answer: () => (path, _, response) => response.writeHead(302, { location: path }).end(),
      },
      {
        name: 'a redirect to nowhere',
        code: 'IMAGE_SOURCE_BAD',
        answer: () => (_, __, response) => response.writeHead(302).end(),
      },
      {
        name: 'a redirect to a file',
        code: 'IMAGE_SOURCE_BAD',
        answer: () => (_, __, response) => response.writeHead(302, { location: 'file:///etc/passwd' }).end(),
      },
      {
        name: 'status 500',
        code: 'IMAGE_SOURCE_UNREACHABLE',
        answer: () => (_, __, response) => response.writeHead(500).end(),
      },
      {
        name: 'status 204',
        code: 'IMAGE_SOURCE_BAD',
        answer: () => (_, __, response) => response.writeHead(204).end(),
      },
      {
        name: 'a challenge it does not explain',
        code: 'IMAGE_SOURCE_BAD',
        answer: () => (_, __, response) => response.writeHead(401, { 'www-authenticate': 'Magic' }).end(),
      },
      {
        name: 'a token with a line break',
        code: 'IMAGE_MANIFEST_BAD',
        answer: () => (path, request, response) => {
          if (path.startsWith('/token')) response.end(json({ token: 'a\r\nx: y' }))
          else {
            const realm = `http://${request.headers.host}/token`
            response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}"` }).end()
          }
        },
      },
      {
        name: 'a connection that breaks',
        code: 'IMAGE_SOURCE_UNREACHABLE',
        answer: () => (_, request) => request.socket.destroy(),
      },
      {
        name: 'a missing configuration',
        code: 'IMAGE_BLOB_MISSING',
        answer: () => image(manifestOf(config), MANIFEST),
      },
      {
        name: 'another configuration of the same size',
        code: 'IMAGE_DIGEST_MISMATCH',
        answer: () => image(manifestOf(config), MANIFEST, new Map([[sha256(config), Buffer.alloc(config.length)]])),
      },
      {
        name: 'a configuration that is too short',
        code: 'IMAGE_SIZE_MISMATCH',
        answer: () => image(manifestOf(config), MANIFEST, new Map([[sha256(config), config.subarray(1)]])),
      },
      {
        name: 'a configuration that is too long',
        code: 'IMAGE_SIZE_MISMATCH',
        answer: () => image(manifestOf(config), MANIFEST, new Map([[sha256(config), Buffer.concat([config, config])]])),
      },
      {
        name: 'a blob that is cut off',
        code: 'IMAGE_SOURCE_UNREACHABLE',
        answer: () => (path, request, response) => {
          if (path.includes('/manifests/')) response.setHeader('content-type', MANIFEST).end(manifestOf(config))
          else {
            response.writeHead(200, { 'content-length': config.length })
            response.write(config.subarray(0, 10), () => request.socket.destroy())
          }
        },
      },
      {
        name: 'more diff_ids than layers',
        code: 'IMAGE_MANIFEST_BAD',
        answer: () => {
          const other = json({
            ...JSON.parse(config.toString()),
            rootfs: { type: 'layers', diff_ids: [sha256(config)] },
          })
          return image(manifestOf(other), MANIFEST, new Map([[sha256(other), other]]))
        },
      },
      {
        name: 'an image for another machine',
        code: 'IMAGE_PLATFORM_MISSING',
        answer: () => {
          const other = json({ ...JSON.parse(config.toString()), architecture: 'pdp11' })
          return image(manifestOf(other), MANIFEST, new Map([[sha256(other), other]]))
        },
      },
      {
        name: 'an index that points to another index without end',
        code: 'IMAGE_TOO_LARGE',
        answer: () => {
          let inner = manifestOf(config)
          let type = MANIFEST
          const all = new Map<string, Buffer>()
          for (let i = 0; i < 5; i++) {
            all.set(sha256(inner), inner)
            inner = json({
              schemaVersion: 2,
              manifests: [{ mediaType: type, digest: sha256(inner), size: inner.length }],
            })
            type = INDEX
          }
          return (path, _, response) => {
            const found = all.get(path.split('/').at(-1) ?? '') ?? inner
            response.setHeader('content-type', INDEX).end(found)
          }
        },
      },
    ]

    for (const { name, code, answer } of cases) {
      it(`is refused with ${code}: ${name}`, async () => {
        await assert.rejects(fetch(await serve(answer())), { code })
        for (const part of ['tmp', 'images', 'refs', 'trees'])
          assert.deepEqual(fs.readdirSync(join(store.dir, part)), [], part)
      })
    }

    it('gets no credentials that are for another host', async () => {
      let seen: string | undefined = 'never asked'
      const elsewhere = await serve((_, request, response) => {
        seen = request.headers.authorization
        response.writeHead(404).end()
      })
      const reference = await serve((_, request, response) => {
        if (request.headers.authorization === undefined)
          response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
        else response.writeHead(307, { location: `${elsewhere.replace('docker', 'http')}` }).end()
      })
      const host = new URL(reference.replace('docker', 'http')).host
      fs.writeFileSync(join(dir, 'auth.json'), json({ auths: { [host]: { auth: 'YTpi' } } }))
      const environment = { REGISTRY_AUTH_FILE: join(dir, 'auth.json') }
      await assert.rejects(fetch(reference, { environment }), { code: 'IMAGE_NOT_FOUND' })
      assert.equal(seen, undefined)
    })

    it('ends a fetch that is aborted', async () => {
      const abort = new AbortController()
      const reference = await serve(() => abort.abort())
      await assert.rejects(fetch(reference, { signal: abort.signal }))
      assert.deepEqual(fs.readdirSync(join(store.dir, 'tmp')), [])
    })
  })
})

function portOf(server: net.Server): number {
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  return address.port
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const port = portOf(server)
  server.close()
  await once(server, 'close')
  return port
}

/** Asks until a server answers at all. */
async function answers(url: string): Promise<void> {
  for (let i = 0; i < 500; i++) {
    const ok = await new Promise<boolean>((resolve) => {
      http.get(url, (r) => resolve(r.resume() !== undefined)).on('error', () => setTimeout(() => resolve(false), 20))
    })
    if (ok) return
  }
  throw new Error(`${url} does not answer`)
}

function largestFile(dir: string): string {
  const files = fs.readdirSync(dir, { recursive: true, encoding: 'utf8' }).map((name) => join(dir, name))
  const sized = files.map((file) => ({ file, size: fs.statSync(file).isFile() ? fs.statSync(file).size : 0 }))
  return sized.reduce((a, b) => (b.size > a.size ? b : a)).file
}
