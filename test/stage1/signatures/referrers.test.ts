import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { StoredImage } from '../../../stage1/image/index.ts'
import { provenanceCheck } from '../../../stage1/signatures/index.ts'
import { BUNDLE, bundleOf, fingerprintOf, makeCosignKey, pemOf, statementAbout } from '../../support/cosign.ts'
import { ImageFixture } from '../../support/image-fixture.ts'
import { writeImagePolicy } from '../../support/image-policy.ts'
import type { ImageAnswer } from '../../support/image-server.ts'
import { json, tar, writeOciLayout } from '../../support/images.ts'
import { type ReferrersFront, startReferrersFront } from '../../support/referrers-front.ts'
import { type Registry, startRegistry } from '../../support/registry.ts'
import { INDEX, MANIFEST, type Pushed, Repository } from '../../support/repository.ts'
import { tempDir } from '../../support/temp-dir.ts'

const SBOM = 'application/spdx+json'

describe('signatures in the list of referrers of a registry', () => {
  const dir = tempDir()
  const [key, other] = [makeCosignKey(), makeCosignKey()]
  const images = ImageFixture.forSuite(() =>
    existsSync('/usr/bin/docker-registry') ? undefined : 'no docker-registry (config/setup.sh installs it)',
  )
  let registry: Registry
  let front: ReferrersFront
  let repository: Repository
  let image: string
  let round = 0

  before(async () => {
    registry = await startRegistry(join(dir.path, 'registry'))
  })
  after(async () => {
    await registry?.stop()
    dir.remove()
  })
  beforeEach(async () => {
    front = await startReferrersFront(registry.host)
    images.ending(front.stop)
    repository = new Repository(front.host, `round${++round}/app`)
    const layout = join(images.dir, 'layout')
    image = writeOciLayout(layout, { layers: [{ tar: tar([{ name: 'x', data: `x${round}` }]) }] }).manifestDigest
    await repository.pushLayout(layout, image, '1')
    const signed = { type: 'sigstoreSigned', keyData: Buffer.from(pemOf(key)).toString('base64') }
    writeImagePolicy(join(images.dir, 'config'), {
      default: [{ type: 'reject' }],
      transports: { docker: { '': [{ ...signed, signedIdentity: { type: 'matchDigest' } }] } },
    })
  })

  /** Where the paths begin that the fetch asked for: pushing asks for the same ones. */
  let start = 0
  const asked = (): readonly string[] => front.asked.slice(start)
  function fetch(): Promise<StoredImage> {
    start = front.asked.length
    const config = { local: join(images.dir, 'config'), system: join(images.dir, 'none') }
    const checkProvenance = provenanceCheck({ config, acceptUnsigned: false, now: () => new Date() })
    return images.fetch(`docker://${repository.reference}:1`, { relax: ['http'], checkProvenance })
  }
  const refuses = (code: string): Promise<void> => assert.rejects(fetch(), { code })
  const listsAsked = (): string[] => asked().filter((p) => p.includes('/referrers/'))
  const fallbackAsked = (): boolean => asked().some((p) => p.endsWith(image.replace(':', '-')))

  /** Pushes a bundle that refers to the image, as `cosign sign` of version 3 does. */
  async function sign(by = key, statement: unknown = statementAbout(image)): Promise<Pushed> {
    const layer = { mediaType: BUNDLE, ...(await repository.pushBlob(bundleOf(by.privateKey, statement))) }
    return repository.pushArtifact([layer], {
      artifactType: BUNDLE,
      subject: { mediaType: MANIFEST, digest: image, size: 2 },
    })
  }
  async function pushSbom(text: string): Promise<Pushed> {
    const layer = { mediaType: SBOM, ...(await repository.pushBlob(json({ text }))) }
    return repository.pushArtifact([layer], {
      artifactType: SBOM,
      subject: { mediaType: MANIFEST, digest: image, size: 2 },
    })
  }
  /** Pushes an index of these under the tag that stands in for the list. */
  async function pushFallback(...entries: readonly Pushed[]): Promise<void> {
    const manifests = entries.map((e) => ({ mediaType: MANIFEST, artifactType: BUNDLE, ...e }))
    await repository.pushManifest(
      image.replace(':', '-'),
      json({ schemaVersion: 2, mediaType: INDEX, manifests }),
      INDEX,
    )
  }

  it('are found there, and the fallback tag is not asked for', async () => {
    await sign()
    assert.equal((await fetch()).origin.signers[0]?.key, fingerprintOf(key))
    assert.ok(!fallbackAsked())
  })

  it('are found among what is no signature, of which nothing is fetched', async () => {
    const sboms = [await pushSbom('a'), await pushSbom('b')]
    await sign(other)
    await sign()
    assert.equal((await fetch()).origin.signers[0]?.key, fingerprintOf(key))
    for (const { digest } of sboms) assert.ok(!asked().some((p) => p.endsWith(digest)))
    // a filter takes one type, signatures have several
    assert.deepEqual(listsAsked(), [`/v2/round${round}/app/referrers/${image}`])
  })

  it('are found on whichever page they are', async () => {
    for (const text of ['a', 'b', 'c', 'd']) await pushSbom(text)
    await sign()
    front.pageSize = 2
    assert.equal((await fetch()).origin.signers[0]?.key, fingerprintOf(key))
    assert.equal(listsAsked().length, 3)
  })

  it('are all there is: an empty list is not made up for by the fallback tag', async () => {
    const signature = await sign()
    await pushFallback(signature)
    front.answer = (_, __, response) =>
      response.setHeader('content-type', INDEX).end(json({ schemaVersion: 2, mediaType: INDEX, manifests: [] }))
    await refuses('IMAGE_UNSIGNED')
    assert.ok(!fallbackAsked())
  })

  const without: { name: string; answer: ImageAnswer }[] = [
    { name: 'answers 404', answer: (_, __, response) => response.writeHead(404).end() },
    {
      name: 'answers with a page for people',
      answer: (_, __, response) => response.setHeader('content-type', 'text/html').end('<html></html>'),
    },
    {
      name: 'answers with JSON of its own',
      answer: (_, __, response) => response.setHeader('content-type', 'application/json').end('{"errors":[]}'),
    },
    { name: 'states no type', answer: (_, __, response) => response.end('{}') },
  ]
  for (const { name, answer } of without) {
    it(`are found under the fallback tag when the registry ${name}`, async () => {
      await pushFallback(await sign())
      front.answer = answer
      assert.equal((await fetch()).origin.signers[0]?.key, fingerprintOf(key))
      assert.ok(fallbackAsked())
    })
  }

  const index = (...manifests: readonly unknown[]): Buffer => json({ schemaVersion: 2, mediaType: INDEX, manifests })
  const asIndex =
    (body: Buffer, link?: string): ImageAnswer =>
    (_, __, response) => {
      if (link !== undefined) response.setHeader('link', link)
      response.setHeader('content-type', INDEX).end(body)
    }
  const entry = { mediaType: MANIFEST, artifactType: BUNDLE, digest: `sha256:${'a'.repeat(64)}`, size: 10 }
  const refused: { name: string; code: string; answer: ImageAnswer }[] = [
    { name: 'is larger than a manifest', code: 'IMAGE_TOO_LARGE', answer: asIndex(Buffer.alloc((4 << 20) + 1, ' ')) },
    {
      name: 'has more entries than are looked at',
      code: 'IMAGE_SIGNATURE_BAD',
      answer: asIndex(index(...Array.from({ length: 1001 }, () => entry))),
    },
    {
      name: 'has them on many pages',
      code: 'IMAGE_SIGNATURE_BAD',
      answer: (path, _, response) => {
        const page = Number(new URL(path, 'http://x').searchParams.get('page') ?? 0)
        if (page < 3) response.setHeader('link', `<?page=${page + 1}>; rel="next"`)
        response
          .setHeader('content-type', INDEX)
          .end(index(...Array.from({ length: 400 }, () => ({ ...entry, artifactType: SBOM }))))
      },
    },
    { name: 'has no end', code: 'IMAGE_TOO_LARGE', answer: asIndex(index(), '<?page=again>; rel="next"') },
    {
      name: 'goes on at another host',
      code: 'IMAGE_SOURCE_BAD',
      answer: asIndex(index(), '<http://other.invalid/v2/x?page=2>; rel="next"'),
    },
    {
      name: 'goes on in another repository',
      code: 'IMAGE_SOURCE_BAD',
      answer: asIndex(index(), `</v2/other/referrers/${entry.digest}?page=2>; rel="next"`),
    },
    { name: 'is no JSON', code: 'IMAGE_SIGNATURE_BAD', answer: asIndex(Buffer.from('hello')) },
    {
      name: 'states no digest',
      code: 'IMAGE_SIGNATURE_BAD',
      answer: asIndex(index({ ...entry, digest: 'sha256:short' })),
    },
    {
      name: 'states a size that no manifest has',
      code: 'IMAGE_SIGNATURE_BAD',
      answer: asIndex(index({ ...entry, size: 2 ** 40 })),
    },
    { name: 'names what is not there', code: 'IMAGE_NOT_FOUND', answer: asIndex(index(entry)) },
    {
      name: 'has only entries that are no manifests',
      code: 'IMAGE_UNSIGNED',
      answer: asIndex(index({ ...entry, mediaType: INDEX }, { ...entry, mediaType: 'application/json' })),
    },
    { name: 'is denied', code: 'IMAGE_SOURCE_DENIED', answer: (_, __, response) => response.writeHead(403).end() },
    { name: 'fails', code: 'IMAGE_SOURCE_UNREACHABLE', answer: (_, __, response) => response.writeHead(500).end() },
  ]
  for (const { name, code, answer } of refused) {
    it(`are none where the list ${name} (${code})`, async () => {
      await pushFallback(await sign())
      front.answer = answer
      await refuses(code)
      assert.deepEqual(images.inStore('refs'), [])
    })
  }

  it('are none where the second page is gone', async () => {
    await sign()
    front.answer = (path, request, response) => {
      if (path.includes('page=2')) response.writeHead(404).end()
      else asIndex(index(), '<?page=2>; rel="next"')(path, request, response)
    }
    await refuses('IMAGE_NOT_FOUND')
  })

  it('by another key, or of another image, are not what the policy asks for', async () => {
    await sign(other)
    await sign(key, statementAbout(`sha256:${'0'.repeat(64)}`))
    await refuses('IMAGE_SIGNATURE_BAD')
  })
})
