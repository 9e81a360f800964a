import assert from 'node:assert/strict'
import {
  checkEkCertificate,
  decodeCertificate,
  findPath,
  isRocaModulus,
  makeRootStore,
  parseCertificateBundle,
} from '../../../attestation/endorsement/index.ts'
import {
  caExtensions,
  ecKey,
  ekExtensions,
  makeCertificate,
  rocaModulus,
  rsaKey,
  rsaSpki,
} from '../../support/certificates.ts'
import { needVectors } from '../../support/ek-vectors.ts'

const ca = ecKey()
const modulusOf = (key = rsaKey()): Uint8Array =>
  new Uint8Array(Buffer.from(key.publicKey.export({ format: 'jwk' }).n ?? '', 'base64url'))
const ekOf = (spki: Uint8Array) =>
  decodeCertificate(
    makeCertificate({
      subject: '',
      key: { spki },
      issuer: 'CA',
      issuerKey: ca,
      extensions: Object.values(ekExtensions('rsa')),
    }),
  )

describe('weak keys', () => {
  it('the fingerprint of ROCA is found in a modulus of that generator, and in no sound one', () => {
    assert.ok(isRocaModulus(rocaModulus()))
    for (let i = 0; i < 3; i++) assert.ok(!isRocaModulus(modulusOf()))
    const near = rocaModulus()
    near[near.length - 1] = (near[near.length - 1] ?? 0) ^ 2
    assert.ok(!isRocaModulus(near))
  })
  const even = modulusOf()
  even[even.length - 1] = 0xfe
  const cases: readonly (readonly [string, Uint8Array, RegExp])[] = [
    ['of the flawed generator', rsaSpki(rocaModulus()), /ROCA \(CVE-2017-15361\)/],
    ['with an even modulus', rsaSpki(even), /even modulus/],
    ['with public exponent 1', rsaSpki(modulusOf(), Uint8Array.of(1)), /public exponent 1/],
    ['with an even public exponent', rsaSpki(modulusOf(), Uint8Array.of(1, 0, 0)), /public exponent 65536/],
  ]
  for (const [what, spki, message] of cases) {
    it(`an EK ${what} is refused`, () => {
      const [finding, ...others] = checkEkCertificate(ekOf(spki)).findings
      assert.deepEqual([finding?.rule, finding?.tier, others], ['ek-cert.weak-key', 'contraindicated', []])
      assert.match(finding?.message ?? '', message)
    })
    it(`a CA key ${what} issues nothing`, () => {
      const root = decodeCertificate(
        makeCertificate({
          subject: 'CA',
          key: { spki },
          issuer: 'CA',
          issuerKey: ca,
          extensions: caExtensions({ keyId: 1 }),
        }),
      )
      const key = rsaKey()
      const leaf = decodeCertificate(
        makeCertificate({
          subject: '',
          key,
          issuer: 'CA',
          issuerKey: rsaKey(),
          scheme: 'sha256WithRSA',
          extensions: Object.values(ekExtensions('rsa')),
        }),
      )
      const result = findPath(
        leaf,
        [],
        makeRootStore([root]),
        { validity: 'strict', sha1: 'warn' },
        new Date('2026-11-24'),
      )
      assert.ok(result.kind === 'no-path')
      assert.equal(result.code, 'EK_CHAIN_ALGORITHM')
      assert.match(result.message, message)
    })
  }
  it('no key of a TPM maker is one of these', function () {
    const folder = needVectors(this, 'vendor-roots')
    for (const part of ['roots', 'intermediates']) {
      for (const file of folder.list(part)) {
        for (const { publicKey } of parseCertificateBundle(folder.read(`${part}/${file}`)).certificates) {
          assert.ok(publicKey.kind !== 'rsa' || !isRocaModulus(publicKey.modulus), file)
        }
      }
    }
  })
})
