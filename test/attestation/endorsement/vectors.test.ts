import assert from 'node:assert/strict'
import fc from 'fast-check'
import { toHex } from '../../../attestation/base/index.ts'
import { digest } from '../../../attestation/crypto/index.ts'
import {
  type Certificate,
  certificatePurpose,
  decodeCertificate,
  encodingOddities,
  findPath,
  isSelfIssued,
  isSelfSigned,
  issuerLocations,
  makeRootStoreOfBundle,
  parseCertificateBundle,
  reportEk,
} from '../../../attestation/endorsement/index.ts'
import { needVectors } from '../../support/ek-vectors.ts'
import { fuzzing, fuzzRuns } from '../../support/fuzz.ts'
import type { VectorSet } from '../../support/vectors.ts'

/** All certificates of the kinds that lie in a set, by file. */
function read(set: VectorSet, file: string): Certificate {
  const { certificates, problems } = parseCertificateBundle(set.read(file))
  assert.deepEqual(problems, [], file)
  return certificates[0] ?? assert.fail(file)
}
const readAll = (set: VectorSet, below: string): Map<string, Certificate> =>
  new Map(set.list(below).map((file) => [file, read(set, `${below}/${file}`)]))

const NOW = new Date('2026-11-24T00:00:00Z')
const LENIENT = { validity: 'ignore-expiry', sha1: 'warn' } as const
const judge = (c: Certificate, original: Uint8Array, all: readonly Certificate[]) =>
  reportEk({
    certificate: c,
    original,
    ek: undefined,
    supplied: [],
    roots: makeRootStoreOfBundle(all),
    policy: LENIENT,
    now: NOW,
  })

