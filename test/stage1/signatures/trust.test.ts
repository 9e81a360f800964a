import assert from 'node:assert/strict'
import fs from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import fc from 'fast-check'
import { HttpClient } from '../../../stage1/image/index.ts'
import { readDiscoveryTags } from '../../../stage1/signatures/discovery.ts'
import {
  discoverImage,
  loadKeyFiles,
  parseAppcName,
  parsePublicKeys,
  SignatureError,
} from '../../../stage1/signatures/index.ts'
import { dearmor } from '../../../stage1/signatures/openpgp.ts'
import { fuzzRuns } from '../../support/fuzz.ts'
import { HOLDFAST_PROGRAM, run } from '../../support/holdfast.ts'
import { configOptions } from '../../support/image-policy.ts'
import { OpenPgpHome, openPgpMissing } from '../../support/openpgp.ts'
import { tempDir } from '../../support/temp-dir.ts'

describe('the trust store', () => {
  const dir = tempDir()
  let pgp: OpenPgpHome
  let key: string
  before(function () {
    const reason = openPgpMissing() ?? (fs.existsSync(HOLDFAST_PROGRAM) ? undefined : 'not built (npm run build)')
    if (reason !== undefined) {
      console.log(`      skipped: ${reason}`)
      this.skip()
    }
    pgp = new OpenPgpHome(join(dir.path, 'gnupg'))
    key = pgp.makeKey('Release <release@example.com>')
    fs.writeFileSync(join(dir.path, 'key.asc'), pgp.exportKey(key))
  })
  after(() => {
    pgp?.stop()
    dir.remove()
  })

  const config = join(dir.path, 'config')
  const trust = (...args: string[]) => run(HOLDFAST_PROGRAM, ['trust', ...args, ...configOptions(config)])
  const list = async (): Promise<unknown[]> => JSON.parse((await trust('list', '--format=json')).stdout)

  it('takes a key for a prefix after its fingerprint was looked at, lists it, and takes it away', async () => {
    const asked = await trust('add', '--prefix', 'example.com/team', join(dir.path, 'key.asc'))
    assert.equal(asked.status, 254, 'nobody is there to look at it')
    assert.match(asked.stderr, new RegExp(key))
    assert.deepEqual(await list(), [])
    const added = await trust(
      'add',
      '--prefix',
      'example.com/team',
      '--skip-fingerprint-review',
      join(dir.path, 'key.asc'),
    )
    assert.deepEqual([added.status, added.stdout], [0, `${key}\n`])
    const file = join(config, 'trustedkeys/prefix.d/example.com/team', key)
    const entry = {
      fingerprint: key,
      prefix: 'example.com/team',
      from: 'local',
      file,
      userIds: ['Release <release@example.com>'],
    }
    assert.deepEqual(await list(), [entry])
    assert.equal((await trust('rm', '--root', key)).status, 254, 'it is not trusted for all images')
    assert.equal((await trust('rm', '--prefix', 'example.com/team', key)).status, 0)
    assert.deepEqual(await list(), [])
    assert.equal(fs.existsSync(file), false)
  })

  it('masks a key of the system that is taken away', async () => {
    const system = join(config, 'system/trustedkeys/root.d')
    fs.mkdirSync(system, { recursive: true })
    fs.writeFileSync(join(system, key), pgp.exportKey(key, { binary: true }))
    assert.equal((await list()).length, 1)
    assert.equal((await trust('rm', '--root', key)).status, 0)
    assert.equal(fs.statSync(join(config, 'trustedkeys/root.d', key)).size, 0)
    assert.deepEqual(await list(), [])
  })

  for (const [why, args] of [
    ['neither prefix nor root', ['add', 'key.asc']],
    ['both', ['add', '--root', '--prefix', 'example.com', 'key.asc']],
    [
      'a prefix that leads elsewhere',
      ['add', '--prefix', '../../x', '--skip-fingerprint-review', join(dir.path, 'key.asc')],
    ],
    ['a file that is no key', ['add', '--root', '--skip-fingerprint-review', '/etc/hostname']],
    ['what is no fingerprint', ['rm', '--root', 'abc']],
  ] as const) {
    it(`refuses ${why}`, async () => assert.equal((await trust(...args)).status, 254))
  }
})

