import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { fetchImage, openImageStore, type StoredImage } from '../../../stage1/image/index.ts'
import { provenanceCheck } from '../../../stage1/signatures/index.ts'
import { cannotRender } from '../../support/images.ts'
import { openPgpMissing } from '../../support/openpgp.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { externalVectors, skipWithoutVectors } from '../../support/vectors.ts'

const NAME = 'images/good'
/** Whose signature of the ACI each is, by the files' own names. */
const SIGNATURES = [
  { signature: 'bb.aci.asc', key: 'ed25519.pub.asc', fingerprint: '073a60b9dc7d3ce8826e991b686fc662e7d7d405' },
  { signature: 'bb.rsa.asc', key: 'rsa.pub.asc', fingerprint: '6d369faaa34e7adf2dade9e99adbb9f80bbdd63f' },
]
const ARCHIVES = ['oci-archive:bb-oci.tar:v1', 'oci-archive:bb-zstd.tar:v1', 'docker-archive:bb.docker.tar']

describe('one real image in every form', () => {
  const set = externalVectors(NAME)
  const dir = tempDir()
  let round = 0
  let here: string

  before(function () {
    if (set === undefined) return skipWithoutVectors(this, NAME)
    const reason = cannotRender()
    if (reason === undefined) return
    console.log(`      skipped: ${reason}`)
    this.skip()
  })
  after(dir.remove)
  beforeEach(() => {
    here = join(dir.path, `round-${++round}`)
    fs.mkdirSync(here)
  })
  const bytes = (file: string): Uint8Array => set?.read(file) ?? assert.fail(file)
  const place = (file: string, as = file): string => {
    fs.writeFileSync(join(here, as), bytes(file))
    return join(here, as)
  }
  const fetch = (reference: string, more: object = {}): Promise<StoredImage> =>
    fetchImage(openImageStore(join(here, 'store')), reference, { cwd: here, ...more })

  it('has no file that is not tested here', () => {
    const archives = ARCHIVES.map((reference) => reference.split(':')[1] ?? '')
    assert.deepEqual(set?.list(), [...archives, 'bb.aci', ...SIGNATURES.flatMap((s) => [s.signature, s.key])].sort())
  })
  it('is the same tree out of OCI archives with gzip and zstd, and a Docker archive', async () => {
    const trees = []
    for (const reference of ARCHIVES) {
      const [kind, file = '', tag] = reference.split(':')
      const image = await fetch([kind, place(file), ...(tag === undefined ? [] : [tag])].join(':'))
      trees.push(image.treeDigest)
    }
    assert.equal(new Set(trees).size, 1, trees.join(' '))
  })

  const signedFetch = (fingerprint: string, key: string, aci: string): Promise<StoredImage> => {
    const config = { system: join(here, 'system'), local: join(here, 'local') }
    const trusted = join(config.local, 'trustedkeys/prefix.d/example.com')
    fs.mkdirSync(trusted, { recursive: true })
    fs.writeFileSync(join(trusted, fingerprint), bytes(key))
    const now = (): Date => new Date('2026-12-01T00:00:00Z')
    return fetch(aci, { checkProvenance: provenanceCheck({ config, acceptUnsigned: false, now }) })
  }
  for (const [i, { signature, key, fingerprint }] of SIGNATURES.entries()) {
    describe(signature, () => {
      before(function () {
        const reason = openPgpMissing()
        if (reason === undefined) return
        console.log(`      skipped: ${reason}`)
        this.skip()
      })
      it(`is of bb.aci, by ${key}`, async () => {
        const aci = place('bb.aci')
        place(signature, 'bb.aci.asc')
        const image = await signedFetch(fingerprint, key, aci)
        assert.equal(image.origin.signers[0]?.key, `openpgp:${fingerprint}`)
      })
      it('is refused over another file, and where only the other key is trusted', async () => {
        const aci = place('bb.aci')
        place(signature, 'bb.aci.asc')
        const other = SIGNATURES[1 - i] ?? assert.fail()
        await assert.rejects(signedFetch(other.fingerprint, other.key, aci), { code: 'IMAGE_SIGNATURE_BAD' })
        fs.appendFileSync(aci, '\0')
        await assert.rejects(signedFetch(fingerprint, key, aci), { code: 'IMAGE_SIGNATURE_BAD' })
      })
    })
  }
})
