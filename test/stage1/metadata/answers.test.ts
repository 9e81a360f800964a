import assert from 'node:assert/strict'
import { fromUtf8, utf8 } from '../../../attestation/base/index.ts'
import { parseImageManifest, readPodManifest } from '../../../stage1/manifest/index.ts'
import { type AskingPod, answerMetadata } from '../../../stage1/metadata/answers.ts'

const UUID = '5c1d0000-0000-4000-8000-000000000001'
const IMAGE_ID = `sha512-${'a'.repeat(64)}`
const MANIFEST = readPodManifest({
  acKind: 'PodManifest',
  acVersion: '0.8.11',
  apps: [
    {
      name: 'web',
      image: { id: IMAGE_ID, name: 'example.com/web' },
      app: { exec: ['/bin/web'], user: '0', group: '0', workingDirectory: '/' },
      annotations: [
        { name: 'tier', value: "the pod's" },
        { name: 'only-pod', value: 'p' },
      ],
    },
  ],
  volumes: [],
  isolators: [],
  annotations: [{ name: 'ours', value: 'yes' }],
})
const IMAGE = parseImageManifest(
  utf8(
    JSON.stringify({
      acKind: 'ImageManifest',
      acVersion: '0.8.11',
      name: 'example.com/web',
      annotations: [
        { name: 'authors', value: 'nobody' },
        { name: 'tier', value: "the image's" },
      ],
    }),
  ),
)
const POD: AskingPod = {
  uuid: UUID,
  manifest: MANIFEST,
  imageOf: (id) => {
    assert.equal(id, IMAGE_ID)
    return IMAGE
  },
  sign: (content) => `signed ${content}`,
  verify: (uuid, content, signature) => uuid === UUID && signature === `signed ${content}`,
}

function ask(method: string, path: string, form: Record<string, string> = {}) {
  const { status, contentType, body } = answerMetadata(POD, { method, path, form: new URLSearchParams(form) })
  return { status, contentType, body: fromUtf8(body) }
}
const get = (path: string) => ask('GET', `/acMetadata/v1${path}`)
const post = (path: string, form: Record<string, string>) => ask('POST', `/acMetadata/v1${path}`, form)

describe('answers of the metadata service', () => {
  const TEXT = 'text/plain; charset=us-ascii'

  it('tell the pod its UUID, manifest and annotations', () => {
    assert.deepEqual(get('/pod/uuid'), { status: 200, contentType: TEXT, body: UUID })
    const manifest = get('/pod/manifest')
    assert.equal(manifest.contentType, 'application/json')
    assert.deepEqual(readPodManifest(JSON.parse(manifest.body)), MANIFEST)
    assert.deepEqual(JSON.parse(get('/pod/annotations').body), [{ name: 'ours', value: 'yes' }])
  })

  it("tell an app its image's ID and manifest, and annotations in which the pod has the last word", () => {
    assert.deepEqual(get('/apps/web/image/id'), { status: 200, contentType: TEXT, body: IMAGE_ID })
    const { contentType, body } = get('/apps/web/image/manifest')
    assert.equal(contentType, 'application/json')
    assert.deepEqual(parseImageManifest(utf8(body)), IMAGE)
    assert.deepEqual(JSON.parse(get('/apps/web/annotations').body), [
      { name: 'authors', value: 'nobody' },
      { name: 'tier', value: "the pod's" },
      { name: 'only-pod', value: 'p' },
    ])
  })

  it('sign and verify', () => {
    assert.deepEqual(post('/pod/hmac/sign', { content: 'a b' }), { status: 200, contentType: TEXT, body: 'signed a b' })
    const form = { uuid: UUID, content: 'a b', signature: 'signed a b' }
    assert.deepEqual(post('/pod/hmac/verify', form), { status: 200, contentType: TEXT, body: '' })
    for (const changed of [{ uuid: UUID.replace('5', '6') }, { content: 'a' }, { signature: 'signed' }]) {
      assert.equal(post('/pod/hmac/verify', { ...form, ...changed }).status, 403)
    }
  })

  const refused: readonly (readonly [status: number, method: string, path: string, form?: Record<string, string>])[] = [
    [404, 'GET', '/'],
    [404, 'GET', '/acMetadata/v2/pod/uuid'],
    [404, 'GET', '/acMetadata/v1/'],
    [404, 'GET', '/acMetadata/v1/pod'],
    [404, 'GET', '/acMetadata/v1/pod/uuid/x'],
    [404, 'GET', '/acMetadata/v1/apps/other/image/id'],
    [404, 'GET', '/acMetadata/v1/apps/web'],
    [404, 'GET', '/acMetadata/v1/apps/web/image'],
    [404, 'GET', '/acMetadata/v1/apps//image/id'],
    [405, 'POST', '/acMetadata/v1/pod/uuid'],
    [405, 'DELETE', '/acMetadata/v1/pod/manifest'],
    [405, 'GET', '/acMetadata/v1/pod/hmac/sign'],
    [400, 'POST', '/acMetadata/v1/pod/hmac/sign'],
    [400, 'POST', '/acMetadata/v1/pod/hmac/verify', { content: 'a', uuid: UUID }],
  ]
  for (const [status, method, path, form] of refused) {
    it(`refuse ${method} ${path} with ${status}`, () => assert.equal(ask(method, path, form).status, status))
  }
})