describe('discovery of images and keys', () => {
  const pages = new Map<string, string>()
  let server: Server
  let client: HttpClient
  before(async () => {
    server = createServer((request, response) => {
      const page = pages.get(request.url ?? '')
      response.writeHead(page === undefined ? 404 : 200, { 'content-type': 'text/html' }).end(page)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo // it listens on a port
    /** Names of images are hosts without a port: all of them are here. */
    class LoopbackClient extends HttpClient {
      override origin(): string {
        return `http://127.0.0.1:${port}`
      }
    }
    client = new LoopbackClient({
      plainHttp: () => true,
      verifyCertificate: true,
      certificateAuthorities: () => undefined,
    })
  })
  after(async () => {
    client.close()
    await new Promise((resolve) => server.close(resolve))
  })
  beforeEach(() => pages.clear())
  const machine = { os: 'linux', arch: 'amd64' }
  const nameOf = (text: string) => parseAppcName(text, machine) ?? assert.fail(`${text} is no name`)
  const tag = (content: string, name = 'ac-discovery') =>
    `<html><head><meta name="${name}" content="${content}"></head></html>`

  it('fills the template of the page for the name, or of one above it', async () => {
    pages.set(
      '/team?ac-discovery=1',
      tag('example.com/team https://cdn.example.com/{name}-{version}-{os}-{arch}.{ext}'),
    )
    assert.equal(
      (await discoverImage(client, nameOf('example.com/team/app:1.2'))).href,
      'https://cdn.example.com/example.com/team/app-1.2-linux-amd64.aci',
    )
    assert.match(
      (await discoverImage(client, nameOf('example.com/team/app,arch=aarch64'))).href,
      /-latest-linux-aarch64\.aci$/,
    )
  })

  it('takes no tag that is for another name', async () => {
    pages.set('/app?ac-discovery=1', tag('example.com/ap https://x/{name}.{ext}'))
    pages.set('/?ac-discovery=1', tag('other.example https://x/{name}.{ext}'))
    await assert.rejects(discoverImage(client, nameOf('example.com/app')), { code: 'TRUST_DISCOVERY_FAILED' })
  })

  it('takes no template that leaves something open, or is no URL', async () => {
    for (const template of ['https://x/{name}-{flavour}.{ext}', 'file:///{name}', 'x']) {
      pages.set('/app?ac-discovery=1', tag(`example.com ${template}`))
      await assert.rejects(discoverImage(client, nameOf('example.com/app')), { code: 'TRUST_DISCOVERY_FAILED' })
    }
  })

  it('finds keys by their own tag', async () => {
    const port = new URL(client.origin('')).port
    pages.set('/app?ac-discovery=1', tag(`example.com/app http://127.0.0.1:${port}/keys.asc`, 'ac-discovery-pubkeys'))
    pages.set('/keys.asc', 'some bytes')
    const [file] = await loadKeyFiles(client, [], 'example.com/app')
    assert.equal(new TextDecoder().decode(file?.bytes), 'some bytes')
    await assert.rejects(loadKeyFiles(client, [], undefined), { code: 'TRUST_DISCOVERY_FAILED' })
  })

  it('a page names keys by URLs alone: it opens no file here, and steers no terminal', async () => {
    const named = (template: string) =>
      pages.set('/app?ac-discovery=1', tag(`example.com/app ${template}`, 'ac-discovery-pubkeys'))
    const port = new URL(client.origin('')).port
    const file = '/proc/version' // is there on any machine, and no key
    for (const template of [file, `file://${file}`, 'key.asc']) {
      named(template)
      await assert.rejects(loadKeyFiles(client, [], 'example.com/app'), { code: 'TRUST_DISCOVERY_FAILED' }, template)
    }
    named(`http://127.0.0.1:${port}/keys.asc#\x1b[2K\x1b[8m`)
    pages.set('/keys.asc', 'some bytes')
    const [found] = await loadKeyFiles(client, [], 'example.com/app')
    assert.match(found?.place ?? '', /^[\x21-\x7e]+$/)
  })

  // looked through anew from each beginning, these would take minutes: the time-out of a test is the bound
  it('is done with comments that do not end, and with what is in them', () => {
    assert.deepEqual(readDiscoveryTags('<!--'.repeat(1 << 17), 'ac-discovery'), [])
    assert.deepEqual(readDiscoveryTags(`<!-- ${tag('a b')}`, 'ac-discovery'), [])
  })

  it('is done with armor that is empty lines and no end', () => {
    for (const kind of ['SIGNATURE', 'PUBLIC KEY BLOCK'] as const) {
      const text = `-----BEGIN PGP ${kind}-----\n\n${'\n'.repeat(300_000)}!\n-----END PGP ${kind}-----`
      assert.throws(() => dearmor(Buffer.from(text), kind), { code: 'TRUST_KEY_BAD' })
    }
  })

  it('reads tags in any order of attributes and kind of quotes, and none in comments', () => {
    const html = `<!-- ${tag('a b')} --><META content='p  t?a=1&amp;b=2' name=ac-discovery><meta name="ac-discovery" content="a b c">`
    assert.deepEqual(readDiscoveryTags(html, 'ac-discovery'), [{ prefix: 'p', template: 't?a=1&b=2' }])
  })

  for (const text of ['busybox', 'sha256-0123', 'localhost/x', 'example.com', 'Example.com/x', 'example.com/../x']) {
    it(`'${text}' is no name that is looked up`, () => assert.equal(parseAppcName(text, machine), undefined))
  }

  it('any bytes are keys or a coded error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          parsePublicKeys(bytes)
        } catch (err) {
          assert.ok(err instanceof SignatureError && err.code === 'TRUST_KEY_BAD', String(err))
        }
      }),
      { numRuns: fuzzRuns(500) },
    )
  })
})
