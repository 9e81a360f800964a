import assert from 'node:assert/strict'
import fc from 'fast-check'
import {
  type Certificate,
  type EndorsementClaim,
  type EndorsementResult,
  type EndorsementTrust,
  keyMismatch,
  makeRootStore,
  makeRootStoreOfBundle,
  parseCertificateBundle,
  verifyEndorsement,
} from '../../../attestation/endorsement/index.ts'
import {
  decodePublic,
  decodeSizedPublic,
  EK_TEMPLATES,
  encodePublic,
  nodeIdOf,
  type TpmPublic,
} from '../../../attestation/tpm2/index.ts'
import { caExtensions, ecKey, ekExtensions, ekPublicOf, makeCertificate, rsaKey } from '../../support/certificates.ts'
import { ekVector, needVectors } from '../../support/ek-vectors.ts'
import { fuzzRuns } from '../../support/fuzz.ts'

const NOW = new Date('2026-11-24T00:00:00Z')
const unsized = (bytes: Uint8Array) => bytes.subarray(2)
const swtpm = (file: string) => ekVector('swtpm', file)
const certificatesOf = (...files: readonly Uint8Array[]): Certificate[] =>
  files.flatMap((f) => parseCertificateBundle(f).certificates)

const rootPem = swtpm('swtpm-localca-rootca-cert.pem')
const issuerPem = swtpm('issuercert.pem')
const ekPublic = unsized(swtpm('ek-rsa.tpm2b_public'))
const ekCertificate = swtpm('ek-rsa.der')
const claim: EndorsementClaim = { ekPublic, ekCertificate, ekChain: [issuerPem] }
const trust: EndorsementTrust = {
  roots: makeRootStore(certificatesOf(rootPem)),
  listed: new Set(),
  policy: { validity: 'strict', sha1: 'warn' },
  now: NOW,
}
const nothing: EndorsementTrust = { ...trust, roots: makeRootStore([]) }
const verify = (change: Partial<EndorsementClaim> = {}, other: Partial<EndorsementTrust> = {}) =>
  verifyEndorsement({ ...claim, ...change }, { ...trust, ...other })

function assertRefused(result: EndorsementResult, code: string, message = /./): void {
  assert.ok(result.kind === 'refused', `came out as ${result.kind}`)
  assert.equal(result.code, code, result.message)
  assert.match(result.message, message)
}

/** TPMT_PUBLIC of the key in a certificate, where the vectors have no public area. */
function publicOf(certificate: Uint8Array): Uint8Array {
  const key = certificatesOf(certificate)[0]?.publicKey
  assert.ok(key !== undefined && key.kind !== 'unsupported')
  const template = EK_TEMPLATES.map((t) => t.public).find((t) =>
    t.type === 'rsa'
      ? key.kind === 'rsa' && t.keyBits === 8 * key.modulus.length
      : key.kind === 'ec' && t.curve === key.curve,
  )
  const value: TpmPublic =
    key.kind === 'rsa' && template?.type === 'rsa'
      ? { ...template, unique: key.modulus }
      : key.kind === 'ec' && template?.type === 'ecc'
        ? { ...template, unique: { x: key.x, y: key.y } }
        : assert.fail('no template for this key')
  return encodePublic(value)
}

