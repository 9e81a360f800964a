import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { fetchImage, openImageStore, type StoredImage } from '../../../stage1/image/index.ts'
import { type ConfigDirectories, provenanceCheck, requireProvenance } from '../../../stage1/signatures/index.ts'
import {
  BUNDLE,
  bundleOf,
  type CosignKey,
  fingerprintOf,
  makeCosignKey,
  pemOf,
  pushSimpleSignature,
  SIGN,
  statementAbout,
} from '../../support/cosign.ts'
import { cannotRender, json, tar, writeOciLayout } from '../../support/images.ts'
import { type Registry, startRegistry } from '../../support/registry.ts'
import { INDEX, MANIFEST, Repository } from '../../support/repository.ts'
import { tempDir } from '../../support/temp-dir.ts'

describe('images in a registry signed with cosign keys', () => {
  const dir = tempDir()
  const [key, other] = [makeCosignKey(), makeCosignKey()]
  let registry: Registry
  let layout: string
  let image: string
  let config: ConfigDirectories
  let round = 0
  /** A new repository for each test: signatures of one must not be found for the next. */
  let repository: Repository

  before(async function () {
    const reason = cannotRender() ?? (fs.existsSync('/usr/bin/docker-registry') ? undefined : 'no docker-registry')
    if (reason !== undefined) {
      console.log(`      skipped: ${reason}`)
      this.skip()
    }
    registry = await startRegistry(join(dir.path, 'registry'))
    layout = join(dir.path, 'layout')
    image = writeOciLayout(layout, { layers: [{ tar: tar([{ name: 'x', data: 'x' }]) }] }).manifestDigest
  })
  after(async () => {
    await registry?.stop()
    dir.remove()
  })
  beforeEach(async () => {
    repository = new Repository(registry.host, `round${++round}/app`)
    config = { local: join(dir.path, `config-${round}`), system: join(dir.path, 'none') }
    await repository.pushLayout(layout, image, '1')
  })

  const reference = () => repository.reference
  const policy = (requirement: Record<string, unknown>, scope = reference()): void => {
    fs.mkdirSync(config.local, { recursive: true })
    const transports = { docker: { [scope]: [{ type: 'sigstoreSigned', ...requirement }] } }
    fs.writeFileSync(
      join(config.local, 'image-policy.json'),
      JSON.stringify({ default: [{ type: 'reject' }], transports }),
    )
  }
  const keyData = (...keys: CosignKey[]) => keys.map((k) => Buffer.from(pemOf(k)).toString('base64'))
  const store = () => openImageStore(join(dir.path, 'store'))
  const fetch = (name = `docker://${reference()}:1`): Promise<StoredImage> =>
    fetchImage(store(), name, {
      cwd: '/',
      relax: ['http'],
      checkProvenance: provenanceCheck({ config, acceptUnsigned: false, now: () => new Date() }),
    })

  const signAsTag = (options: Partial<Parameters<typeof pushSimpleSignature>[1]> & { readonly by: CosignKey }) =>
    pushSimpleSignature(repository, { of: image, tag: image, ...options })

  async function signAsBundle(by: CosignKey, statement: unknown = statementAbout(image)): Promise<void> {
    const bundle = bundleOf(by.privateKey, statement)
    const pushed = await repository.pushArtifact([{ ...(await repository.pushBlob(bundle)), mediaType: BUNDLE }])
    const entry = { mediaType: MANIFEST, ...pushed, artifactType: BUNDLE }
    // this registry has no list of referrers, so this is the fallback
    const index = json({ schemaVersion: 2, mediaType: INDEX, manifests: [entry] })
    await repository.pushManifest(image.replace(':', '-'), index, INDEX)
  }

  it('are admitted by a key of the policy, recorded with it, and run', async () => {
    policy({ keyData: keyData(key)[0], signedIdentity: { type: 'matchRepository' } })
    await signAsTag({ by: key })
    const fetched = await fetch()
    const [signer, ...more] = fetched.origin.signers
    assert.deepEqual(more, [])
    assert.deepEqual([signer?.kind, signer?.key, signer?.reference], ['public-key', fingerprintOf(key), reference()])
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
    fs.writeFileSync(join(dir.path, 'key.pub'), pemOf(key))
    await signAsTag({ by: key })
    const identity = { signedIdentity: { type: 'matchRepository' } }
    policy({ keyPath: join(dir.path, 'key.pub'), ...identity }, registry.host)
    assert.equal((await fetch()).origin.signers[0]?.name, join(dir.path, 'key.pub'))
    policy({ keyDatas: keyData(other, key), ...identity })
    assert.equal((await fetch()).origin.signers[0]?.key, fingerprintOf(key))
  })

  it('are admitted by a bundle under the fallback tag, where the policy takes the digest alone', async () => {
    policy({ keyData: keyData(key)[0], signedIdentity: { type: 'matchDigest' } })
    await signAsBundle(key)
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
      requirement: { rekorPublicKeyData: Buffer.from(pemOf(makeCosignKey())).toString('base64') },
    },
    {
      name: 'with a bundle about another image',
      code: 'IMAGE_SIGNATURE_BAD',
      make: () => signAsBundle(key, statementAbout(`sha256:${'0'.repeat(64)}`)),
      requirement: { signedIdentity: { type: 'matchDigest' } },
    },
    {
      name: 'with an attestation that is no signature',
      code: 'IMAGE_SIGNATURE_BAD',
      make: () => signAsBundle(key, { ...statementAbout(image), predicateType: 'https://spdx.dev/Document' }),
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
})
