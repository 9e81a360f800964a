import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createPublicKey, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { connect, createServer } from 'node:tls'
import {
  type AkCertificateRequest,
  CLOCK_SKEW_MS,
  createCa,
  type IssuedCertificate,
  issueAkCertificate,
  issueTlsCertificate,
  loadCa,
  nodeUri,
  type TlsCertificateRequest,
} from '../../../attestation/ca/index.ts'
import {
  type Certificate,
  checkEkCertificate,
  decodeCertificate,
  EXT,
  findPath,
  makeRootStore,
  TCG,
} from '../../../attestation/endorsement/index.ts'
import { ecKey, rsaKey, spki } from '../../support/certificates.ts'
import { tempDir } from '../../support/temp-dir.ts'

const NOW = new Date('2026-11-24T12:00:00Z')
const DAY = 86_400_000
const { certPem, keyPem } = createCa('Holdfast verifier CA', NOW)
const ca = loadCa(certPem, keyPem)
const ak = ecKey()
const rsaAk = rsaKey()
const nodeId = '0123456789abcdef'.repeat(4)
const akRequest: AkCertificateRequest = { publicKeyInfo: spki(ak), nodeId, now: NOW, lifetimeMs: 30 * DAY }
const tlsRequest: TlsCertificateRequest = {
  publicKeyInfo: spki(ak),
  dnsNames: ['localhost', 'verifier.example.org'],
  ipAddresses: ['127.0.0.1', '::1', '2001:db8::a:0:1'],
  now: NOW,
  lifetimeMs: 90 * DAY,
}

/** Fails unless OpenSSL, at the tests' time, finds the certificate valid under our CA. */
function assertOpensslVerifies(issued: IssuedCertificate, ...more: readonly string[]): void {
  const dir = tempDir()
  try {
    const [caFile, file] = [join(dir.path, 'ca.pem'), join(dir.path, 'cert.pem')]
    writeFileSync(caFile, certPem)
    writeFileSync(file, issued.pem)
    const at = String(NOW.getTime() / 1000)
    const args = ['verify', '-x509_strict', '-attime', at, '-CAfile', caFile, ...more, file]
    const run = spawnSync('openssl', args, { encoding: 'utf8' })
    assert.equal(run.status, 0, `${run.stdout}${run.stderr}`)
  } finally {
    dir.remove()
  }
}

function assertIssuedByCa(issued: IssuedCertificate): Certificate {
  const c = decodeCertificate(issued.der)
  const result = findPath(c, [], makeRootStore([ca.certificate]), { validity: 'strict', sha1: 'warn' }, NOW)
  assert.equal(result.kind, 'path', result.kind === 'no-path' ? result.message : '')
  const platform = new X509Certificate(issued.pem)
  assert.ok(platform.verify(createPublicKey(certPem)))
  assert.ok(platform.checkIssued(new X509Certificate(certPem)))
  assert.equal(platform.ca, false)
  assert.equal(c.version, 3)
  assert.deepEqual(c.extensions.basicConstraints, { ca: false })
  assert.deepEqual([...(c.extensions.keyUsage ?? [])], ['digitalSignature'])
  assert.deepEqual([...c.extensions.critical], [EXT.basicConstraints, EXT.keyUsage, EXT.subjectAltName])
  assert.deepEqual(c.extensions.authorityKeyId, ca.certificate.extensions.subjectKeyId)
  assert.equal(c.extensions.subjectKeyId?.length, 20)
  return c
}

