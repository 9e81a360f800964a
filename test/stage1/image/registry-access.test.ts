import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import type { FetchOptions } from '../../../stage1/image/index.ts'
import { ImageFixture } from '../../support/image-fixture.ts'
import { answering, type ImageAnswer, sendBlob, servedImage } from '../../support/image-server.ts'
import { json, sha256 } from '../../support/images.ts'

const BASIC = Buffer.from('alice:swordfish').toString('base64')

describe('access to registries', () => {
  const images = ImageFixture.forSuite()
  const fetch = (host: string, more: Partial<FetchOptions> = {}, name = 'team/x:1') => images.pull(host, more, name)

  function authFile(content: object): { REGISTRY_AUTH_FILE: string; PATH?: string } {
    fs.writeFileSync(join(images.dir, 'auth.json'), json(content))
    return { REGISTRY_AUTH_FILE: join(images.dir, 'auth.json') }
  }

  /** Answers only with a bearer token, which it gives to those who have the password (or anybody, where that is undefined). */
  function bearer(basic: string | undefined, realm: (own: string) => string, seen: http[] = []): ImageAnswer {
    const good = answering(servedImage([100]))
    return (path, request, response) => {
      const own = `http://${request.headers.host}`
      if (path.startsWith('/token')) {
        seen.push({ path, authorization: request.headers.authorization })
        if (basic !== undefined && request.headers.authorization !== `Basic ${basic}`) response.writeHead(401).end()
        else response.end(json({ token: 'ticket-to-read' }))
      } else if (request.headers.authorization === 'Bearer ticket-to-read') good(path, request, response)
      else {
        const challenge = `Bearer realm="${realm(own)}",service="registry",scope="repository:other/secret:pull,push"`
        response.writeHead(401, { 'www-authenticate': challenge }).end()
      }
    }
  }
  interface http {
    readonly path: string
    readonly authorization: string | undefined
  }

  it('is by a token where the registry wants one, and for this repository only', async () => {
    const seen: http[] = []
    const server = await images.serve(bearer(BASIC, (own) => `${own}/token`, seen))
    const environment = authFile({ auths: { [server.host]: { auth: BASIC } } })
    await fetch(server.host, { environment })
    const [first] = seen
    assert.equal(new URL(first?.path ?? '', 'http://x').searchParams.get('scope'), 'repository:team/x:pull')
    assert.equal(first?.authorization, `Basic ${BASIC}`)
    await assert.rejects(fetch(server.host, { environment: authFile({ auths: {} }) }, 'team/y:1'), {
      code: 'IMAGE_SOURCE_DENIED',
    })
  })

  it('gives anybody a token who needs no password', async () => {
    const server = await images.serve(bearer(undefined, (own) => `${own}/token`))
    await fetch(server.host)
  })

  it('never sends the password to another host in plain HTTP, whatever the registry says', async () => {
    const seen: (string | undefined)[] = []
    const elsewhere = await images.serve((_, request, response) => {
      seen.push(request.headers.authorization)
      response.end(json({ token: 'ticket-to-read' }))
    })
    const server = await images.serve(bearer(undefined, () => `http://${elsewhere.host}/token`))
    await assert.rejects(fetch(server.host, { environment: authFile({ auths: { [server.host]: { auth: BASIC } } }) }), {
      code: 'IMAGE_SOURCE_DENIED',
    })
    assert.deepEqual(seen, [])
    await fetch(server.host) // without a password there is nothing to lose
    assert.deepEqual(seen, [undefined])
  })

  const keys: { name: string; content: (host: string) => object; granted: boolean }[] = [
    { name: 'the host', content: (h) => ({ auths: { [h]: { auth: BASIC } } }), granted: true },
    {
      name: 'a URL of old versions',
      content: (h) => ({ auths: { [`https://${h}/v2/`]: { auth: BASIC } } }),
      granted: true,
    },
    {
      name: 'the most specific of several',
      content: (h) => ({ auths: { [h]: { auth: 'd3Jvbmc6eA==' }, [`${h}/team`]: { auth: BASIC } } }),
      granted: true,
    },
    { name: 'another repository', content: (h) => ({ auths: { [`${h}/other`]: { auth: BASIC } } }), granted: false },
    { name: 'another host', content: () => ({ auths: { 'h.example': { auth: BASIC } } }), granted: false },
    { name: 'an identity token', content: (h) => ({ auths: { [h]: { identitytoken: 'x' } } }), granted: false },
    { name: 'what is no base64', content: (h) => ({ auths: { [h]: { auth: 'a b' } } }), granted: false },
  ]
  for (const { name, content, granted } of keys) {
    it(`is ${granted ? 'granted' : 'denied'} with a password under ${name}`, async () => {
      const good = answering(servedImage([10]))
      const server = await images.serve((path, request, response) => {
        if (request.headers.authorization === `Basic ${BASIC}`) good(path, request, response)
        else response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
      })
      const fetching = fetch(server.host, { environment: authFile(content(server.host)) })
      if (granted) await fetching
      else await assert.rejects(fetching, { code: 'IMAGE_SOURCE_DENIED' })
    })
  }

  const helpers: { name: string; script: string; granted: boolean }[] = [
    { name: 'knows it', script: `read host; echo '{"Username":"alice","Secret":"swordfish"}'`, granted: true },
    { name: 'does not know it', script: `echo 'credentials not found in native keychain'; exit 1`, granted: false },
    { name: 'fails', script: 'exit 3', granted: false },
    { name: 'answers nonsense', script: 'echo hello', granted: false },
    { name: 'has an identity token', script: `echo '{"Username":"<token>","Secret":"x"}'`, granted: false },
    { name: 'does not stop talking', script: 'exec cat /dev/zero', granted: false },
  ]
  for (const { name, script, granted } of helpers) {
    it(`is ${granted ? 'granted' : 'denied'} when the credential helper ${name}`, async () => {
      const good = answering(servedImage([10]))
      const server = await images.serve((path, request, response) => {
        if (request.headers.authorization === `Basic ${BASIC}`) good(path, request, response)
        else response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
      })
      fs.writeFileSync(join(images.dir, 'docker-credential-test'), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
      const environment = {
        ...authFile({ credHelpers: { [server.host]: 'test' } }),
        PATH: `${images.dir}:/usr/bin:/bin`,
      }
      const fetching = fetch(server.host, { environment })
      if (granted) await fetching
      else await assert.rejects(fetching, { code: 'IMAGE_SOURCE_DENIED' })
    })
  }

  it('starts no helper whose name is a path', async () => {
    const server = await images.serve((_, __, response) =>
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end(),
    )
    const environment = authFile({ credsStore: '../../bin/sh' })
    await assert.rejects(fetch(server.host, { environment }), {
      code: 'IMAGE_SOURCE_DENIED',
      message: /no name of a helper/,
    })
  })

  describe('through mirrors', () => {
    const image = servedImage([1000, 2000])
    const byDigest = (path: string): boolean => /sha256:[0-9a-f]{64}$/.test(path)

    function settings(text: string): string {
      fs.writeFileSync(join(images.dir, 'registries.yaml'), text)
      return join(images.dir, 'registries.yaml')
    }

    it('takes what has a digest from the mirror, and what a tag stands for from the registry', async () => {
      const registry = await images.serve(answering(image))
      const mirror = await images.serve(answering(image))
      const registriesFile = settings(
        `registries:\n  '${registry.host}':\n    mirrors: [{ location: '${mirror.host}/cache' }]\n`,
      )
      await fetch(registry.host, { registriesFile })
      assert.deepEqual(registry.asked, ['/v2/team/x/manifests/1'])
      assert.equal(mirror.asked.length, 3)
      assert.ok(mirror.asked.every((path) => path.startsWith('/v2/cache/team/x/') && byDigest(path)))
    })

    it('asks the mirror for tags where the settings say so', async () => {
      const mirror = await images.serve(answering(image))
      const registriesFile = settings(
        `registries:\n  registry.invalid:\n    mirrors: [{ location: '${mirror.host}', tags: true }]\n`,
      )
      const fetched = await fetch('registry.invalid', { registriesFile })
      assert.equal(fetched.origin.name, 'docker://registry.invalid/team/x:1')
    })

    const broken: { name: string; answer: ImageAnswer }[] = [
      { name: 'is down', answer: (_, request) => request.socket.destroy() },
      { name: 'has nothing', answer: (_, __, response) => response.writeHead(404).end() },
      {
        name: 'asks for a password',
        answer: (_, __, response) => response.writeHead(401, { 'www-authenticate': 'Basic' }).end(),
      },
      {
        name: 'sends other bytes',
        answer: (path, request, response) => {
          const blob = image.blobs.get(path.split('/').at(-1) ?? '') ?? Buffer.from('{}')
          sendBlob(Buffer.alloc(blob.length), request, response)
        },
      },
      {
        name: 'sends HTML',
        answer: (_, __, response) => response.setHeader('content-type', 'text/html').end('<html>'),
      },
    ]
    for (const { name, answer } of broken) {
      it(`goes to the registry when the mirror ${name}`, async () => {
        const registry = await images.serve(answering(image))
        const mirror = await images.serve(answer)
        const registriesFile = settings(
          `registries:\n  '${registry.host}':\n    mirrors: [{ location: '${mirror.host}', tags: true }]\n`,
        )
        if (name === 'sends other bytes') {
          await fetch(registry.host, { registriesFile }, `team/x@${sha256(image.manifest)}`)
        } else await fetch(registry.host, { registriesFile })
        assert.ok(mirror.asked.length > 0)
      })
    }

    it('allows plain HTTP for the registries that say so, and for no other', async () => {
      const registry = await images.serve(answering(image))
      const named = settings(`registries:\n  '${registry.host}': { http: true }\n`)
      assert.deepEqual((await fetch(registry.host, { relax: [], registriesFile: named })).origin.relaxed, ['http'])
      const other = settings(`registries:\n  h.example: { http: true }\n`)
      await assert.rejects(fetch(registry.host, { relax: [], registriesFile: other }), {
        code: 'IMAGE_SOURCE_UNREACHABLE',
      })
    })

    for (const [name, text] of Object.entries({
      'an unknown setting': 'registries: { h.example: { mirror: [] } }',
      'a mirror with a scheme': 'registries: { h.example: { mirrors: [{ location: https://m.example }] } }',
      'a registry that is a URL': "registries: { 'https://h.example': { http: true } }",
      'a file of certificates that is not there': 'registries: { h.example: { ca: nowhere.pem } }',
      'no settings': 'hello',
    })) {
      it(`refuses ${name}`, async () => {
        await assert.rejects(fetch('h.example', { registriesFile: settings(text) }), { code: 'IMAGE_SETTINGS_BAD' })
      })
    }
  })
})
