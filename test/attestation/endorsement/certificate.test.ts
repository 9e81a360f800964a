import assert from 'node:assert/strict'
import fc from 'fast-check'
import * as asn1 from '../../../attestation/ca/asn1.ts'
import {
  type Certificate,
  decodeCertificate,
  EndorsementError,
  EXT,
  findPath,
  isSelfIssued,
  KEY,
  MAX_CERTIFICATE_BYTES,
  makeRootStoreOfBundle,
  parseCertificateBundle,
} from '../../../attestation/endorsement/index.ts'
import { ecKey, ekExtensions, makeCertificate, name, rsaKey, spki } from '../../support/certificates.ts'
import { ekVector, needVectors } from '../../support/ek-vectors.ts'
import { fuzzRuns } from '../../support/fuzz.ts'

const key = ecKey()
const base = { subject: 's', key, issuer: 'i', issuerKey: key, extensions: [] }
const EK = ekVector('swtpm', 'ek-rsa.der')
const malformed = { code: 'CERT_MALFORMED' }

describe('certificate decoder', () => {
  it('reads the fields of an EK certificate', () => {
    const c = decodeCertificate(EK)
    assert.equal(c.version, 3)
    assert.deepEqual([...c.serial], [5])
    assert.equal(c.issuer.text, 'CN=swtpm-localca')
    assert.equal(c.notBefore.toISOString(), '2026-11-23T10:58:08.000Z')
    assert.equal(c.notAfter.toISOString(), '9999-12-31T23:59:59.000Z')
    assert.deepEqual(c.signatureScheme, { alg: 'rsassa', hash: 'sha256' })
    assert.equal(c.publicKey.kind, 'rsa')
    assert.deepEqual([...c.extensions.critical].sort(), [EXT.keyUsage, EXT.subjectAltName, EXT.basicConstraints].sort())
    assert.deepEqual([...(c.extensions.keyUsage ?? [])], ['keyEncipherment'])
    assert.deepEqual(c.extensions.basicConstraints, { ca: false })
    assert.deepEqual(c.extensions.extKeyUsage, ['2.23.133.8.1'])
    assert.equal(c.extensions.authorityKeyId?.length, 20)
    assert.deepEqual(c.bytes, EK)
  })
  for (const filler of [0xff, 0x00, 0x0a]) {
    it(`cuts padding of 0x${filler.toString(16)} by the length of the certificate`, () => {
      const padded = new Uint8Array(EK.length + 431).fill(filler)
      padded.set(EK)
      assert.deepEqual(decodeCertificate(padded).bytes, EK)
    })
  }
  it('does not follow the caller when its buffer is used again', () => {
    const buffer = EK.slice()
    const c = decodeCertificate(buffer)
    buffer.fill(0)
    assert.deepEqual(c.bytes, EK)
  })
  it('reads a v1 certificate, which has no extensions', () => {
    const c = decodeCertificate(makeCertificate({ ...base, version: 1 }))
    assert.equal(c.version, 1)
    assert.deepEqual(c.extensions.present, [])
  })
  it('reads an RSAES-OAEP public key as the RSA key it is', () => {
    const rsa = rsaKey()
    const numbers = asn1.octetString(new Uint8Array(rsa.publicKey.export({ format: 'der', type: 'pkcs1' })))
    const bits = asn1.bitString(Buffer.from(numbers.value as string, 'latin1')) // an octetString node holds a string
    const oaep = asn1.toDer(asn1.sequence(asn1.sequence(asn1.oid(KEY.rsaOaep), asn1.sequence()), bits))
    const c = decodeCertificate(makeCertificate({ ...base, key: { spki: oaep } }))
    const plain = decodeCertificate(makeCertificate({ ...base, key: rsa }))
    assert.deepEqual(c.publicKey, plain.publicKey)
  })
  it('takes NULL parameters of an ECDSA signature algorithm', () => {
    const c = decodeCertificate(makeCertificate({ ...base, nullParameters: true }))
    assert.deepEqual(c.signatureScheme, { alg: 'ecdsa', hash: 'sha256' })
  })
  it('reads a name whose SET is not in DER order, and attributes over 64 characters', () => {
    const attribute = (id: string, value: string) => asn1.sequence(asn1.oid(id), asn1.utf8String(value))
    const odd = asn1.sequence(asn1.set(attribute('2.5.4.10', 'O'.repeat(200)), attribute('2.5.4.3', 'N')))
    const swapped = asn1.sequence(asn1.set(attribute('2.5.4.3', 'n '), attribute('2.5.4.10', 'o'.repeat(200))))
    const c = decodeCertificate(makeCertificate({ ...base, subject: odd, issuer: swapped }))
    assert.equal(c.subject.attributes[0]?.value.length, 200)
    assert.ok(isSelfIssued(c), 'order, case and outer blanks do not count in a comparison (RFC 5280 §7.1)')
  })
  it('keeps names apart that only look alike', () => {
    const attribute = (id: string, value: string) => asn1.sequence(asn1.oid(id), asn1.utf8String(value))
    const two = asn1.sequence(asn1.set(attribute('2.5.4.3', 'a')), asn1.set(attribute('2.5.4.3', 'b')))
    const joined = asn1.sequence(asn1.set(attribute('2.5.4.3', 'a'), attribute('2.5.4.3', 'b')))
    for (const [subject, issuer] of [
      [two, joined],
      [name('a","2.5.4.3=b'), two],
      [name('ab'), name('a b')],
    ] as const) {
      assert.ok(!isSelfIssued(decodeCertificate(makeCertificate({ ...base, subject, issuer }))))
    }
  })
  it('shows control characters of a name escaped', () => {
    const c = decodeCertificate(makeCertificate({ ...base, subject: 'x\u001b[2J\u202ey\n' }))
    assert.equal(c.subject.text, 'CN=x\\x1b[2J\\u{202e}y\\x0a')
  })
  it('keeps keys that it cannot use as unsupported, with the reason', () => {
    for (const [spkiDer, reason] of [
      [spki(ecKey('secp256k1')), /elliptic curve 1\.3\.132\.0\.10/],
      [
        asn1.toDer(asn1.sequence(asn1.sequence(asn1.oid('1.3.101.112')), asn1.bitString(new Uint8Array(32)))),
        /1\.3\.101\.112/,
      ],
    ] as const) {
      const { publicKey } = decodeCertificate(makeCertificate({ ...base, key: { spki: spkiDer } }))
      assert.ok(publicKey.kind === 'unsupported')
      assert.match(publicKey.reason, reason)
    }
  })

  it('refuses an extension that occurs twice', () => {
    const { bc } = ekExtensions()
    assert.throws(() => decodeCertificate(makeCertificate({ ...base, extensions: [bc, bc] })), /occurs twice/)
  })
  it('refuses a signature algorithm that differs inside and outside of the signed part', () => {
    const der = makeCertificate({ ...base, outerScheme: 'sha384ECDSA' })
    assert.throws(() => decodeCertificate(der), /inside and .* outside the signed part/)
  })
  it('refuses more extensions, attributes or names than real certificates have', () => {
    const { bc } = ekExtensions()
    const many = Array.from({ length: 65 }, (_, i) => [`1.2.3.${i}`, false, bc[2]] as const)
    const attribute = () => asn1.set(asn1.sequence(asn1.oid('2.5.4.3'), asn1.utf8String('')))
    const longName = asn1.sequence(...Array.from({ length: 65 }, attribute))
    const names = asn1.sequence(...Array.from({ length: 65 }, () => asn1.implicit(2, new Uint8Array(1))))
    const purposes = asn1.sequence(...Array.from({ length: 65 }, () => asn1.oid('1.2.3')))
    for (const c of [
      { ...base, extensions: many },
      { ...base, subject: longName },
      { ...base, extensions: [[EXT.subjectAltName, false, names] as const] },
      { ...base, extensions: [[EXT.extKeyUsage, false, purposes] as const] },
    ]) {
      assert.throws(() => decodeCertificate(makeCertificate(c)), { code: 'CERT_TOO_LARGE' })
    }
  })
  it('refuses a certificate that claims more than the limit, without reading it', () => {
    const size = MAX_CERTIFICATE_BYTES
    const giant = Uint8Array.of(0x30, 0x84, 0xff, 0xff, 0xff, 0xff)
    assert.throws(() => decodeCertificate(giant), { code: 'CERT_TOO_LARGE' })
    assert.throws(() => decodeCertificate(Uint8Array.of(0x30, 0x82, size >> 8, size & 0xff)), {
      code: 'CERT_TOO_LARGE',
    })
  })
  it('refuses deep nesting at the first field, however deep', () => {
    const deep = new Uint8Array(8000)
    for (let i = 0; i < 4000; i += 4) deep.set([0x30, 0x82, (7996 - i) >> 8, (7996 - i) & 0xff], i)
    assert.throws(() => decodeCertificate(deep), malformed)
  })
  it('refuses times that do not exist, have no zone, or are no times', () => {
    const at = Buffer.from(EK).indexOf('261123105808Z')
    for (const text of ['261323105808Z', '260230105808Z', '261123246008Z', '2611231058080', '             ']) {
      const bad = EK.slice()
      bad.set(Buffer.from(text), at)
      assert.throws(() => decodeCertificate(bad), malformed, text)
    }
  })
  it('refuses every prefix of a certificate', () => {
    for (let n = 0; n < EK.length; n++) assert.throws(() => decodeCertificate(EK.subarray(0, n)), malformed)
  })
  it('gives a certificate or a coded error for any mutation', () => {
    const { length } = EK
    const edits = fc.array(fc.tuple(fc.nat(length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 })
    fc.assert(
      fc.property(edits, (changes) => {
        const bytes = EK.slice()
        for (const [at, value] of changes) bytes[at] = value
        try {
          decodeCertificate(bytes)
        } catch (err) {
          assert.ok(err instanceof EndorsementError, String(err))
        }
      }),
      { numRuns: fuzzRuns(20_000) },
    )
  })
})

describe('certificates of real vendors', () => {
  it('reads all 221 vendor CA certificates, the ten that strict DER parsers refuse too', function () {
    const folder = needVectors(this, 'vendor-roots')
    let count = 0
    for (const part of ['roots', 'intermediates']) {
      for (const file of folder.list(part)) {
        const { certificates, problems } = parseCertificateBundle(folder.read(`${part}/${file}`))
        assert.deepEqual(problems, [], file)
        assert.equal(certificates.length, 1, file)
        assert.notEqual(certificates[0]?.publicKey.kind, 'unsupported', file)
        assert.notEqual(certificates[0]?.signatureScheme, undefined, file)
        count++
      }
    }
    assert.equal(count, folder.list('roots').length + folder.list('intermediates').length)
    assert.ok(count >= 221)
  })
  it('reads the vendor bundles whole', function () {
    const sizes: Record<string, number> = {
      'tpm-ca-certificates.bundle.pem': 26,
      'tpm-intermediate-ca-certificates.bundle.pem': 143,
    }
    for (const [file, size] of Object.entries(sizes)) {
      const { certificates, problems } = parseCertificateBundle(needVectors(this, 'vendor-roots').read(file))
      assert.deepEqual(problems, [])
      assert.equal(certificates.length, size)
    }
  })
  it('finds a path for every vendor intermediate but those whose root is not in the set, naming the missing CA', function () {
    const folder = needVectors(this, 'vendor-roots')
    const all: Certificate[] = []
    for (const part of ['roots', 'intermediates']) {
      for (const file of folder.list(part))
        all.push(...parseCertificateBundle(folder.read(`${part}/${file}`)).certificates)
    }
    const store = makeRootStoreOfBundle(all)
    const missing = new Map<string, number>()
    let found = 0
    for (const c of all.filter((c) => !isSelfIssued(c))) {
      const result = findPath(
        c,
        [],
        store,
        { validity: 'ignore-expiry', sha1: 'warn' },
        new Date('2026-11-24T00:00:00Z'),
      )
      if (result.kind === 'path') found++
      else {
        assert.equal(result.code, 'EK_CHAIN_ISSUER_UNKNOWN', result.message)
        const ca =
          /CN=(AMD Root CA R4|Aliyun TPM Root CA), key identifier [0-9a-f]{40}, which issued/.exec(
            result.message,
          )?.[1] ?? result.message
        missing.set(ca, (missing.get(ca) ?? 0) + 1)
      }
    }
    assert.deepEqual([...missing.keys()].sort(), ['AMD Root CA R4', 'Aliyun TPM Root CA'])
    assert.ok(found >= 174, `${found} paths`)
  })
  it('reads the EK, IDevID and CA certificates of other projects', function () {
    for (const set of ['certs/ek', 'certs/gce', 'keylime/ekcerts']) {
      const folder = needVectors(this, set)
      for (const file of folder.list()) {
        const { certificates, problems } = parseCertificateBundle(folder.read(file))
        assert.deepEqual(problems, [], file)
        assert.ok(certificates.length > 0, file)
      }
    }
  })
})
