import assert from 'node:assert/strict'
import fc from 'fast-check'
import * as asn1 from '../../../attestation/ca/asn1.ts'
import {
  certificatePurpose,
  decodeCertificate,
  ENCODING_ODDITIES,
  type EncodingOddity,
  EXT,
  encodingOddities,
  KEY,
  TCG,
} from '../../../attestation/endorsement/index.ts'
import {
  caExtensions,
  type Extension,
  ecKey,
  ekExtensions,
  makeCertificate,
  rsaKey,
  type TestCertificate,
} from '../../support/certificates.ts'
import { ekVector } from '../../support/ek-vectors.ts'
import { fuzzRuns } from '../../support/fuzz.ts'

const key = ecKey()
const base = { subject: 's', key, issuer: 'i', issuerKey: key, extensions: [] }
const attribute = (id: string, value: string) => asn1.sequence(asn1.oid(id), asn1.utf8String(value))
const oddities = (change: Partial<TestCertificate>) =>
  encodingOddities(decodeCertificate(makeCertificate({ ...base, ...change })))
const raw = (...bytes: number[]) => asn1.fromOwnDer(Uint8Array.from(bytes))

describe('how a certificate is written', () => {
  it('has nothing odd in one that is DER', () => {
    assert.deepEqual(oddities({ extensions: caExtensions() }), [])
    assert.deepEqual(encodingOddities(decodeCertificate(ekVector('swtpm', 'ek-rsa.der'))), [])
  })
  const rsa = rsaKey()
  const numbers = new Uint8Array(rsa.publicKey.export({ format: 'der', type: 'pkcs1' }))
  const cases: readonly (readonly [EncodingOddity, Partial<TestCertificate>])[] = [
    ['der.set-order', { subject: asn1.sequence(asn1.set(attribute('2.5.4.10', 'O'), attribute('2.5.4.3', 'N'))) }],
    ['der.long-attribute', { subject: 'N'.repeat(65) }],
    ['der.null-parameters', { nullParameters: true }],
    ['der.boolean', { extensions: [['1.2.3', false, raw(1, 1, 1)]] }],
    ['der.string', { extensions: [['1.2.3', false, raw(0x13, 1, 0x40)]] }],
    [
      'der.oaep-key',
      { key: { spki: asn1.toDer(asn1.sequence(asn1.sequence(asn1.oid(KEY.rsaOaep)), asn1.bitString(numbers))) } },
    ],
  ]
  for (const [oddity, change] of cases) {
    it(`shows ${oddity}: ${ENCODING_ODDITIES[oddity]}`, () => assert.deepEqual(oddities(change), [oddity]))
  }
  it('shows an INTEGER with a leading byte that it does not need', () => {
    const der = makeCertificate({ ...base, serial: Uint8Array.of(0x55, 7) })
    der[Buffer.from(der).indexOf(Buffer.of(2, 2, 0x55, 7)) + 2] = 0
    assert.deepEqual(encodingOddities(decodeCertificate(der)), ['der.integer'])
  })
  it('shows lengths that are too long, and padding', () => {
    const der = makeCertificate(base)
    const longer = Buffer.concat([Uint8Array.of(0x30, 0x83, 0, der[2] ?? 0, der[3] ?? 0), der.subarray(4)])
    const c = decodeCertificate(
      der[1] === 0x82 ? longer : Buffer.concat([Uint8Array.of(0x30, 0x82, 0, der[2] ?? 0), der.subarray(3)]),
    )
    assert.deepEqual(encodingOddities(c), ['der.long-length'])
    assert.deepEqual(encodingOddities(decodeCertificate(der), Buffer.concat([der, Uint8Array.of(0xff)])), [
      'der.padding',
    ])
  })
  it('is looked at without a throw in whatever the decoder takes', () => {
    const der = ekVector('swtpm', 'ek-ecc384.der')
    fc.assert(
      fc.property(fc.nat(der.length - 1), fc.nat(255), (at, value) => {
        const bytes = der.slice()
        bytes[at] = value
        try {
          const c = decodeCertificate(bytes)
          certificatePurpose(c)
          encodingOddities(c)
        } catch (err) {
          assert.equal(err instanceof Error && 'code' in err ? String(err.code).slice(0, 5) : err, 'CERT_')
        }
      }),
      { numRuns: fuzzRuns(1500) },
    )
  })
})

describe('what a certificate is for', () => {
  const usage = (octet: number, unused: number): Extension => [
    EXT.keyUsage,
    true,
    asn1.bitString(Uint8Array.of(octet), unused),
  ]
  const eku = (oid: string): Extension => [EXT.extKeyUsage, false, asn1.sequence(asn1.oid(oid))]
  const hardware = asn1.sequence(asn1.oid('1.3.6.1.5.5.7.8.4'), asn1.explicit(0, asn1.sequence()))
  const otherName = asn1.explicit(0, asn1.sequence())
  otherName.value = hardware.value // [0] IMPLICIT: the members of the SEQUENCE themselves
  const policy: Extension = [
    EXT.certificatePolicies,
    false,
    asn1.sequence(asn1.sequence(asn1.oid(TCG.verifiedTpmResidency))),
  ]
  const cases: readonly (readonly [string, readonly Extension[]])[] = [
    ['ca', caExtensions()],
    ['ek', Object.values(ekExtensions())],
    ['ak', [eku(TCG.akCertificate), usage(0x80, 7)]],
    ['platform', [eku(TCG.platformCertificate)]],
    ['device-id', [policy, usage(0x80, 7)]],
    ['device-id', [[EXT.subjectAltName, false, asn1.sequence(otherName)], usage(0x80, 7)]],
    ['signer', [usage(0x80, 7)]],
    ['other', [usage(0xa0, 5)]],
    ['other', []],
  ]
  for (const [purpose, extensions] of cases) {
    it(`is ${purpose} with ${extensions.map((e) => e[0]).join(', ') || 'no extensions'}`, () => {
      assert.equal(certificatePurpose(decodeCertificate(makeCertificate({ ...base, extensions }))), purpose)
    })
  }
})
