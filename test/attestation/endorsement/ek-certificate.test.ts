import assert from 'node:assert/strict'
import * as asn1 from '../../../attestation/ca/asn1.ts'
import {
  checkEkCertificate,
  EXT,
  parseCertificateBundle,
  TCG,
  vendorName,
} from '../../../attestation/endorsement/index.ts'
import {
  type EkExtensionName,
  type Extension,
  ecKey,
  ekExtensions,
  makeCertificate,
  rsaKey,
  type TestCertificate,
  tpmName,
} from '../../support/certificates.ts'
import { ekVector, needVectors } from '../../support/ek-vectors.ts'

const ca = ecKey()
const key = ecKey()
const rsa = rsaKey()
const weak = rsaKey(1024)

function check(bytes: Uint8Array) {
  const { certificates, problems } = parseCertificateBundle(bytes)
  assert.deepEqual(problems, [])
  const [certificate] = certificates
  assert.ok(certificate !== undefined)
  return checkEkCertificate(certificate)
}

/** Findings of an EK certificate with some extensions replaced, dropped (undefined) or added. */
function findings(
  change: Partial<Record<EkExtensionName, Extension | undefined>>,
  other: Partial<TestCertificate> = {},
  more: readonly Extension[] = [],
) {
  const extensions = Object.values({
    ...ekExtensions(other.key === rsa || other.key === weak ? 'rsa' : 'ec'),
    ...change,
  })
  const present = extensions.filter((e): e is Extension => e !== undefined)
  const der = makeCertificate({
    subject: '',
    key,
    issuer: 'CA',
    issuerKey: ca,
    ...other,
    extensions: [...present, ...more],
  })
  return check(der).findings.map((f) => `${f.tier} ${f.rule}`)
}

const san = (critical: boolean, ...names: asn1.Asn1[]): Extension => [
  EXT.subjectAltName,
  critical,
  asn1.sequence(...names),
]
const usage = (octet: number, unused: number, critical = true): Extension => [
  EXT.keyUsage,
  critical,
  asn1.bitString(Uint8Array.of(octet), unused),
]
const empty = asn1.sequence()

