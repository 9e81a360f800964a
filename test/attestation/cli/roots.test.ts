import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { EK_TEMPLATES, encodePublic } from '../../../attestation/tpm2/index.ts'
import { caExtensions, ecKey, ekExtensions, type KeyPair, makeCertificate } from '../../support/certificates.ts'
import { HOLDFAST, run } from '../../support/holdfast.ts'
import { tempDir } from '../../support/temp-dir.ts'

const holdfast = async (...args: readonly string[]) => await run(HOLDFAST, args)

/** TPMT_PUBLIC of a P-256 EK of the TCG's template with this key. */
function templateAreaOf(key: KeyPair): Uint8Array {
  const template = EK_TEMPLATES.find((t) => t.id === 'L-2')?.public
  assert.ok(template?.type === 'ecc')
  const { x = '', y = '' } = key.publicKey.export({ format: 'jwk' })
  const bytes = (text: string) => new Uint8Array(Buffer.from(text, 'base64url'))
  return encodePublic({ ...template, unique: { x: bytes(x), y: bytes(y) } })
}

describe('the commands about roots and EK certificates', () => {
  const dir = tempDir()
  after(() => dir.remove())
  const keys = { root: ecKey(), mid: ecKey(), ek: ecKey() }
  const ca = (
    subject: string,
    key: KeyPair,
    issuer: string,
    issuerKey: KeyPair,
    options: Parameters<typeof caExtensions>[0],
  ) => makeCertificate({ subject, key, issuer, issuerKey, extensions: caExtensions(options) })
  const own = dir.path
  const settings = join(own, 'v.yaml')
  const put = (name: string, bytes: Uint8Array | string): string => {
    writeFileSync(join(own, name), bytes)
    return join(own, name)
  }
  let [root, mid, ek, area] = ['', '', '', '']
  before(() => {
    put('v.yaml', `policies: ${own}\ndataDirectory: ${own}/data\n`)
    root = put('root.der', ca('Acme Root', keys.root, 'Acme Root', keys.root, { keyId: 2 }))
    mid = put('mid.der', ca('Acme CA', keys.mid, 'Acme Root', keys.root, { keyId: 1, authorityId: 2 }))
    const extensions = Object.values(ekExtensions())
    const der = makeCertificate({ subject: '', key: keys.ek, issuer: 'Acme CA', issuerKey: keys.mid, extensions })
    ek = put('ek.bin', Buffer.concat([der, Buffer.alloc(50, 0xff)]))
    area = put('ek.pub', templateAreaOf(keys.ek))
  })

  it('import with an exit status of 1 when something was refused, list as JSON, show and remove', async () => {
    const imported = await holdfast('roots', 'import', root, mid, ek, '--config', settings)
    assert.equal(imported.status, 1)
    assert.match(imported.stdout, /intermediate {2}imported {2}CN=Acme CA\nrefused .*ek\.bin.*EK certificate/)
    assert.match(imported.stderr, /2 imported, 0 already there, 1 refused, 0 other files passed over/)
    const listed = JSON.parse((await holdfast('roots', 'list', '--format=json', '--config', settings)).stdout)
    assert.deepEqual(
      listed.map((r: { subject: string; nodes: null }) => [r.subject, r.nodes]),
      [
        ['CN=Acme CA', null],
        ['CN=Acme Root', null],
      ],
    )
    const id: string = listed[0].fingerprint.slice(0, 8)
    const shown = await holdfast('roots', 'show', id, '--config', settings)
    assert.match(shown.stdout, /subject +CN=Acme CA\nissuer +CN=Acme Root/)
    const removed = await holdfast('roots', 'remove', id, '--config', settings)
    assert.match(removed.stdout, /intermediate {2}removed {2}CN=Acme CA/)
    assert.match((await holdfast('roots', 'show', id, '--config', settings)).stderr, /VERIFIER_ROOT_UNKNOWN/)
  })
  it('say what would be imported, and that Debian’s package is a package', async () => {
    const checked = await holdfast('roots', 'import', '--check', mid, '--format=json', '--config', settings)
    assert.equal(JSON.parse(checked.stdout).items[0].outcome, 'imported')
    assert.match((await holdfast('roots', 'import', '--config', settings)).stderr, /name a directory or file/)
    const debian = await holdfast('roots', 'import', '--check', '--debian', '--config', settings)
    if (debian.status !== 0) assert.match(debian.stderr, /apt-get install .*ruby-tpm-key-attestation/)
    else assert.match(debian.stderr, /25 would be imported/)
  })
  it('check an EK certificate: 0 when it is endorsed, every rule told', async () => {
    const good = await holdfast('nodes', 'ek-check', ek, '--roots', root, mid, '--ek-public', area)
    assert.equal(good.status, 0, good.stdout + good.stderr)
    assert.match(good.stdout, /pass +ek-cert\.version/)
    assert.match(good.stdout, /warn +der\.padding/)
    assert.match(good.stdout, /pass +ek-chain +issued by "CN=Acme CA", which was issued by "CN=Acme Root"/)
    assert.match(good.stdout, /\nEndorsed/)
    const json = JSON.parse(
      (await holdfast('nodes', 'ek-check', ek, '--roots', root, '--chain', mid, '--format=json')).stdout,
    )
    assert.deepEqual([json.endorsed, json.path.length, json.identity.vendor], [true, 3, 'Infineon'])
  })
  it('check an EK certificate: 1 when it is not, with what is missing and what to do', async () => {
    const missing = await holdfast('nodes', 'ek-check', ek, '--roots', root)
    assert.equal(missing.status, 1)
    assert.match(missing.stdout, /Not endorsed: the certificate of CN=Acme CA \(key identifier (01){20}\) is missing/)
    const other = put('other.pem', String(ecKey().publicKey.export({ type: 'spki', format: 'pem' })))
    const wrong = await holdfast('nodes', 'ek-check', ek, '--roots', root, mid, '--ek-public', other)
    assert.equal(wrong.status, 1)
    assert.match(wrong.stdout, /fail +ek-cert\.key +certificate is not about this TPM's EK/)
    const early = await holdfast('nodes', 'ek-check', ek, '--roots', root, mid, '--time', '2019-01-01T00:00:00Z')
    assert.match(early.stdout, /EK_CERT_VALIDITY/)
  })
  for (const [what, words, message] of [
    ['a file that is not there', ['/nowhere'], /nowhere/],
    ['a file of another kind', [settings, '--roots', settings], /neither PEM nor DER/],
    ['a time that is none', [join(own, 'ek.bin'), '--roots', own, '--time', 'soon'], /2026-11-24T00:00:00Z/],
    ['no roots at all', [join(own, 'ek.bin'), '--config', '/nowhere'], /--roots/],
  ] as const) {
    it(`check an EK certificate: 254 for ${what}`, async () => {
      const ran = await holdfast('nodes', 'ek-check', ...words)
      assert.equal(ran.status, 254)
      assert.match(ran.stderr, message)
    })
  }
})
