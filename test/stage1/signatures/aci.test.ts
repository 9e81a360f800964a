import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { fetchImage, type ImageStore, openImageStore, type StoredImage } from '../../../stage1/image/index.ts'
import { type ConfigDirectories, provenanceCheck, requireProvenance } from '../../../stage1/signatures/index.ts'
import { cannotRender, json, tar } from '../../support/images.ts'
import { OpenPgpHome, openPgpMissing } from '../../support/openpgp.ts'
import { tempDir } from '../../support/temp-dir.ts'

const NAME = 'example.com/team/app'

describe('ACIs signed with OpenPGP', () => {
  const dir = tempDir()
  let pgp: OpenPgpHome
  let key: string
  let other: string
  let config: ConfigDirectories

  before(function () {
    const reason = cannotRender() ?? openPgpMissing()
    if (reason !== undefined) {
      console.log(`      skipped: ${reason}`)
      this.skip()
    }
    pgp = new OpenPgpHome(join(dir.path, 'gnupg'))
    key = pgp.makeKey('Release <release@example.com>')
    other = pgp.makeKey('Other <other@example.com>')
  })
  after(() => {
    pgp?.stop()
    dir.remove()
  })
  let round = 0
  let here: string
  beforeEach(() => {
    here = join(dir.path, `round-${++round}`)
    config = { system: join(here, 'system'), local: join(here, 'local') }
  })

  /** Puts a key into the store of trusted ones. */
  function trust(fingerprint: string, prefix: string | undefined, into: keyof ConfigDirectories = 'local'): string {
    const at = join(config[into], 'trustedkeys', prefix === undefined ? 'root.d' : `prefix.d/${prefix}`)
    fs.mkdirSync(at, { recursive: true })
    fs.writeFileSync(join(at, fingerprint), pgp.exportKey(fingerprint))
    return join(at, fingerprint)
  }

  /** Writes an ACI, signed by a key unless that is undefined. */
  function writeAci(signer: string | undefined, name = NAME): string {
    fs.mkdirSync(here, { recursive: true })
    const file = join(here, 'app.aci')
    const manifest = {
      acKind: 'ImageManifest',
      acVersion: '0.8.11',
      name,
      app: { exec: ['/bin/x'], user: '0', group: '0' },
    }
    fs.writeFileSync(
      file,
      gzipSync(tar([{ name: 'manifest', data: json(manifest) }, { name: 'rootfs/' }, { name: 'rootfs/x', data: 'x' }])),
    )
    if (signer !== undefined) fs.writeFileSync(`${file}.asc`, pgp.sign(signer, file))
    return file
  }

  const store = (): ImageStore => openImageStore(join(here, 'store'))

  function fetch(file: string, more: { acceptUnsigned?: boolean; signatureFile?: string } = {}): Promise<StoredImage> {
    return fetchImage(store(), file, {
      cwd: '/',
      relax: more.acceptUnsigned ? ['image'] : [],
      checkProvenance: provenanceCheck({
        config,
        acceptUnsigned: false,
        now: () => new Date('2026-05-01T00:00:00Z'),
        ...more,
      }),
    })
  }

  it('are admitted by a key that is trusted for a prefix of the name inside, and recorded with it', async () => {
    trust(key, 'example.com/team')
    const image = await fetch(writeAci(key))
    assert.deepEqual(image.origin.signers, [
      {
        kind: 'openpgp',
        name: 'Release <release@example.com>',
        key: `openpgp:${key}`,
        checkedAt: '2026-05-01T00:00:00.000Z',
      },
    ])
    assert.equal(image.origin.policy?.scope, 'aci ""')
    requireProvenance(store(), image, config, [])
  })

  it('are admitted by a key of the root, of the system, and by a signature that lies elsewhere', async () => {
    trust(key, undefined, 'system')
    const file = writeAci(key)
    fs.renameSync(`${file}.asc`, join(here, 'elsewhere.asc'))
    await assert.rejects(fetch(file), { code: 'IMAGE_UNSIGNED' })
    const image = await fetch(file, { signatureFile: join(here, 'elsewhere.asc') })
    assert.equal(image.origin.signers[0]?.key, `openpgp:${key}`)
  })

  /** An ACI signed by some key, while `key` is trusted for a prefix. */
  function afterTrusting(prefix: string | undefined, signer: string | undefined): string {
    trust(key, prefix)
    return writeAci(signer)
  }

  const refused: { name: string; code: string; make: () => string }[] = [
    { name: 'without a signature', code: 'IMAGE_UNSIGNED', make: () => afterTrusting(undefined, undefined) },
    {
      name: 'signed by a key nobody trusts',
      code: 'IMAGE_SIGNATURE_BAD',
      make: () => afterTrusting('example.com', other),
    },
    {
      name: 'signed by a key that is trusted for another name',
      code: 'IMAGE_SIGNATURE_BAD',
      make: () => afterTrusting('example.com/teams', key),
    },
    {
      name: 'changed after they were signed',
      code: 'IMAGE_SIGNATURE_BAD',
      make: () => {
        trust(key, undefined)
        const signature = fs.readFileSync(`${writeAci(key)}.asc`)
        const file = writeAci(undefined, `${NAME}/x`)
        fs.writeFileSync(`${file}.asc`, signature)
        return file
      },
    },
    {
      name: 'signed with SHA-1',
      code: 'IMAGE_SIGNATURE_BAD',
      make: () => {
        trust(key, undefined)
        const file = writeAci(undefined)
        fs.writeFileSync(`${file}.asc`, pgp.sign(key, file, '--digest-algo', 'SHA1', '--allow-weak-digest-algos'))
        return file
      },
    },
    {
      name: 'with a signature that is none',
      code: 'TRUST_KEY_BAD',
      make: () => {
        trust(key, undefined)
        const file = writeAci(undefined)
        fs.writeFileSync(`${file}.asc`, 'no signature')
        return file
      },
    },
    {
      name: 'whose key a local empty file masks',
      code: 'IMAGE_SIGNATURE_BAD',
      make: () => {
        trust(key, undefined, 'system')
        fs.writeFileSync(trust(key, undefined), '')
        return writeAci(key)
      },
    },
    {
      name: 'while a file of the trust store holds another key than its name says',
      code: 'TRUST_KEY_BAD',
      make: () => {
        fs.writeFileSync(trust(key, undefined), pgp.exportKey(other))
        return writeAci(other)
      },
    },
  ]
  for (const { name, code, make } of refused) {
    it(`are refused ${name} (${code}), and nothing is recorded`, async () => {
      await assert.rejects(fetch(make()), { code })
      assert.deepEqual(fs.readdirSync(join(here, 'store/refs')), [])
      assert.deepEqual(fs.readdirSync(join(here, 'store/images')), [])
    })
  }

  it('are refused when the key was revoked', async () => {
    const revoked = pgp.makeKey('Revoked <revoked@example.com>')
    const file = writeAci(revoked)
    pgp.revoke(revoked)
    trust(revoked, undefined)
    await assert.rejects(fetch(file), { code: 'IMAGE_SIGNATURE_BAD', message: /revoked/ })
  })

  it('do not run any more when the key was removed, and say so', async () => {
    const at = trust(key, 'example.com')
    const image = await fetch(writeAci(key))
    fs.rmSync(at)
    assert.throws(() => requireProvenance(store(), image, config, []), {
      code: 'IMAGE_SIGNATURE_BAD',
      message: /not trusted/,
    })
    requireProvenance(store(), image, config, ['image'])
  })

  it('that were fetched unsigned do not run without naming that again, even when a policy would take them', async () => {
    const image = await fetch(writeAci(undefined), { acceptUnsigned: true })
    assert.deepEqual([image.origin.relaxed, image.origin.signers], [['image'], []])
    assert.throws(() => requireProvenance(store(), image, config, ['http']), {
      code: 'IMAGE_RELAXED',
      message: /http,image/,
    })
    requireProvenance(store(), image, config, ['image'])
    fs.mkdirSync(config.local, { recursive: true })
    fs.writeFileSync(join(config.local, 'image-policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}')
    assert.throws(() => requireProvenance(store(), image, config, []), { code: 'IMAGE_RELAXED' })
  })

  it('that no policy was asked about are held against it at launch', async () => {
    const image = await fetchImage(store(), writeAci(key), {
      cwd: '/',
    })
    assert.throws(() => requireProvenance(store(), image, config, []), { code: 'IMAGE_UNSIGNED' })
  })

  it('are held against the policy of now: signedBy with a keyring file, and reject', async () => {
    const policy = (...requirements: unknown[]) => {
      fs.mkdirSync(config.local, { recursive: true })
      fs.writeFileSync(
        join(config.local, 'image-policy.json'),
        JSON.stringify({ default: [{ type: 'reject' }], transports: { aci: { 'example.com': requirements } } }),
      )
    }
    fs.mkdirSync(here, { recursive: true })
    fs.writeFileSync(
      join(here, 'ring.gpg'),
      Buffer.concat([pgp.exportKey(other, { binary: true }), pgp.exportKey(key, { binary: true })]),
    )
    policy({ type: 'signedBy', keyType: 'GPGKeys', keyPath: join(here, 'ring.gpg') })
    const image = await fetch(writeAci(key))
    assert.equal(image.origin.policy?.scope, 'aci example.com')
    requireProvenance(store(), image, config, [])
    fs.writeFileSync(join(here, 'ring.gpg'), pgp.exportKey(other))
    assert.throws(() => requireProvenance(store(), image, config, []), { code: 'IMAGE_SIGNATURE_BAD' })
    policy({ type: 'reject' })
    assert.throws(() => requireProvenance(store(), image, config, []), {
      code: 'IMAGE_POLICY_REFUSES',
      message: /another one/,
    })
  })
})