describe('endorsement of an EK', () => {
  it('is accepted for a certificate that leads to a root of the operator', () => {
    const result = verify()
    assert.ok(result.kind === 'chain')
    assert.equal(result.nodeId, nodeIdOf(ekPublic))
    assert.equal(result.identity.manufacturer, 'id:00001014')
    assert.deepEqual(
      result.path.map((c) => c.subject),
      ['CN=unknown', 'CN=swtpm-localca', 'CN=swtpm-localca-rootca'],
    )
    assert.deepEqual(result.root, result.path[2])
    assert.equal(result.root.fingerprint, Buffer.from(certificatesOf(rootPem)[0]?.fingerprint ?? []).toString('hex'))
    assert.deepEqual(result.findings, [])
  })
  it('is refused for a public area that is of no TCG template: its Name would be another node of the same key', () => {
    const ek = decodePublic(ekPublic)
    assert.ok(ek.type === 'rsa')
    const altered: TpmPublic[] = [
      { ...ek, attributes: ek.attributes | 0x400 }, // noDA
      { ...ek, attributes: ek.attributes & ~0x80 }, // adminWithPolicy
      { ...ek, authPolicy: new Uint8Array(32) },
      { ...ek, symmetric: { alg: 'aes', keyBits: 256, mode: 'cfb' } },
    ]
    if (ek.exponent === 0) altered.push({ ...ek, exponent: 65537 })
    for (const area of altered) {
      const bytes = encodePublic(area)
      assert.notEqual(nodeIdOf(bytes), nodeIdOf(ekPublic))
      assertRefused(verify({ ekPublic: bytes }), 'EK_TEMPLATE')
    }
  })
  it('is accepted with padding from NV, and with all intermediates in one item', () => {
    const padded = new Uint8Array(1600).fill(0xff)
    padded.set(ekCertificate)
    const der = (pem: Uint8Array) => certificatesOf(pem)[0]?.bytes ?? new Uint8Array()
    const chain = Uint8Array.from([...der(rootPem), ...der(issuerPem), 0xff, 0xff])
    assert.equal(verify({ ekCertificate: padded, ekChain: [chain] }).kind, 'chain')
  })
  it('is accepted with intermediates of the operator only', () => {
    const roots = makeRootStoreOfBundle(certificatesOf(rootPem, issuerPem))
    assert.equal(verify({ ekChain: [] }, { roots }).kind, 'chain')
  })
  it('passes over items of the chain that hold no certificate', () => {
    assert.equal(verify({ ekChain: [new Uint8Array(64).fill(0xff), Uint8Array.of(1, 2, 3), issuerPem] }).kind, 'chain')
  })
  it('is accepted for P-384, and for the certificates read inside a guest', () => {
    const ec = swtpm('ek-ecc384.der')
    assert.equal(verify({ ekPublic: publicOf(ec), ekCertificate: ec }).kind, 'chain')
    const vm = (file: string) => ekVector('vm', file)
    const roots = makeRootStore(certificatesOf(vm('swtpm-localca-rootca-cert.pem')))
    const ekChain = [vm('issuercert.pem')]
    const rsa = { ekPublic: unsized(vm('ek.pub.tss')), ekCertificate: vm('ek-rsa2048.cert.der'), ekChain }
    assert.equal(verify(rsa, { roots }).kind, 'chain')
    const ec384 = vm('ek-ecc384.cert.der')
    assert.equal(verify({ ekPublic: publicOf(ec384), ekCertificate: ec384, ekChain }, { roots }).kind, 'chain')
    assertRefused(
      verify({ ...rsa, ekCertificate: vm('platform.cert.der') }, { roots }),
      'EK_CERT_PROFILE',
      /not for EK certificates/,
    )
  })

  it('is refused without certificate and listing, saying which EK to list', () => {
    const { ekCertificate: _, ...bare } = claim
    assertRefused(verifyEndorsement(bare, trust), 'EK_NOT_ENDORSED', new RegExp(nodeIdOf(ekPublic)))
  })
  it('is accepted for a listed EK without certificate', () => {
    const { ekCertificate: _, ...bare } = claim
    const result = verifyEndorsement(bare, { ...nothing, listed: new Set([nodeIdOf(ekPublic)]) })
    assert.deepEqual(result, { kind: 'listed', nodeId: nodeIdOf(ekPublic), findings: [] })
    assertRefused(verifyEndorsement(bare, { ...nothing, listed: new Set(['00'.repeat(32)]) }), 'EK_NOT_ENDORSED')
  })
  it('is accepted for a listed EK whose CA is unknown, with a warning that says so', () => {
    const result = verifyEndorsement(claim, { ...nothing, listed: new Set([nodeIdOf(ekPublic)]) })
    assert.ok(result.kind === 'listed')
    assert.match(result.findings[0]?.message ?? '', /EK_CHAIN_ISSUER_UNKNOWN/)
  })
  it('is refused with an empty store, naming the missing CA', () => {
    assertRefused(verifyEndorsement(claim, nothing), 'EK_CHAIN_ISSUER_UNKNOWN', /CN=swtpm-localca-rootca/)
    assertRefused(verify({ ekChain: [] }), 'EK_CHAIN_ISSUER_UNKNOWN', /CN=swtpm-localca, key identifier/)
  })
  it('is refused with the root of another CA of the same name', () => {
    const roots = makeRootStore(certificatesOf(ekVector('vm', 'swtpm-localca-rootca-cert.pem')))
    assert.equal(verify({}, { roots }).kind, 'refused')
  })
  it('is refused for the certificate of another EK', () => {
    const other = ekVector('vm', 'ek-rsa2048.cert.der')
    assertRefused(verify({ ekCertificate: other }), 'EK_CERT_KEY_MISMATCH', /RSA modulus differs/)
    assertRefused(
      verify({ ekCertificate: swtpm('ek-ecc384.der') }),
      'EK_CERT_KEY_MISMATCH',
      /elliptic curve key, the EK is rsa/,
    )
    const p256 = unsized(swtpm('ek-ecc256.tpm2b_public'))
    assertRefused(verify({ ekPublic: p256 }), 'EK_CERT_KEY_MISMATCH', /RSA key, the EK is ecc/)
    assertRefused(
      verify({ ekPublic: p256, ekCertificate: swtpm('ek-ecc384.der') }),
      'EK_CERT_KEY_MISMATCH',
      /P-384, the EK is on P-256/,
    )
  })
  it('is refused for a CA as EK certificate, even when the TPM holds its key', () => {
    const key = ecKey()
    const ca = makeCertificate({ subject: 'CA', key, issuer: 'CA', issuerKey: key, extensions: caExtensions() })
    const roots = makeRootStore(certificatesOf(ca))
    assertRefused(verify({ ekPublic: ekPublicOf(key), ekCertificate: ca }, { roots }), 'EK_CERT_PROFILE', /is a CA/)
  })
  it('is refused for a self-signed certificate of the right profile', () => {
    const key = rsaKey()
    const extensions = Object.values(ekExtensions('rsa'))
    const own = makeCertificate({
      subject: 'EK',
      key,
      issuer: 'EK',
      issuerKey: key,
      scheme: 'sha256WithRSA',
      extensions,
    })
    assertRefused(
      verify({ ekPublic: ekPublicOf(key), ekCertificate: own, ekChain: [own] }),
      'EK_CHAIN_ISSUER_UNKNOWN',
      /its own issuer/,
    )
  })
  it('is refused for an EK that is no key, or bytes that are no public area', () => {
    assertRefused(verify({ ekPublic: new Uint8Array(0) }), 'EK_UNSUPPORTED')
    assertRefused(verify({ ekPublic: swtpm('ek-rsa.tpm2b_public') }), 'EK_UNSUPPORTED') // TPM2B where TPMT is wanted
    const keyedHash = encodePublic({
      type: 'keyedhash',
      nameAlg: 'sha256',
      attributes: 0x12,
      authPolicy: new Uint8Array(),
      scheme: { alg: 'null' },
      unique: new Uint8Array(32),
    })
    assertRefused(verify({ ekPublic: keyedHash }, { listed: new Set([nodeIdOf(keyedHash)]) }), 'EK_UNSUPPORTED')
  })
  it('is refused for bytes that are no certificate, and for more certificates than a TPM has', () => {
    assertRefused(verify({ ekCertificate: new Uint8Array(64) }), 'CERT_MALFORMED')
    assertRefused(verify({ ekCertificate: new Uint8Array(0) }), 'CERT_MALFORMED')
    assertRefused(verify({ ekChain: Array.from({ length: 17 }, () => issuerPem) }), 'CERT_TOO_LARGE')
    const pem = Buffer.concat(Array.from({ length: 10_000 }, () => issuerPem))
    assertRefused(verify({ ekChain: [new Uint8Array(pem)] }), 'CERT_TOO_LARGE')
  })
  it('is refused when the clock is off, unless the policy ignores expiry only', () => {
    assertRefused(verify({}, { now: new Date('2020-01-01T00:00:00Z') }), 'EK_CERT_VALIDITY', /check the clock/)
    assertRefused(
      verify({}, { now: new Date('2020-01-01T00:00:00Z'), policy: { validity: 'ignore-expiry', sha1: 'warn' } }),
      'EK_CERT_VALIDITY',
    )
  })
  it('is refused for any change of a byte in certificate or EK', () => {
    const fields = fc.constantFrom('certificate', 'ek')
    fc.assert(
      fc.property(fields, fc.nat(), fc.integer({ min: 1, max: 255 }), (field, where, flip) => {
        const original = field === 'ek' ? ekPublic : ekCertificate
        const at = where % original.length
        const bytes = original.slice()
        bytes[at] = (bytes[at] ?? 0) ^ flip
        const result = field === 'ek' ? verify({ ekPublic: bytes }) : verify({ ekCertificate: bytes })
        if (result.kind === 'refused') return
        // what is not the EK's key is not in the certificate, but it gives another node ID
        assert.equal(field, 'ek', `change at ${at} was accepted`)
        assert.ok(result.nodeId !== nodeIdOf(ekPublic) && keyOf(bytes) === keyOf(ekPublic))
      }),
      { numRuns: fuzzRuns(3000) },
    )
  })
  it('compares keys as numbers: leading zeros and the default exponent make no difference', () => {
    const zeros = { kind: 'ec', curve: 'P-256', x: Uint8Array.of(0, 0, 5), y: Uint8Array.of(7) } as const
    const ec = decodeSizedPublic(swtpm('ek-ecc256.tpm2b_public'))
    assert.ok(ec.type === 'ecc')
    const ek = { ...ec, unique: { x: Uint8Array.of(5), y: Uint8Array.of(0, 7) } }
    assert.equal(keyMismatch(zeros, ek), undefined)
    assert.match(
      keyMismatch(zeros, { ...ek, unique: { x: Uint8Array.of(5), y: Uint8Array.of(8) } }) ?? '',
      /point differs/,
    )
    const rsa = decodeSizedPublic(swtpm('ek-rsa.tpm2b_public'))
    assert.ok(rsa.type === 'rsa')
    const key = { kind: 'rsa', modulus: rsa.unique, exponent: 65537 } as const
    assert.equal(keyMismatch(key, { ...rsa, exponent: 0 }), undefined)
    assert.equal(keyMismatch(key, { ...rsa, exponent: 65537 }), undefined)
    assert.match(keyMismatch(key, { ...rsa, exponent: 3 }) ?? '', /exponent differs/)
  })
})

