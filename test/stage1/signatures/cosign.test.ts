import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import fs from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { fetchImage, openImageStore, type StoredImage } from '../../../stage1/image/index.ts'
import { type ConfigDirectories, provenanceCheck, requireProvenance } from '../../../stage1/signatures/index.ts'
import { cannotRender, json, sha256, tar, writeOciLayout } from '../../support/images.ts'
import { type Registry, startRegistry } from '../../support/registry.ts'
import { tempDir } from '../../support/temp-dir.ts'

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
const INDEX = 'application/vnd.oci.image.index.v1+json'
const SIMPLE_SIGNING = 'application/vnd.dev.cosign.simplesigning.v1+json'
const BUNDLE = 'application/vnd.dev.sigstore.bundle.v0.3+json'
const SIGN = 'https://sigstore.dev/cosign/sign/v1'

type Key = ReturnType<typeof makeKey>
const makeKey = () => generateKeyPairSync('ec', { namedCurve: 'P-256' })
const pem = (key: Key): string => key.publicKey.export({ type: 'spki', format: 'pem' }).toString()
const fingerprint = (key: Key): string =>
  `sha256:${createHash('sha256')
    .update(key.publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex')}`

describe('images in a registry signed with cosign keys', () => {
  const dir = tempDir()
  const [key, other] = [makeKey(), makeKey()]
  let registry: Registry
  let layout: string
  let image: string
  let manifest: Buffer
  let config: ConfigDirectories
  let round = 0
  /** A new repository for each test: signatures of one must not be found for the next. */
  let repository: string

  before(async function () {
    const reason = cannotRender() ?? (fs.existsSync('/usr/bin/docker-registry') ? undefined : 'no docker-registry')
    if (reason !== undefined) {
      console.log(`      skipped: ${reason}`)
      this.skip()
    }
    registry = await startRegistry(join(dir.path, 'registry'))
    layout = join(dir.path, 'layout')
    image = writeOciLayout(layout, { layers: [{ tar: tar([{ name: 'x', data: 'x' }]) }] }).manifestDigest
    manifest = fs.readFileSync(join(layout, 'blobs', image.replace(':', '/')))
  })
  after(async () => {
    await registry?.stop()
    dir.remove()
  })
  beforeEach(async () => {
    repository = `round${++round}/app`
    config = { local: join(dir.path, `config-${round}`), system: join(dir.path, 'none') }
    for (const name of fs.readdirSync(join(layout, 'blobs/sha256'))) {
      await pushBlob(fs.readFileSync(join(layout, 'blobs/sha256', name)))
    }
    await pushManifest('1', manifest)
  })

  const reference = () => `${registry.host}/${repository}`
  const policy = (requirement: Record<string, unknown>, scope = reference()): void => {
    fs.mkdirSync(config.local, { recursive: true })
    const transports = { docker: { [scope]: [{ type: 'sigstoreSigned', ...requirement }] } }
    fs.writeFileSync(
      join(config.local, 'image-policy.json'),
      JSON.stringify({ default: [{ type: 'reject' }], transports }),
    )
  }
  const keyData = (...keys: Key[]) => keys.map((k) => Buffer.from(pem(k)).toString('base64'))
  const store = () => openImageStore(join(dir.path, 'store'))
  const fetch = (name = `docker://${reference()}:1`): Promise<StoredImage> =>
    fetchImage(store(), name, {
      cwd: '/',
      relax: ['http'],
      checkProvenance: provenanceCheck({ config, acceptUnsigned: false, now: () => new Date() }),
    })

  /** Pushes what `cosign sign` pushes. */
  async function signAsTag(options: {
    by: Key
    of?: string
    reference?: string
    tag?: string
    payload?: (p: Buffer) => Buffer
  }): Promise<void> {
    const payload = simpleSigning(options.of ?? image, options.reference ?? reference())
    const signature = sign('sha256', payload, options.by.privateKey).toString('base64')
    const pushed = options.payload?.(payload) ?? payload
    const layer = {
      ...(await pushBlob(pushed)),
      mediaType: SIMPLE_SIGNING,
      annotations: { 'dev.cosignproject.cosign/signature': signature },
    }
    await pushArtifact([layer], options.tag ?? `${image.replace(':', '-')}.sig`)
  }

  async function signAsBundle(by: KeyObject, statement: unknown = statementAbout(image)): Promise<void> {
    const payload = json(statement)
    const type = 'application/vnd.in-toto+json'
    const encoded = Buffer.concat([Buffer.from(`DSSEv1 ${type.length} ${type} ${payload.length} `), payload])
    const bundle = {
      mediaType: BUNDLE,
      verificationMaterial: { publicKey: { hint: 'x' } },
      dsseEnvelope: {
        payload: payload.toString('base64'),
        payloadType: type,
        signatures: [{ sig: sign('sha256', encoded, by).toString('base64') }],
      },
    }
    const digest = await pushArtifact([{ ...(await pushBlob(json(bundle))), mediaType: BUNDLE }])
    const entry = { mediaType: MANIFEST, ...digest, artifactType: BUNDLE }
    // this registry has no list of referrers, so this is the fallback
    await pushManifest(image.replace(':', '-'), json({ schemaVersion: 2, mediaType: INDEX, manifests: [entry] }), INDEX)
  }

  it('are admitted by a key of the policy, recorded with it, and run', async () => {
    policy({ keyData: keyData(key)[0], signedIdentity: { type: 'matchRepository' } })
    await signAsTag({ by: key })
    const fetched = await fetch()
    const [signer, ...more] = fetched.origin.signers
    assert.deepEqual(more, [])
    assert.deepEqual([signer?.kind, signer?.key, signer?.reference], ['public-key', fingerprint(key), reference()])
    assert.equal(fetched.origin.policy?.scope, `docker ${reference()}`)
    requireProvenance(store(), fetched, config, ['http'])
    assert.throws(() => requireProvenance(store(), fetched, config, []), { code: 'IMAGE_RELAXED' })
    policy({ keyData: keyData(other)[0], signedIdentity: { type: 'matchRepository' } })
    assert.throws(() => requireProvenance(store(), fetched, config, ['http']), {
      code: 'IMAGE_SIGNATURE_BAD',
      message: /not in the policy/,
    })
  })

  it('are admitted by one of several keys, and by a key file for the whole registry', async () => {
    fs.writeFileSync(join(dir.path, 'key.pub'), pem(key))
    await signAsTag({ by: key })
    const identity = { signedIdentity: { type: 'matchRepository' } }
    policy({ keyPath: join(dir.path, 'key.pub'), ...identity }, registry.host)
    assert.equal((await fetch()).origin.signers[0]?.name, join(dir.path, 'key.pub'))
    policy({ keyDatas: keyData(other, key), ...identity })
    assert.equal((await fetch()).origin.signers[0]?.key, fingerprint(key))
  })

  it('are admitted by a bundle under the fallback tag, where the policy takes the digest alone', async () => {
    policy({ keyData: keyData(key)[0], signedIdentity: { type: 'matchDigest' } })
    await signAsBundle(key.privateKey)
    const fetched = await fetch()
    assert.equal(fetched.origin.signers[0]?.predicateType, SIGN)
    policy({ keyData: keyData(key)[0] })
    assert.throws(() => requireProvenance(store(), fetched, config, ['http']), { message: /names no image reference/ })
  })

  const refused: { name: string; code: string; make: () => Promise<void>; requirement?: Record<string, unknown> }[] = [
    { name: 'without a signature', code: 'IMAGE_UNSIGNED', make: async () => {} },
    { name: 'signed by another key', code: 'IMAGE_SIGNATURE_BAD', make: () => signAsTag({ by: other }) },
    {
      name: 'with the signature of another image',
      code: 'IMAGE_SIGNATURE_BAD',
      make: () => signAsTag({ by: key, of: `sha256:${'0'.repeat(64)}` }),
    },
    {
      name: 'signed under another name',
      code: 'IMAGE_SIGNATURE_BAD',
      make: () => signAsTag({ by: key, reference: 'registry.example/other' }),
    },
    {
      name: 'with a payload that was changed',
      code: 'IMAGE_SIGNATURE_BAD',
      make: () =>
        signAsTag({
          by: key,
          payload: (p) => Buffer.from(p.toString('utf8').replace('"optional":{}', '"optional":{"a":"b"}')),
        }),
    },
    {
      name: 'signed without a log where one is asked for',
      code: 'IMAGE_SIGNATURE_BAD',
      make: () => signAsTag({ by: key }),
      requirement: { rekorPublicKeyData: Buffer.from(pem(makeKey())).toString('base64') },
    },
    {
      name: 'with a bundle about another image',
      code: 'IMAGE_SIGNATURE_BAD',
      make: () => signAsBundle(key.privateKey, statementAbout(`sha256:${'0'.repeat(64)}`)),
      requirement: { signedIdentity: { type: 'matchDigest' } },
    },
    {
      name: 'with an attestation that is no signature',
      code: 'IMAGE_SIGNATURE_BAD',
      make: () =>
        signAsBundle(key.privateKey, { ...statementAbout(image), predicateType: 'https://spdx.dev/Document' }),
      requirement: { signedIdentity: { type: 'matchDigest' } },
    },
  ]
  for (const { name, code, make, requirement } of refused) {
    it(`are refused ${name} (${code})`, async () => {
      policy({ keyData: keyData(key)[0], signedIdentity: { type: 'matchRepository' }, ...requirement })
      await make()
      await assert.rejects(fetch(), { code })
      assert.deepEqual(
        fs.readdirSync(join(dir.path, 'store/refs')).filter((n) => n.includes(`round${round}`)),
        [],
      )
    })
  }

  it('are refused under a name that the policy does not speak of', async () => {
    policy({ keyData: keyData(key)[0] }, 'registry.example')
    await signAsTag({ by: key })
    await assert.rejects(fetch(), { code: 'IMAGE_POLICY_REFUSES', message: /scope default/ })
  })

  const statementAbout = (digest: string) => ({
    _type: 'https://in-toto.io/Statement/v1',
    subject: [{ digest: { sha256: digest.slice('sha256:'.length) } }],
    predicateType: SIGN,
    predicate: {},
  })

  async function pushArtifact(layers: readonly unknown[], tag?: string): Promise<{ digest: string; size: number }> {
    const empty = { mediaType: 'application/vnd.oci.empty.v1+json', ...(await pushBlob(Buffer.from('{}'))) }
    const bytes = json({ schemaVersion: 2, mediaType: MANIFEST, config: empty, layers })
    await pushManifest(tag ?? sha256(bytes), bytes)
    return { digest: sha256(bytes), size: bytes.length }
  }

  async function pushBlob(bytes: Uint8Array): Promise<{ digest: string; size: number }> {
    const start = await send('POST', `/v2/${repository}/blobs/uploads/`)
    const digest = sha256(bytes)
    const location = new URL(start.location, `http://${registry.host}`)
    location.searchParams.set('digest', digest)
    assert.equal((await send('PUT', location.pathname + location.search, bytes)).status, 201)
    return { digest, size: bytes.length }
  }

  async function pushManifest(name: string, bytes: Uint8Array, type = MANIFEST): Promise<void> {
    assert.equal((await send('PUT', `/v2/${repository}/manifests/${name}`, bytes, type)).status, 201)
  }

  function send(method: string, path: string, body?: Uint8Array, type = 'application/octet-stream') {
    return new Promise<{ status: number; location: string }>((resolve, reject) => {
      const call = request(
        `http://${registry.host}${path}`,
        { method, headers: { 'content-type': type } },
        (answer) => {
          answer.resume()
          answer.on('end', () => resolve({ status: answer.statusCode ?? 0, location: answer.headers.location ?? '' }))
        },
      )
      call.on('error', reject)
      call.end(body)
    })
  }
})

function simpleSigning(digest: string, reference: string): Buffer {
  return json({
    critical: {
      identity: { 'docker-reference': reference },
      image: { 'docker-manifest-digest': digest },
      type: 'cosign container image signature',
    },
    optional: {},
  })
}