describe('what the index of the vectors expects', () => {
  it('of certs/ek: what each certificate is, by its own word', function () {
    const set = needVectors(this, 'certs/ek')
    const purposes = Object.fromEntries(set.list().map((file) => [file, certificatePurpose(read(set, file))]))
    assert.deepEqual(purposes, {
      'hpe-iak-or-idevid-1.der': 'device-id',
      'hpe-iak-or-idevid-2.der': 'device-id',
      'not-a-tpm-ca-keylime.der': 'ca',
      'nuvoton-ek-rsa-bad-set-order.der': 'ek',
      'nuvoton-root-2110-bad-set-order.der': 'ca',
      'sample-vendor-root.der': 'ca',
      'st-ek-ecc.der': 'ek',
      'st-ek-rsa-nv-ff-padded.der': 'ek',
    })
  })
  it('of certs/ek: ST and Nuvoton certificates lead to the makers’ roots, over the original bytes', function () {
    const set = needVectors(this, 'certs/ek')
    const vendors = needVectors(this, 'vendor-roots')
    const all = [...readAll(vendors, 'roots').values(), ...readAll(vendors, 'intermediates').values()]
    const expected = [
      ['st-ek-ecc.der', /STM TPM ECC Root CA 01|GlobalSign/, ['der.boolean']],
      ['st-ek-rsa-nv-ff-padded.der', /STM TPM EK Root CA|GlobalSign/, ['der.boolean', 'der.padding']],
      ['nuvoton-ek-rsa-bad-set-order.der', /Nuvoton TPM Root CA/, ['der.set-order']],
    ] as const
    for (const [file, root, oddities] of expected) {
      const report = judge(read(set, file), set.read(file), all)
      assert.ok(
        report.endorsed,
        `${file}: ${report.rules.map((r) => `${r.outcome} ${r.rule} ${r.message}`).join('\n')}`,
      )
      assert.match(report.path.at(-1)?.subject ?? '', root, file)
      assert.deepEqual(encodingOddities(read(set, file), set.read(file)), oddities, file)
    }
  })
  it('of certs/ek: the one that ends in NV padding is 431 bytes shorter, and keeps its bytes', function () {
    const set = needVectors(this, 'certs/ek')
    const padded = set.read('st-ek-rsa-nv-ff-padded.der')
    const { bytes } = read(set, 'st-ek-rsa-nv-ff-padded.der')
    assert.equal(padded.length - bytes.length, 431)
    assert.deepEqual(bytes, padded.subarray(0, bytes.length))
  })
  it('of certs/ek: an ordinary CA is never an EK, whoever is trusted', function () {
    const set = needVectors(this, 'certs/ek')
    const c = read(set, 'not-a-tpm-ca-keylime.der')
    const report = judge(c, c.bytes, [c])
    assert.ok(!report.endorsed)
    assert.ok(report.rules.some((r) => r.rule === 'ek-cert.basic-constraints' && r.outcome === 'fail'))
  })
  it('of certs/ek: the test root of another project is a root that signed itself', function () {
    const set = needVectors(this, 'certs/ek')
    assert.ok(isSelfSigned(read(set, 'sample-vendor-root.der')))
    assert.ok(isSelfSigned(read(set, 'nuvoton-root-2110-bad-set-order.der')))
  })
  it('of certs/gce: each certificate leads to Google’s CAs at the time of its issue', function () {
    const set = needVectors(this, 'certs/gce')
    const all = set.list().map((file) => read(set, file))
    const cas = all.filter((c) => c.extensions.basicConstraints?.ca === true)
    assert.equal(cas.length, 5)
    const store = makeRootStoreOfBundle(cas)
    for (const file of set.list().filter((name) => name.includes('cert.pem'))) {
      const c = read(set, file)
      const result = findPath(c, [], store, { validity: 'at-issue', sha1: 'refuse' }, c.notBefore)
      assert.ok(result.kind === 'path', `${file}: ${result.kind === 'no-path' ? result.message : ''}`)
      assert.equal(result.path.length, 3)
      const wrong = judge(c, set.read(file), cas).rules.filter((r) => r.outcome === 'fail')
      assert.deepEqual(
        wrong.map((r) => r.rule),
        file.includes('_enc_') ? [] : ['ek-cert.key-usage'], // an attestation key is no endorsement key
        file,
      )
    }
  })
  it('of keylime/ekcerts: each parses, and none but EK certificates of TPM makers pass the rules', function () {
    const set = needVectors(this, 'keylime/ekcerts')
    const passing = set
      .list()
      .filter((file) =>
        judge(read(set, file), set.read(file), []).rules.every((r) => r.outcome !== 'fail' || r.rule === 'ek-chain'),
      )
    assert.deepEqual(passing, ['st_ecdsa_sha256.der', 'st_sha256_with_rsa.der'])
  })
  it('of keylime/ekcerts: IDevID and IAK lead over the chain beside them to the root that is not there', function () {
    const set = needVectors(this, 'keylime/ekcerts')
    const chain = parseCertificateBundle(set.read('iak_idevid_chain.pem')).certificates
    const root = chain.filter((c) => isSelfIssued(c))
    for (const file of ['iak.der', 'idevid.der']) {
      const c = read(set, file)
      assert.equal(certificatePurpose(c), 'device-id', file)
      const result = findPath(c, chain, makeRootStoreOfBundle(root), LENIENT, NOW)
      assert.ok(root.length > 0 ? result.kind === 'path' : result.kind === 'no-path')
      const unknown = findPath(c, chain, makeRootStoreOfBundle([]), LENIENT, NOW)
      assert.ok(unknown.kind === 'no-path')
      assert.match(unknown.message, /Isaac HPE Root CA/)
    }
  })
  it('of swtpm/ek and the guests: every EK certificate is endorsed by its CA, and by no other', function () {
    const swtpm = needVectors(this, 'swtpm/ek')
    const vm = needVectors(this, 'vm')
    const casOf = (set: VectorSet, folder: string) =>
      ['issuercert.pem', 'swtpm-localca-rootca-cert.pem'].map((file) => read(set, `${folder}${file}`))
    const ownCas = casOf(swtpm, '')
    const guestCas = casOf(vm, 'ca/')
    const at = (c: Certificate, all: readonly Certificate[]) => judge(c, c.bytes, all).endorsed
    for (const file of ['ek-rsa.der', 'ek-ecc384.der']) {
      assert.ok(at(read(swtpm, file), ownCas), file)
      assert.ok(!at(read(swtpm, file), guestCas), file)
    }
    let seen = 0
    for (const set of vm.list()) {
      for (const file of ['ek-rsa2048.cert.der', 'ek-ecc384.cert.der']) {
        if (!vm.has(`${set}/${file}`)) continue
        const c = read(vm, `${set}/${file}`)
        assert.ok(at(c, guestCas), `${set}/${file}`)
        assert.ok(!at(c, ownCas), `${set}/${file}`)
        seen++
      }
    }
    assert.ok(seen >= 10)
  })

  for (const name of ['certs/ek', 'certs/gce', 'keylime/ekcerts', 'vendor-roots/roots', 'vendor-roots/intermediates']) {
    it(`of ${name}: no prefix of a certificate is one, nor any change of it another throw`, function () {
      const set = needVectors(this, name)
      const all = set.list().map((file) => read(set, file).bytes)
      const step = fuzzing ? 1 : 61 // each prefix takes seconds, and costs the same code
      for (const der of all) {
        for (let n = der.length - 1; n >= 0; n -= step) {
          assert.throws(() => decodeCertificate(der.subarray(0, n)), { code: 'CERT_MALFORMED' })
        }
      }
      const edits = fc.array(fc.tuple(fc.nat(4000), fc.nat(255)), { minLength: 1, maxLength: 4 })
      fc.assert(
        fc.property(fc.constantFrom(...all), edits, (der, changes) => {
          const bytes = der.slice()
          for (const [at, value] of changes) bytes[at % bytes.length] = value
          const { certificates, problems } = parseCertificateBundle(bytes)
          assert.ok(certificates.length + problems.length > 0 || bytes[0] !== 0x30)
          for (const c of certificates) judge(c, bytes, [c])
        }),
        { numRuns: fuzzRuns(300) },
      )
    })
  }

  describe('of vendor-roots', () => {
    it('every root has signed itself, over the bytes as they are', function () {
      const set = needVectors(this, 'vendor-roots')
      for (const [file, c] of readAll(set, 'roots')) {
        assert.ok(isSelfIssued(c), file)
        assert.ok(isSelfSigned(c), file)
      }
    })
    it('what strict parsers refuse for SET order is found to be so, and nothing else is', function () {
      const set = needVectors(this, 'vendor-roots')
      const strict = new Set(
        set
          .text('INDEX.md')
          .split('\n')
          .filter((line) => line.includes('| strict-DER-fail |'))
          .map((line) => line.split('|')[2]?.trim() ?? ''),
      )
      assert.equal(strict.size, 10)
      const found: string[] = []
      for (const part of ['roots', 'intermediates']) {
        for (const [file, c] of readAll(set, part)) {
          if (encodingOddities(c).includes('der.set-order')) found.push(`${part}/${file}`)
        }
      }
      assert.equal(found.length, 8) // the other two are AMD's, and are read like any other
      assert.ok(found.every((file) => strict.has(file) && file.includes('N')))
    })
    it('each certificate that tpm-roots.yaml vouches for is here, and is curated by the index', function () {
      const set = needVectors(this, 'vendor-roots')
      const curated = set.text('INDEX.md').match(/^\|.*\*\*curated\*\*/gm) ?? []
      const files = curated.map((line) => line.split('|')[2]?.trim() ?? '')
      const here = new Set(files.map((file) => toHex(digest('sha256', read(set, file).bytes))))
      assert.equal(here.size, 26)
      const listed = [...set.text('tpm-roots.yaml').matchAll(/sha256: "([0-9A-F:]{95})"/g)]
      const vouched = listed.map(([, fingerprint = '']) => fingerprint.replaceAll(':', '').toLowerCase())
      assert.equal(vouched.length, 18)
      for (const fingerprint of vouched) assert.ok(here.has(fingerprint), fingerprint)
    })
    it('a missing root is named with its key and where it is, if the certificate says so', function () {
      const set = needVectors(this, 'vendor-roots')
      const intermediates = [...readAll(set, 'intermediates').values()]
      let named = 0
      for (const c of intermediates) {
        const [address] = issuerLocations(c)
        const result = findPath(c, [], makeRootStoreOfBundle([]), LENIENT, NOW)
        assert.ok(result.kind === 'no-path')
        assert.equal(result.code, 'EK_CHAIN_ISSUER_UNKNOWN')
        assert.ok(result.message.includes(c.issuer.text.slice(0, 100)))
        if (address === undefined) continue
        named++
        assert.ok(result.message.includes(address))
      }
      assert.ok(named >= 140, `${named} say where their issuer is`)
    })
  })
})