/** The numbers of an RSA EK alone, to tell a change of its key from one of its attributes. */
function keyOf(tpmt: Uint8Array): string {
  return Buffer.from(tpmt.subarray(-256)).toString('hex')
}

describe('endorsement by real vendors', () => {
  it('takes ST, Nuvoton and GCE certificates with the vendors roots, and names what is missing', function () {
    const vendors = needVectors(this, 'vendor-roots')
    const bundles = ['roots', 'intermediates'].flatMap((part) =>
      vendors.list(part).map((file) => vendors.read(`${part}/${file}`)),
    )
    const gce = needVectors(this, 'certs/gce')
    const roots = makeRootStoreOfBundle(certificatesOf(...bundles))
    const eks = needVectors(this, 'certs/ek')
    for (const certificate of [
      eks.read('st-ek-ecc.der'),
      eks.read('st-ek-rsa-nv-ff-padded.der'),
      eks.read('nuvoton-ek-rsa-bad-set-order.der'),
      gce.read('pca_tpm_ecc_enc_cert.pem'),
      gce.read('pca_tpm_rsa_enc_cert.pem'),
    ]) {
      const der = certificatesOf(certificate)[0]?.bytes ?? certificate
      const padded = certificate[0] === 0x30 ? certificate : der
      const result = verifyEndorsement(
        { ekPublic: publicOf(certificate), ekCertificate: padded, ekChain: [] },
        { ...trust, roots },
      )
      assert.equal(result.kind, 'chain', result.kind === 'refused' ? result.message : '')
      const without = verifyEndorsement(
        { ekPublic: publicOf(certificate), ekCertificate: padded, ekChain: [] },
        nothing,
      )
      assertRefused(without, 'EK_CHAIN_ISSUER_UNKNOWN', /CA certificate missing: .*holdfast roots import/)
    }
  })
})