describe('EK certificate rules', () => {
  it('hold for a proper ECC and a proper RSA certificate', () => {
    assert.deepEqual(findings({}), [])
    assert.deepEqual(findings({}, { key: rsa }), [])
  })
  const cases: readonly (readonly [string, string, () => string[]])[] = [
    [
      'a v1 certificate',
      'ek-cert.version',
      () => {
        const der = makeCertificate({ subject: 'x', key, issuer: 'CA', issuerKey: ca, version: 1, extensions: [] })
        return check(der).findings.map((f) => `${f.tier} ${f.rule}`)
      },
    ],
    ['version 4', 'ek-cert.version', () => findings({}, { version: 4 })],
    ['serial number 0', 'ek-cert.serial', () => findings({}, { serial: Uint8Array.of(0) })],
    ['a negative serial number', 'ek-cert.serial', () => findings({}, { serial: Uint8Array.of(0x80) })],
    ['an empty issuer', 'ek-cert.issuer', () => findings({}, { issuer: '' })],
    ['a curve it does not know', 'ek-cert.public-key', () => findings({}, { key: ecKey('secp256k1') })],
    [
      'a validity that ends before it begins',
      'ek-cert.validity-period',
      () => findings({}, { notBefore: new Date('2030-01-01T00:00:00Z'), notAfter: new Date('2020-01-01T00:00:00Z') }),
    ],
    ['RSA-1024', 'ek-cert.public-key', () => findings({}, { key: weak })],
    ['no BasicConstraints', 'ek-cert.basic-constraints', () => findings({ bc: undefined })],
    [
      'BasicConstraints that are not critical',
      'ek-cert.basic-constraints',
      () => findings({ bc: [EXT.basicConstraints, false, empty] }),
    ],
    [
      'CA=true',
      'ek-cert.basic-constraints',
      () => findings({ bc: [EXT.basicConstraints, true, asn1.sequence(asn1.boolean(true))] }),
    ],
    ['no KeyUsage', 'ek-cert.key-usage', () => findings({ ku: undefined })],
    ['KeyUsage that is not critical', 'ek-cert.key-usage', () => findings({ ku: usage(0x08, 3, false) })],
    ['an ECC key for keyEncipherment', 'ek-cert.key-usage', () => findings({ ku: usage(0x20, 5) })],
    ['an RSA key for keyAgreement', 'ek-cert.key-usage', () => findings({ ku: usage(0x08, 3) }, { key: rsa })],
    ['a signing key', 'ek-cert.key-usage', () => findings({ ku: usage(0x80, 7) })],
    ['an EK that may sign certificates', 'ek-cert.key-usage', () => findings({ ku: usage(0x0c, 2) })],
    [
      'an ExtendedKeyUsage for something else',
      'ek-cert.ext-key-usage',
      () => findings({ eku: [EXT.extKeyUsage, false, asn1.sequence(asn1.oid(TCG.akCertificate))] }),
    ],
    ['no AuthorityKeyIdentifier', 'ek-cert.authority-key-id', () => findings({ aki: undefined })],
    ['no SubjectAltName', 'ek-cert.subject-alt-name', () => findings({ san: undefined })],
    [
      'an empty subject and a SubjectAltName that is not critical',
      'ek-cert.subject-alt-name',
      () => findings({ san: san(false, tpmName()) }),
    ],
    [
      'a SubjectAltName without directoryName',
      'ek-cert.subject-alt-name',
      () => findings({ san: san(true, asn1.implicit(2, Buffer.from('a.b'))) }),
    ],
    ['two directoryNames', 'ek-cert.subject-alt-name', () => findings({ san: san(true, tpmName(), tpmName()) })],
    [
      'a manufacturer that is no vendor id',
      'ek-cert.tpm-attributes',
      () => findings({ san: san(true, tpmName('Acme')) }),
    ],
    ['an unknown critical extension', 'ek-cert.critical-extension', () => findings({}, {}, [['1.2.3.4', true, empty]])],
    ['critical name constraints', 'ek-cert.critical-extension', () => findings({}, {}, [['2.5.29.30', true, empty]])],
  ]
  for (const [what, rule, run] of cases) {
    it(`refuse ${what}`, () => {
      assert.ok(run().includes(`contraindicated ${rule}`), run().join(', '))
    })
  }
  it('refuse a directoryName without model, or with two versions', () => {
    const attribute = (id: string, value: string) => asn1.set(asn1.sequence(asn1.oid(id), asn1.utf8String(value)))
    const name = (...rdns: asn1.Asn1[]) => san(true, asn1.explicit(4, asn1.sequence(...rdns)))
    const manufacturer = attribute(TCG.tpmManufacturer, 'id:49465800')
    const version = attribute(TCG.tpmVersion, 'id:01')
    assert.deepEqual(findings({ san: name(manufacturer, version) }), ['contraindicated ek-cert.tpm-attributes'])
    const model = attribute(TCG.tpmModel, 'M')
    assert.deepEqual(findings({ san: name(manufacturer, model, version, version) }), [
      'contraindicated ek-cert.tpm-attributes',
    ])
  })
  it('only warn of an absent ExtendedKeyUsage, further key usages, and a version in another form', () => {
    assert.deepEqual(findings({ eku: undefined }), ['warning ek-cert.ext-key-usage'])
    assert.deepEqual(findings({ ku: usage(0x88, 3) }), ['warning ek-cert.key-usage'])
    assert.deepEqual(findings({ san: san(true, tpmName('id:49465800', 'M', '1.2')) }), [
      'warning ek-cert.tpm-attributes',
    ])
    assert.deepEqual(findings({}, { serial: new Uint8Array(30).fill(1) }), ['warning ek-cert.serial'])
  })
  it('only warn of a maker that no list has, and of a specification of another family', () => {
    assert.deepEqual(findings({ san: san(true, tpmName('id:54455354')) }), ['warning ek-cert.vendor'])
    const specification = (family: string) =>
      asn1.sequence(
        asn1.sequence(
          asn1.oid(TCG.tpmSpecification),
          asn1.set(
            asn1.sequence(asn1.utf8String(family), asn1.integer(Uint8Array.of(0)), asn1.integer(Uint8Array.of(116))),
          ),
        ),
      )
    const of = (family: string): Extension => [EXT.subjectDirectoryAttributes, false, specification(family)]
    assert.deepEqual(findings({}, {}, [of('1.2')]), ['warning ek-cert.tpm-specification'])
    assert.deepEqual(findings({}, {}, [of('2.0')]), [])
  })
  it('know makers by their number, in either case', () => {
    assert.deepEqual(
      ['id:49465800', 'id:53544d20', 'id:4E544300', 'id:414D4400', 'id:FFFFFFFF', 'IFX', undefined].map(vendorName),
      ['Infineon', 'STMicroelectronics', 'Nuvoton', 'AMD', undefined, undefined, undefined],
    )
  })
  it('take critical policies and the attributes in one RDN, as Nuvoton writes them', () => {
    const attribute = (id: string, value: string) => asn1.sequence(asn1.oid(id), asn1.utf8String(value))
    const one = asn1.set(
      attribute(TCG.tpmManufacturer, 'id:4E544300'),
      attribute(TCG.tpmModel, 'NPCT75x'),
      attribute(TCG.tpmVersion, 'id:00070002'),
    )
    const policies: Extension = [EXT.certificatePolicies, true, asn1.sequence(asn1.sequence(asn1.oid('2.5.29.32.0')))]
    assert.deepEqual(findings({ san: san(true, asn1.explicit(4, asn1.sequence(one))) }, {}, [policies]), [])
  })
  it('read manufacturer, model, version and specification', () => {
    const { identity, findings: found } = check(ekVector('swtpm', 'ek-rsa.der'))
    assert.deepEqual(found, [])
    assert.deepEqual(identity, {
      manufacturer: 'id:00001014', // IBM, which has no letters
      manufacturerName: undefined,
      vendor: 'swtpm',
      model: 'swtpm',
      version: 'id:20191023',
      specification: { family: '2.0', level: 0, revision: 164 },
    })
  })
  it('refuse a platform certificate and its CA', () => {
    const rules = (bytes: Uint8Array) => check(bytes).findings.map((f) => f.rule)
    assert.deepEqual(rules(ekVector('vm', 'platform.cert.der')), [
      'ek-cert.ext-key-usage',
      'ek-cert.tpm-attributes',
      'ek-cert.tpm-attributes',
      'ek-cert.tpm-attributes',
    ])
    assert.ok(rules(ekVector('vm', 'issuercert.pem')).includes('ek-cert.basic-constraints'))
  })
  it('hold for real ST and Nuvoton certificates', function () {
    for (const [file, manufacturer, model] of [
      ['st-ek-ecc.der', 'STM', 'ST33HTPHAHB4'],
      ['st-ek-rsa-nv-ff-padded.der', 'STM', 'ST33HTPHAHB4'],
      ['nuvoton-ek-rsa-bad-set-order.der', 'NTC', 'NPCT75x'],
    ] as const) {
      const result = check(needVectors(this, 'certs/ek').read(file))
      assert.deepEqual(result.findings, [], file)
      assert.equal(result.identity.manufacturerName, manufacturer)
      assert.equal(result.identity.model, model)
    }
  })
  it('refuse IDevID certificates and CAs as EK certificates', function () {
    for (const file of [
      'hpe-iak-or-idevid-1.der',
      'hpe-iak-or-idevid-2.der',
      'not-a-tpm-ca-keylime.der',
      'nuvoton-root-2110-bad-set-order.der',
    ]) {
      const result = check(needVectors(this, 'certs/ek').read(file))
      assert.ok(
        result.findings.some((f) => f.tier === 'contraindicated'),
        file,
      )
    }
  })
  it('take GCE encryption certificates with warnings, and refuse the signing ones', function () {
    for (const file of ['pca_tpm_ecc_enc_cert.pem', 'pca_tpm_rsa_enc_cert.pem']) {
      const result = check(needVectors(this, 'certs/gce').read(file))
      assert.deepEqual(
        result.findings.map((f) => `${f.tier} ${f.rule}`),
        ['warning ek-cert.ext-key-usage', 'warning ek-cert.subject-alt-name'],
      )
    }
    for (const file of ['pca_tpm_ecc_sign_cert.pem', 'uca_tpm_ecc_sign_cert.pem', 'uca_tpm_rsa_sign_cert.pem']) {
      const result = check(needVectors(this, 'certs/gce').read(file))
      assert.ok(
        result.findings.some((f) => f.rule === 'ek-cert.key-usage' && f.tier === 'contraindicated'),
        file,
      )
    }
  })
})
