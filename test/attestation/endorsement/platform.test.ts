import assert from 'node:assert/strict'
import fc from 'fast-check'
import * as asn1 from '../../../attestation/ca/asn1.ts'
import {
  type Certificate,
  decodeCertificate,
  EXT,
  isAttributeCertificate,
  makeRootStore,
  makeRootStoreOfBundle,
  type PlatformResult,
  type PlatformTrust,
  parseCertificateBundle,
  TCG,
  verifyPlatform,
} from '../../../attestation/endorsement/index.ts'
import { decodePublic } from '../../../attestation/tpm2/index.ts'
import { caExtensions, ecKey, ekExtensions, ekPublicOf, makeCertificate } from '../../support/certificates.ts'
import { ekVector, needVectors } from '../../support/ek-vectors.ts'
import { fuzzRuns } from '../../support/fuzz.ts'
import {
  makeAttributeCertificate,
  platformExtensions,
  platformName,
  type TestAttributeCertificate,
} from '../../support/platform-certificate.ts'

const NOW = new Date('2026-11-24T00:00:00Z')
const SERIAL = Uint8Array.of(0x44)
const [rootKey, signerKey, ekKey] = [ecKey(), ecKey(), ecKey()]
const ca = (cn: string, key = rootKey): Certificate =>
  decodeCertificate(
    makeCertificate({ subject: cn, key, issuer: cn, issuerKey: key, extensions: caExtensions({ keyId: 2 }) }),
  )
const root = ca('Platform Root')
const signer = decodeCertificate(
  makeCertificate({
    subject: 'Signer',
    key: signerKey,
    issuer: 'Platform Root',
    issuerKey: rootKey,
    extensions: [[EXT.keyUsage, true, asn1.bitString(Uint8Array.of(0x80), 7)]],
  }),
)
const ekCertificate = decodeCertificate(
  makeCertificate({
    subject: '',
    key: ekKey,
    issuer: 'EK CA',
    issuerKey: ecKey(),
    serial: SERIAL,
    extensions: Object.values(ekExtensions()),
  }),
)
const ek = decodePublic(ekPublicOf(ekKey))
const subject = { ek, ekCertificate }
const trust: PlatformTrust = {
  roots: makeRootStore([root], [signer]),
  policy: { validity: 'strict', sha1: 'warn' },
  now: NOW,
}
const good: TestAttributeCertificate = {
  holder: { issuer: 'EK CA', serial: SERIAL },
  issuer: 'Signer',
  issuerKey: signerKey,
}
const verify = (change: Partial<TestAttributeCertificate> = {}, other: Partial<PlatformTrust> = {}): PlatformResult =>
  verifyPlatform(makeAttributeCertificate({ ...good, ...change }), subject, [], { ...trust, ...other })

function assertRefused(result: PlatformResult, code: string, message: RegExp): void {
  assert.ok(result.kind === 'refused', 'it was believed')
  assert.equal(result.code, code, result.message)
  assert.match(result.message, message)
}

