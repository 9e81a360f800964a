import assert from 'node:assert/strict'
import fc from 'fast-check'
import {
  EndorsementError,
  MAX_BUNDLE_BYTES,
  makeRootStoreOfBundle,
  parseCertificateBundle,
} from '../../../attestation/endorsement/index.ts'
import { ekVector } from '../../support/ek-vectors.ts'
import { fuzzRuns } from '../../support/fuzz.ts'

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1')
const bytes = (s: string) => new Uint8Array(Buffer.from(s, 'latin1'))
const rootPem = text(ekVector('swtpm', 'swtpm-localca-rootca-cert.pem'))
const issuerPem = text(ekVector('swtpm', 'issuercert.pem'))
const ek = ekVector('swtpm', 'ek-rsa.der')
const ek384 = ekVector('swtpm', 'ek-ecc384.der')
const concat = (...parts: readonly (Uint8Array | readonly number[])[]) => Uint8Array.from(parts.flatMap((p) => [...p]))

describe('certificate bundles', () => {
  it('hold PEM certificates with text, CRLF and other blocks around them', () => {
    const other = '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n'
    const bundle = parseCertificateBundle(bytes(`# vendor\r\n${rootPem}${other}${issuerPem.replaceAll('\n', '\r\n')}`))
    assert.deepEqual(bundle.problems, [])
    assert.deepEqual(
      bundle.certificates.map((c) => c.subject.text),
      ['CN=swtpm-localca-rootca', 'CN=swtpm-localca'],
    )
  })
  it('hold DER certificates one after another with padding between and after them', () => {
    const bundle = parseCertificateBundle(concat(ek, [0xff, 0xff], ek384, [0, 0x0a]))
    assert.deepEqual(bundle.problems, [])
    assert.deepEqual(
      bundle.certificates.map((c) => c.publicKey.kind),
      ['rsa', 'ec'],
    )
  })
  it('make a store whose anchors are the self-issued certificates', () => {
    const store = makeRootStoreOfBundle(parseCertificateBundle(bytes(rootPem + issuerPem + rootPem)).certificates)
    assert.equal(store.anchorFingerprints.size, 1)
    assert.deepEqual(
      [...store.anchors.values()].map((a) => a.length),
      [1],
    )
    assert.deepEqual(
      [...store.intermediates.values()].map((a) => a[0]?.subject.text),
      ['CN=swtpm-localca'],
    )
  })
  const problems: readonly (readonly [string, Uint8Array, number, number, RegExp])[] = [
    ['a PEM block that is not base64', bytes(rootPem.replace('MII', '!!!') + issuerPem), 1, 0, /not base64/],
    [
      'a PEM block that is no certificate',
      bytes(`${rootPem}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`),
      1,
      1,
      /DER SEQUENCE/,
    ],
    ['a PEM block without end', bytes(issuerPem + rootPem.slice(0, 700)), 1, 1, /no end/],
    ['a DER certificate cut off', concat(ek, ek384.subarray(0, 600)), 1, 1, /says .* remain/],
    ['something else after a DER certificate', concat(ek, [0x42, 0x42]), 1, 1, /at offset 1016/],
    ['an empty file', new Uint8Array(0), 0, 0, /no certificate found/],
    ['a file of another kind', bytes('hello\n'), 0, 0, /no certificate found/],
  ]
  for (const [what, input, good, entry, message] of problems) {
    it(`list ${what} as a problem and keep the rest`, () => {
      const bundle = parseCertificateBundle(input)
      assert.equal(bundle.certificates.length, good)
      assert.deepEqual(
        bundle.problems.map((p) => p.entry),
        [entry],
      )
      assert.match(bundle.problems[0]?.message ?? '', message)
    })
  }
  it('are refused whole when they are too large or hold too many certificates', () => {
    assert.throws(() => parseCertificateBundle(new Uint8Array(MAX_BUNDLE_BYTES + 1)), { code: 'CERT_TOO_LARGE' })
    assert.throws(() => parseCertificateBundle(concat(ek, ek, ek), 2), { code: 'CERT_TOO_LARGE' })
    assert.throws(() => parseCertificateBundle(bytes('-----BEGIN CERTIFICATE-----'.repeat(100)), 50), {
      code: 'CERT_TOO_LARGE',
    })
  })
  it('give certificates and problems, or a coded error, for any bytes', () => {
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.constantFrom(
        bytes('-----BEGIN CERTIFICATE-----'),
        bytes('-----END CERTIFICATE-----'),
        ek,
        Uint8Array.of(0x30, 0x82),
      ),
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 6 }), (pieces) => {
        try {
          const bundle = parseCertificateBundle(concat(...pieces), 4)
          assert.ok(
            bundle.certificates.length + bundle.problems.length > 0 || concat(...pieces).every((b) => b === 0xff),
          )
        } catch (err) {
          assert.ok(err instanceof EndorsementError)
        }
      }),
      { numRuns: fuzzRuns(2000) },
    )
  })
})