describe("the verifier's CA", () => {
  it('has a certificate that may issue end-entity certificates and nothing else', () => {
    const c = ca.certificate
    assert.equal(c.subject.text, 'CN=Holdfast verifier CA')
    assert.deepEqual(c.extensions.basicConstraints, { ca: true, pathLength: 0 })
    assert.deepEqual([...(c.extensions.keyUsage ?? [])], ['keyCertSign', 'cRLSign'])
    assert.deepEqual([...c.extensions.critical], [EXT.basicConstraints, EXT.keyUsage])
    assert.equal(c.notBefore.getTime(), NOW.getTime())
    const platform = new X509Certificate(certPem)
    assert.ok(platform.ca && platform.verify(platform.publicKey))
    assert.equal(platform.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1')
  })
  it('makes another key and serial number each time', () => {
    const other = createCa('Holdfast verifier CA', NOW)
    assert.notEqual(other.keyPem, keyPem)
    assert.notDeepEqual(loadCa(other.certPem, other.keyPem).certificate.serial, ca.certificate.serial)
  })
  it('refuses names that are empty, too long or not printable', () => {
    for (const bad of ['', 'x'.repeat(65), 'a\nb', 'a\0'])
      assert.throws(() => createCa(bad, NOW), { code: 'CA_NAME_INVALID' })
    assert.equal(
      loadCa(...pems(createCa('Prüfstelle №1 – 検証', NOW))).certificate.subject.text,
      'CN=Prüfstelle №1 – 検証',
    )
  })
  it('refuses to load a key that is not its own, not P-256, or no key', () => {
    const pem = (key: { privateKey: { export: (o: { format: 'pem'; type: 'pkcs8' }) => string | Buffer } }) =>
      key.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
    assert.throws(() => loadCa(certPem, pem(ecKey())), { code: 'CA_KEY_MISMATCH' })
    assert.throws(() => loadCa(certPem, pem(ecKey('P-384'))), { code: 'CA_KEY_INVALID' })
    assert.throws(() => loadCa(certPem, pem(rsaAk)), { code: 'CA_KEY_INVALID' })
    assert.throws(() => loadCa(certPem, certPem), { code: 'CA_KEY_INVALID' })
    assert.throws(() => loadCa(certPem, ''), { code: 'CA_KEY_INVALID' })
  })
  it('refuses to load a certificate that is none, two, broken, or no CA', () => {
    const leaf = issueAkCertificate(ca, akRequest).pem
    for (const bad of ['', keyPem, certPem + certPem, certPem.slice(0, 300), leaf]) {
      assert.throws(() => loadCa(bad, keyPem), { code: 'CA_CERT_INVALID' })
    }
  })
})

describe('AK certificates', () => {
  for (const [kind, key] of [
    ['P-256', ak],
    ['P-384', ecKey('P-384')],
    ['RSA-2048', rsaAk],
  ] as const) {
    it(`certify a ${kind} AK for its node, and hold for OpenSSL in strict mode`, () => {
      const issued = issueAkCertificate(ca, { ...akRequest, publicKeyInfo: spki(key) })
      const c = assertIssuedByCa(issued)
      assert.deepEqual(c.publicKeyInfo, spki(key))
      assert.deepEqual(c.extensions.extKeyUsage, [TCG.akCertificate])
      assert.equal(c.subject.attributes.length, 0)
      assert.equal(new X509Certificate(issued.pem).subjectAltName, `URI:${nodeUri(nodeId)}`)
      assertOpensslVerifies(issued)
    })
  }
  it('repeat what the EK certificate says of the TPM', () => {
    const tpm = { manufacturer: 'id:53544D20', model: 'ST33 ü', version: 'id:00490004' }
    const c = assertIssuedByCa(issueAkCertificate(ca, { ...akRequest, tpm }))
    const { identity } = checkEkCertificate(c)
    assert.deepEqual([identity.manufacturer, identity.model, identity.version], Object.values(tpm))
    assert.equal(c.extensions.subjectAltName?.others, 1)
  })
  it('are no EK certificates', () => {
    const tpm = { manufacturer: 'id:53544D20', model: 'M', version: 'id:01' }
    const refused = checkEkCertificate(decodeCertificate(issueAkCertificate(ca, { ...akRequest, tpm }).der)).findings
    assert.deepEqual(
      refused.map((f) => f.rule),
      ['ek-cert.key-usage', 'ek-cert.ext-key-usage'],
    )
  })
  it('are no server certificates', () => {
    const run = () => assertOpensslVerifies(issueAkCertificate(ca, akRequest), '-purpose', 'sslserver')
    assert.throws(run, /unsuitable certificate purpose|unsupported certificate purpose/)
  })
  it('have random serial numbers that are positive and of 20 bytes', () => {
    const serials = Array.from({ length: 50 }, () => decodeCertificate(issueAkCertificate(ca, akRequest).der).serial)
    for (const serial of serials) assert.ok(serial.length === 20 && (serial[0] ?? 0xff) < 0x80 && (serial[0] ?? 0) > 0)
    assert.equal(new Set(serials.map((s) => Buffer.from(s).toString('hex'))).size, 50)
  })
  it('begin a little before now and end with the CA at the latest', () => {
    const late = new Date(ca.certificate.notAfter.getTime() - DAY)
    const issued = issueAkCertificate(ca, { ...akRequest, now: late })
    assert.equal(issued.notBefore.getTime(), late.getTime() - CLOCK_SKEW_MS)
    assert.equal(issued.notAfter.getTime(), ca.certificate.notAfter.getTime())
    const first = issueAkCertificate(ca, akRequest)
    assert.equal(first.notBefore.getTime(), NOW.getTime(), 'not before the CA itself')
    assert.equal(decodeCertificate(first.der).notAfter.getTime(), NOW.getTime() + 30 * DAY)
  })
  it('write times from 2050 on as GeneralizedTime', () => {
    const future = new Date('2051-03-04T05:06:07Z')
    const old = loadCa(...pems(createCa('later', future)))
    const c = decodeCertificate(issueAkCertificate(old, { ...akRequest, now: future }).der)
    assert.equal(c.notAfter.toISOString(), new Date(future.getTime() + 30 * DAY).toISOString())
  })
  it('are refused outside of the CA lifetime', () => {
    for (const now of [new Date(NOW.getTime() - 1000), ca.certificate.notAfter]) {
      assert.throws(() => issueAkCertificate(ca, { ...akRequest, now }), { code: 'CA_EXPIRED' })
    }
  })
  it('are refused for keys that are weak, of another kind, or no keys', () => {
    const bad = [
      spki(rsaKey(1024)),
      spki(ecKey('secp256k1')),
      new Uint8Array(0),
      spki(ak).subarray(0, 50),
      new Uint8Array(91),
    ]
    for (const publicKeyInfo of bad) {
      assert.throws(() => issueAkCertificate(ca, { ...akRequest, publicKeyInfo }), { code: 'CA_SUBJECT_KEY_INVALID' })
    }
  })
  it('are refused for what is no node ID, and for no lifetime', () => {
    for (const bad of ['', nodeId.toUpperCase(), `${nodeId}0`, `${nodeId.slice(1)}\n`]) {
      assert.throws(() => issueAkCertificate(ca, { ...akRequest, nodeId: bad }), { code: 'CA_NAME_INVALID' })
    }
    for (const lifetimeMs of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      assert.throws(() => issueAkCertificate(ca, { ...akRequest, lifetimeMs }), RangeError)
    }
  })
})

describe('TLS certificates', () => {
  it('name the verifier by DNS name and address, and hold for OpenSSL in strict mode', () => {
    const issued = issueTlsCertificate(ca, tlsRequest)
    const c = assertIssuedByCa(issued)
    assert.deepEqual(c.extensions.extKeyUsage, ['1.3.6.1.5.5.7.3.1'])
    assertOpensslVerifies(issued, '-purpose', 'sslserver')
    const platform = new X509Certificate(issued.pem)
    assert.equal(platform.checkHost('verifier.example.org'), 'verifier.example.org')
    assert.equal(platform.checkHost('other.example.org'), undefined)
    for (const ip of ['127.0.0.1', '::1', '2001:db8:0:0:0:a:0:1']) assert.equal(platform.checkIP(ip), ip)
    assert.equal(platform.checkIP('127.0.0.2'), undefined)
  })
  it('write every form of an IPv6 address', () => {
    for (const ip of ['::', '1::', 'fe80::1', '1:2:3:4:5:6:7:8', '::ffff:10.1.2.3', '64:ff9b::1.2.3.4', 'A:b::C']) {
      const issued = issueTlsCertificate(ca, { ...tlsRequest, dnsNames: [], ipAddresses: [ip] })
      assert.equal(new X509Certificate(issued.pem).checkIP(ip), ip)
    }
  })
  it('serve TLS 1.3 to a client that knows the CA, by name and by address', async () => {
    const key = ecKey()
    const now = new Date()
    const fresh = createCa('test', new Date(now.getTime() - DAY))
    const { pem } = issueTlsCertificate(loadCa(...pems(fresh)), { ...tlsRequest, now, publicKeyInfo: spki(key) })
    const server = createServer({
      cert: pem,
      key: key.privateKey.export({ format: 'pem', type: 'pkcs8' }),
      minVersion: 'TLSv1.3',
    })
    server.on('secureConnection', (socket) => socket.end())
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo // it listens on TCP
    try {
      for (const servername of ['localhost', '']) {
        const client = connect({ host: '127.0.0.1', port, ca: fresh.certPem, servername })
        await once(client, 'secureConnect')
        assert.ok(client.authorized)
        client.destroy()
      }
      const stranger = connect({ host: '127.0.0.1', port, ca: certPem, servername: 'localhost' })
      await assert.rejects(once(stranger, 'secureConnect'), { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' })
      stranger.destroy()
    } finally {
      server.close()
    }
  })
  it('are refused without any name, and for names that cannot be in a certificate', () => {
    assert.throws(() => issueTlsCertificate(ca, { ...tlsRequest, dnsNames: [], ipAddresses: [] }), {
      code: 'CA_NAME_INVALID',
    })
    const names = [
      '',
      '*.example.org',
      'a..b',
      '-a',
      'a-',
      'a b',
      'a\0b',
      'ä.org',
      '127.0.0.1',
      'x'.repeat(64),
      'a.'.repeat(130),
    ]
    for (const bad of names) {
      assert.throws(() => issueTlsCertificate(ca, { ...tlsRequest, dnsNames: [bad] }), { code: 'CA_NAME_INVALID' }, bad)
    }
    for (const bad of ['', '1.2.3', '1.2.3.256', 'fe80::1%eth0', '::g', 'localhost', '[::1]']) {
      assert.throws(
        () => issueTlsCertificate(ca, { ...tlsRequest, ipAddresses: [bad] }),
        { code: 'CA_NAME_INVALID' },
        bad,
      )
    }
  })
})

function pems(made: { readonly certPem: string; readonly keyPem: string }): [string, string] {
  return [made.certPem, made.keyPem]
}