describe('a platform certificate', () => {
  it('as attribute certificate binds the TPM whose EK certificate is its holder', () => {
    const result = verify()
    assert.ok(result.kind === 'bound', result.kind === 'refused' ? result.message : '')
    assert.deepEqual(result.platform, { manufacturer: 'Maker Ltd', model: 'Server 9', version: '1.0', serial: 'SN-1' })
    assert.equal(result.form, 'attribute-certificate')
    assert.equal(result.root.subject, 'CN=Platform Root')
    assert.deepEqual(result.findings, [])
  })
  it("is not believed where a device's own certificate came along as its signer's", () => {
    const bytes = makeAttributeCertificate(good)
    const residency = asn1.sequence(asn1.sequence(asn1.oid(TCG.verifiedTpmResidency)))
    const devices = [
      [[EXT.certificatePolicies, false, residency]],
      [[EXT.extKeyUsage, false, asn1.sequence(asn1.oid(TCG.akCertificate))]],
    ] as const
    for (const extensions of devices) {
      const device = decodeCertificate(
        makeCertificate({
          subject: 'Signer',
          key: signerKey,
          issuer: 'Platform Root',
          issuerKey: rootKey,
          extensions: [[EXT.keyUsage, true, asn1.bitString(Uint8Array.of(0x80), 7)], ...extensions],
        }),
      )
      const result = verifyPlatform(bytes, subject, [device], { ...trust, roots: makeRootStore([root]) })
      assertRefused(result, 'EK_CHAIN_ISSUER_UNKNOWN', /signer missing/)
    }
  })
  it('is believed too where its signer is trusted itself, came along, or is a CA', () => {
    assert.equal(verify({}, { roots: makeRootStore([signer]) }).kind, 'bound')
    const bytes = makeAttributeCertificate(good)
    assert.equal(verifyPlatform(bytes, subject, [signer], { ...trust, roots: makeRootStore([root]) }).kind, 'bound')
    assert.equal(verify({ issuer: 'Platform Root', issuerKey: rootKey }).kind, 'bound')
  })
  it('is read with padding from NV', () => {
    const bytes = Buffer.concat([makeAttributeCertificate(good), new Uint8Array(100).fill(0xff)])
    assert.equal(verifyPlatform(bytes, subject, [], trust).kind, 'bound')
  })
  const eku = (oid: string) => [EXT.extKeyUsage, false, asn1.sequence(asn1.oid(oid))] as const
  const [san] = platformExtensions()
  assert.ok(san !== undefined)
  const refused: readonly (readonly [string, Partial<TestAttributeCertificate>, string, RegExp])[] = [
    [
      'of another TPM',
      { holder: { issuer: 'EK CA', serial: Uint8Array.of(9) } },
      'PLATFORM_NOT_BOUND',
      /serial number 09/,
    ],
    ['of a TPM of another maker', { holder: { issuer: 'Other', serial: SERIAL } }, 'PLATFORM_NOT_BOUND', /"CN=Other"/],
    ['that does not name an EK certificate', { holder: undefined }, 'PLATFORM_NOT_BOUND', /does not name/],
    ['of an unknown signer', { issuer: 'Nobody' }, 'EK_CHAIN_ISSUER_UNKNOWN', /CN=Nobody.*holdfast roots import/],
    ['of a signer’s name and another key', { issuerKey: ecKey() }, 'EK_CHAIN_SIGNATURE_INVALID', /does not verify/],
    ['of another version', { version: 0 }, 'CERT_MALFORMED', /version 0/],
    ['for something else', { extensions: [san, eku(TCG.ekCertificate)] }, 'PLATFORM_PROFILE', /not for platforms/],
    ['that is a delta', { extensions: [san, eku('2.23.133.8.5')] }, 'PLATFORM_PROFILE', /not for platforms/],
    ['without names', { extensions: [] }, 'PLATFORM_PROFILE', /0 directoryNames/],
    [
      'with two names',
      { extensions: [[EXT.subjectAltName, false, asn1.sequence(platformName(), platformName())]] },
      'PLATFORM_PROFILE',
      /2 directoryNames/,
    ],
    [
      'with an unknown critical extension',
      { extensions: [...platformExtensions(), ['1.2.3.4', true, asn1.sequence()]] },
      'PLATFORM_PROFILE',
      /1\.2\.3\.4/,
    ],
    ['of the future', { notBefore: new Date('2027-01-01T00:00:00Z') }, 'EK_CERT_VALIDITY', /valid from/],
    [
      'past its date, where the policy is strict',
      { notAfter: new Date('2025-01-01T00:00:00Z') },
      'EK_CERT_VALIDITY',
      /until/,
    ],
  ]
  for (const [what, change, code, message] of refused) {
    it(`${what} is refused`, () => assertRefused(verify(change), code, message))
  }
  it('past its date is taken where the policy lets it', () => {
    const policy = { validity: 'ignore-expiry', sha1: 'warn' } as const
    assert.equal(verify({ notAfter: new Date('2025-01-01T00:00:00Z') }, { policy }).kind, 'bound')
  })
  it('of a signer whose own root is not trusted is refused, naming what is missing', () => {
    const result = verify({}, { roots: makeRootStore([ca('Else', ecKey())], [signer]) })
    assertRefused(result, 'EK_CHAIN_ISSUER_UNKNOWN', /CA certificate missing: CN=Platform Root/)
  })
  it('needs an EK certificate to be compared with', () => {
    const result = verifyPlatform(makeAttributeCertificate(good), { ek, ekCertificate: undefined }, [], trust)
    assertRefused(result, 'PLATFORM_NOT_BOUND', /none to compare with/)
  })
  it('that is no certificate at all is refused', () => {
    for (const bytes of [new Uint8Array(), Uint8Array.of(0x30, 0), new Uint8Array(40).fill(0xff)]) {
      assertRefused(verifyPlatform(bytes, subject, [], trust), 'CERT_MALFORMED', /./)
    }
  })

  describe('as swtpm makes them', () => {
    const unsized = (bytes: Uint8Array) => bytes.subarray(2)
    const roots = makeRootStoreOfBundle(
      ['swtpm-localca-rootca-cert.pem', 'issuercert.pem'].flatMap(
        (file) => parseCertificateBundle(ekVector('vm', file)).certificates,
      ),
    )
    const bytes = ekVector('vm', 'platform.cert.der')
    it('binds the TPM whose key it repeats', () => {
      const rsa = decodePublic(unsized(ekVector('vm', 'ek.pub.tss')))
      const result = verifyPlatform(bytes, { ek: rsa, ekCertificate: undefined }, [], { ...trust, roots })
      assert.ok(result.kind === 'bound', result.kind === 'refused' ? result.message : '')
      assert.equal(result.form, 'certificate')
      assert.deepEqual(result.platform, {
        manufacturer: 'Test',
        model: 'vTPM-guest',
        version: '1.0',
        serial: undefined,
      })
    })
    it('binds no other TPM', () => {
      assertRefused(verifyPlatform(bytes, subject, [], { ...trust, roots }), 'PLATFORM_NOT_BOUND', /another TPM/)
    })
    it('binds in each set of the guests', function () {
      const vm = needVectors(this, 'vm')
      const sets = vm.list().filter((set) => vm.has(`${set}/platform.cert.der`))
      assert.ok(sets.length >= 5)
      const stores = makeRootStoreOfBundle(
        vm.list('ca').flatMap((file) => parseCertificateBundle(vm.read(`ca/${file}`)).certificates),
      )
      for (const set of sets) {
        const area = decodePublic(unsized(vm.read(`${set}/ek.pub.tss`)))
        const ekOf = decodeCertificate(vm.read(`${set}/ek-rsa2048.cert.der`))
        const result = verifyPlatform(vm.read(`${set}/platform.cert.der`), { ek: area, ekCertificate: ekOf }, [], {
          ...trust,
          roots: stores,
        })
        assert.equal(result.kind, 'bound', set)
      }
    })
  })

  it('gives a result for every prefix and any mutation, and is believed only whole', () => {
    const whole = makeAttributeCertificate(good)
    assert.ok(isAttributeCertificate(whole))
    assert.ok(!isAttributeCertificate(ekCertificate.bytes))
    for (let n = 0; n < whole.length; n++) {
      assert.equal(verifyPlatform(whole.subarray(0, n), subject, [], trust).kind, 'refused')
    }
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const bytes = whole.slice()
        bytes[at] = (bytes[at] ?? 0) ^ flip
        const result = verifyPlatform(bytes, subject, [], trust)
        // outside of the signed part an encoding may differ (the OID of the algorithm has no second spelling, a length
        // has)
        assert.ok(result.kind === 'refused' || at < 4 || at > whole.length - 90)
      }),
      { numRuns: fuzzRuns(1000) },
    )
  })
})
