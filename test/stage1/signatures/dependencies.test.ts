import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { join } from 'node:path'
import { type FetchOptions, findImage, type StoredImage } from '../../../stage1/image/index.ts'
import { dependencyDiscovery, provenanceCheck } from '../../../stage1/signatures/index.ts'
import { aci } from '../../support/aci.ts'
import { type AciHost, discoveryPage, startAciHost } from '../../support/aci-host.ts'
import { HOLDFAST_PROGRAM, run } from '../../support/holdfast.ts'
import { ImageFixture } from '../../support/image-fixture.ts'
import { writeImagePolicy } from '../../support/image-policy.ts'
import { OpenPgpHome, openPgpMissing } from '../../support/openpgp.ts'
import { tempDir } from '../../support/temp-dir.ts'

const TEMPLATE = '{name}-{version}-{os}-{arch}.{ext}'
const ARCH = process.arch === 'x64' ? 'amd64' : process.arch === 'arm64' ? 'aarch64' : process.arch

describe('dependencies of ACIs that are not in the store', () => {
  const images = ImageFixture.forSuite()
  let host: AciHost
  let config: { readonly local: string; readonly system: string }
  beforeEach(async () => {
    host = await startAciHost()
    images.ending(host.stop)
    config = { local: join(images.dir, 'config'), system: join(images.dir, 'none') }
    writeImagePolicy(config.local)
    host.files.set('/?ac-discovery=1', discoveryPage(host.name, `https://${TEMPLATE}`))
  })

  const at = (name: string): string => `${host.name}/${name}`
  const on = (...names: string[]) => names.map((name) => ({ imageName: at(name) }))
  const label = (name: string, value: string) => ({ name, value })
  const path = (name: string, version = 'latest') => `/${name}-${version}-linux-${ARCH}.aci`
  const asked = (): string[] => host.asked.filter((p) => p.endsWith('.aci'))

  /** Puts an image where discovery finds it. */
  function publish(name: string, more: object = {}, version?: string): Buffer {
    const bytes = aci({ name: at(name), ...more }, [{ name, data: name }])
    host.files.set(path(name, version), bytes)
    return bytes
  }

  function fetchApp(more: object, options: Partial<FetchOptions> = {}): Promise<StoredImage> {
    fs.writeFileSync(join(images.dir, 'app.aci'), aci({ name: at('app'), ...more }))
    return fetch('./app.aci', options)
  }
  function fetch(reference: string, options: Partial<FetchOptions> = {}): Promise<StoredImage> {
    const provenance = { config, acceptUnsigned: false, now: () => new Date() }
    return images.fetch(reference, {
      certificateAuthorities: host.certificateAuthority,
      checkProvenance: provenanceCheck(provenance),
      dependencies: dependencyDiscovery(provenance),
      ...options,
    })
  }

  it('are discovered and fetched, each with a name of its own, and what they depend on before them', async () => {
    publish('base', { dependencies: on('deep') })
    publish('deep')
    const steps: string[] = []
    const app = await fetchApp(
      { dependencies: on('base') },
      { onProgress: (p) => p.step === 'resolve' && steps.push(p.name) },
    )
    assert.deepEqual(steps, [
      join(images.dir, 'app.aci'),
      ...['base', 'deep'].map((n) => `https://${host.name}${path(n)}`),
    ])
    const base = findImage(images.store, `https://${host.name}${path('base')}`, '/')
    assert.deepEqual(app.dependencies, [base.id])
    assert.equal(base.dependencies?.length, 1)
    assert.equal(base.origin.policy?.scope, 'default')
    assert.deepEqual([app.origin.relaxed, base.origin.relaxed], [[], []])
    assert.deepEqual(images.inStore('tmp'), [])
    await fetchApp({ dependencies: on('base', 'deep') })
    assert.equal(asked().length, 2, 'what the store has is not asked for again')
  })

  it('are fetched once where several need them', async () => {
    publish('deep')
    publish('left', { dependencies: on('deep') })
    publish('right', { dependencies: on('deep') })
    await fetchApp({ dependencies: on('left', 'right') })
    assert.deepEqual(asked(), [path('left'), path('deep'), path('right')])
  })

  it('are asked for by the labels they are wanted with, and have to have these', async () => {
    const dependency = { imageName: at('base'), labels: [label('version', '1.2'), label('flavour', 'small')] }
    publish('base', { labels: [label('version', '1.2'), label('flavour', 'large')] }, '1.2')
    await assert.rejects(fetchApp({ dependencies: [dependency] }), { code: 'IMAGE_DEPENDENCY_BAD' })
    assert.deepEqual(images.inStore('refs'), [])
    publish('base', { labels: [label('version', '1.2'), label('flavour', 'small')] }, '1.2')
    await fetchApp({ dependencies: [dependency] })
  })

  it('have to be what the image ID says', async () => {
    const base = publish('base')
    const id = `sha512-${createHash('sha512').update(base).digest('hex').slice(0, 64)}`
    const wanted = (imageID: string) => ({ dependencies: [{ imageName: at('base'), imageID }] })
    await assert.rejects(fetchApp(wanted(`sha512-${'0'.repeat(64)}`)), { code: 'IMAGE_DEPENDENCY_BAD' })
    assert.deepEqual(images.inStore('refs'), [])
    assert.deepEqual((await fetchApp(wanted(id))).dependencies, [id])
  })

  const refused: { name: string; code: string; publish: () => void; says: (app: string) => string }[] = [
    {
      name: 'that have another name inside',
      code: 'IMAGE_DEPENDENCY_BAD',
      publish: () => host.files.set(path('base'), aci({ name: at('other') })),
      says: (app) => `${app} -> ${at('base')}: `,
    },
    {
      name: 'that nobody says the place of',
      code: 'TRUST_DISCOVERY_FAILED',
      publish: () => host.files.delete('/?ac-discovery=1'),
      says: (app) => `${app} -> ${at('base')}: `,
    },
    {
      name: 'that are not where they are said to be',
      code: 'IMAGE_NOT_FOUND',
      publish: () => publish('base', { dependencies: on('deep') }),
      says: (app) => `${app} -> ${at('base')} -> ${at('deep')}: https://${host.name}${path('deep')} answered 404`,
    },
    {
      name: 'over plain HTTP',
      code: 'IMAGE_SOURCE_INSECURE',
      publish: () => host.files.set('/?ac-discovery=1', discoveryPage(host.name, `http://${TEMPLATE}`)),
      says: (app) => `${app} -> ${at('base')}: http://${host.name}`,
    },
    {
      name: 'at a URL that could hold a password',
      code: 'IMAGE_REFERENCE_BAD',
      publish: () => host.files.set('/?ac-discovery=1', discoveryPage(host.name, `https://${TEMPLATE}?key=secret`)),
      says: (app) => `${app} -> ${at('base')}: `,
    },
    {
      name: 'in a circle',
      code: 'IMAGE_DEPENDENCY_BAD',
      publish: () => {
        publish('base', { dependencies: on('deep') })
        publish('deep', { dependencies: on('base') })
      },
      says: (app) =>
        `${app} -> ${at('base')} -> ${at('deep')} -> ${at('base')}: these depend on each other in a circle`,
    },
    {
      name: 'in a circle that an image ID seems to end',
      code: 'IMAGE_DEPENDENCY_BAD',
      publish: () =>
        publish('base', { dependencies: [{ imageName: at('base'), imageID: `sha512-${'1'.repeat(64)}` }] }),
      says: (app) => `${app} -> ${at('base')} -> ${at('base')}: these depend on each other in a circle`,
    },
    {
      name: 'that go on and on',
      code: 'IMAGE_TOO_LARGE',
      publish: () => {
        publish('base', { dependencies: on('d0') })
        for (let i = 0; i < 20; i++) publish(`d${i}`, { dependencies: on(`d${i + 1}`) })
      },
      says: (app) => `${app} -> ${at('base')} -> ${at('d0')} -> `,
    },
    {
      name: 'for another machine',
      code: 'IMAGE_PLATFORM_MISSING',
      publish: () => publish('base', { labels: [label('os', 'linux'), label('arch', 'pdp11')] }),
      says: (app) => `${app} -> ${at('base')}: `,
    },
  ]
  for (const { name, code, publish: make, says } of refused) {
    it(`are refused with ${code} ${name}, and the error names the chain`, async () => {
      make()
      await assert.rejects(fetchApp({ dependencies: on('base') }), (err: Error & { code?: string }) => {
        assert.equal(err.code, code)
        assert.ok(err.message.startsWith(says(at('app'))), err.message)
        return true
      })
      assert.deepEqual(images.inStore('refs'), [])
      assert.deepEqual(images.inStore('tmp'), [])
    })
  }

  it('are fetched up to a number', async () => {
    const names = Array.from({ length: 65 }, (_, i) => `n${i}`)
    for (const name of names) publish(name)
    await assert.rejects(fetchApp({ dependencies: on(...names) }), {
      code: 'IMAGE_TOO_LARGE',
      message: /n64: at most 64/,
    })
    assert.equal(images.inStore('refs').length, 64, 'those that came stay')
  })

  it('are missing where their name says no host', async () => {
    await assert.rejects(fetchApp({ dependencies: [{ imageName: 'base' }] }), {
      code: 'IMAGE_DEPENDENCY_MISSING',
      message: /app -> base \(any version\) is not in the store/,
    })
    assert.deepEqual(host.asked, [])
  })

  it('are not discovered at a server that the certificate authorities do not vouch for', async () => {
    publish('base')
    const another = await startAciHost()
    images.ending(another.stop)
    await assert.rejects(
      fetchApp({ dependencies: on('base') }, { certificateAuthorities: another.certificateAuthority }),
      { code: 'TRUST_DISCOVERY_FAILED' },
    )
    const app = await fetchApp({ dependencies: on('base') }, { relax: ['tls'] })
    assert.deepEqual(app.origin.relaxed, ['tls'], 'what was relaxed for a dependency was relaxed for the image')
  })

  describe('and have to be signed', () => {
    const keys = tempDir()
    let pgp: OpenPgpHome
    let key: string
    before(function () {
      const reason = openPgpMissing() ?? (fs.existsSync(HOLDFAST_PROGRAM) ? undefined : 'not built (npm run build)')
      if (reason !== undefined) {
        console.log(`      skipped: ${reason}`)
        this.skip()
      }
      pgp = new OpenPgpHome(join(keys.path, 'gnupg'))
      key = pgp.makeKey('Release <release@example.com>')
    })
    after(() => {
      pgp?.stop()
      keys.remove()
    })
    beforeEach(() => {
      writeImagePolicy(config.local, {
        default: [{ type: 'reject' }],
        transports: { aci: { '': [{ type: 'signedByTrustedKey' }] } },
      })
      const trusted = join(config.local, 'trustedkeys/root.d')
      fs.mkdirSync(trusted, { recursive: true })
      fs.writeFileSync(join(trusted, key), pgp.exportKey(key))
    })

    function sign(bytes: Uint8Array): Uint8Array {
      const file = join(images.dir, 'to-sign')
      fs.writeFileSync(file, bytes)
      return pgp.sign(key, file)
    }
    /** `holdfast fetch` of an image that is signed by a file of its own. */
    function fetchSigned(...options: string[]) {
      const app = aci({ name: at('app'), dependencies: on('base') })
      fs.writeFileSync(join(images.dir, 'app.aci'), app)
      fs.writeFileSync(join(images.dir, 'app.sig'), sign(app))
      fs.writeFileSync(join(images.dir, 'ca.pem'), host.certificateAuthority)
      return run(
        HOLDFAST_PROGRAM,
        [
          ...['fetch', '--dir', images.store.dir, '--local-config', config.local, '--system-config', config.system],
          ...['--signature', join(images.dir, 'app.sig'), ...options, join(images.dir, 'app.aci')],
        ],
        { ...process.env, NODE_EXTRA_CA_CERTS: join(images.dir, 'ca.pem') },
      )
    }

    it('each by itself: the command says which one is not', async () => {
      const base = publish('base', { dependencies: on('deep') })
      host.files.set(`${path('base')}.asc`, sign(base))
      const deep = publish('deep')
      const unsigned = await fetchSigned()
      assert.equal(unsigned.status, 254)
      assert.match(unsigned.stderr, new RegExp(`${at('app')} -> ${at('base')} -> ${at('deep')}: .*IMAGE_UNSIGNED`))
      host.files.set(`${path('deep')}.asc`, sign(base))
      assert.match((await fetchSigned()).stderr, / -> .*IMAGE_SIGNATURE_BAD/)
      assert.deepEqual(images.inStore('refs'), [])
      host.files.set(`${path('deep')}.asc`, sign(deep))
      const signed = await fetchSigned()
      assert.equal(signed.status, 0, signed.stderr)
      assert.match(signed.stderr, new RegExp(`holdfast fetch: https://${host.name}${path('deep')}\n`))
      const stored = findImage(images.store, `https://${host.name}${path('deep')}`, '/')
      assert.equal(stored.origin.signers[0]?.key, `openpgp:${key}`)
    })

    it('unless that is relaxed, which is recorded with each', async () => {
      publish('base')
      const relaxed = await fetchSigned('--insecure-options=image')
      assert.equal(relaxed.status, 0, relaxed.stderr)
      for (const name of [join(images.dir, 'app.aci'), `https://${host.name}${path('base')}`]) {
        assert.deepEqual(findImage(images.store, name, '/').origin.relaxed, ['image'])
      }
    })
  })
})
