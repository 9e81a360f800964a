import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import * as asn1 from '../../../attestation/ca/asn1.ts'
import { EXT } from '../../../attestation/endorsement/index.ts'
import {
  parseBundle,
  parseSimpleSigning,
  parseTrustedRoot,
  SigstoreError,
  verifyBundle,
} from '../../../attestation/sigstore/index.ts'
import { type Extension, ecKey, makeCertificate } from '../../support/certificates.ts'
import { fuzzRuns } from '../../support/fuzz.ts'
import { type SignOptions, TestSigstore } from '../../support/sigstore.ts'
import { tempDir } from '../../support/temp-dir.ts'

const ARTIFACT = new TextEncoder().encode('an artifact')
const hex = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
const artifactOf = (bytes: Uint8Array) => ({ sha256: hex(bytes), bytes })
const bytesOf = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value))

describe('Sigstore bundles with certificates', () => {
  const sigstore = new TestSigstore()
  const root = parseTrustedRoot(sigstore.trustedRoot())
  const verify = (o: SignOptions, by = sigstore) =>
    verifyBundle(parseBundle(bytesOf(by.sign(ARTIFACT, o))), artifactOf(ARTIFACT), root)

  it('name their holder and when they signed', () => {
    const { signer, time, anchors } = verify({})
    const holder = { issuer: 'https://login.example.com', subject: 'https://example.com/release' }
    assert.deepEqual(signer, { kind: 'certificate', holder })
    assert.equal(time?.toISOString(), '2026-01-01T00:00:00.000Z')
    assert.equal(anchors.length, 3)
  })

  const digitalSignature: Extension = [EXT.keyUsage, true, asn1.bitString(Uint8Array.of(0x80), 7)]
  const codeSigning: Extension = [EXT.extKeyUsage, false, asn1.sequence(asn1.oid('1.3.6.1.5.5.7.3.3'))]
  const refused: { name: string; code: string; options?: SignOptions; by?: TestSigstore }[] = [
    { name: 'of another authority and logs', code: 'SIGSTORE_ENTRY_UNPROVEN', by: new TestSigstore() },
    {
      name: 'logged after the certificate had ended',
      code: 'SIGSTORE_CERTIFICATE_UNTRUSTED',
      options: { logged: new Date('2026-01-01T00:11:00Z') },
    },
    {
      name: 'logged before it was issued',
      code: 'SIGSTORE_CERTIFICATE_UNTRUSTED',
      options: { logged: new Date('2025-12-31T23:59:00Z') },
    },
    {
      name: 'whose entry is about another artifact',
      code: 'SIGSTORE_ENTRY_MISMATCH',
      options: { loggedArtifact: new Uint8Array(3) },
    },
    {
      name: 'whose certificate log promised another certificate',
      code: 'SIGSTORE_CERTIFICATE_UNLOGGED',
      options: { wrongPromise: true },
    },
    {
      name: 'of a certificate that is not for code signing',
      code: 'SIGSTORE_CERTIFICATE_UNTRUSTED',
      options: { keyUsage: [digitalSignature] },
    },
    {
      name: 'of a certificate that may not sign',
      code: 'SIGSTORE_CERTIFICATE_UNTRUSTED',
      options: { keyUsage: [codeSigning] },
    },
    {
      name: 'of a certificate with a critical extension that nobody knows',
      code: 'SIGSTORE_CERTIFICATE_UNTRUSTED',
      options: { keyUsage: [digitalSignature, codeSigning, ['1.2.3.4', true, asn1.sequence()]] },
    },
    {
      name: 'of a holder with a line feed in its name',
      code: 'SIGSTORE_CERTIFICATE_UNTRUSTED',
      options: { subject: 'a\nb' },
    },
    {
      name: 'of an issuer with a blank in it',
      code: 'SIGSTORE_CERTIFICATE_UNTRUSTED',
      options: { issuer: 'https://a b' },
    },
  ]
  for (const { name, code, options, by } of refused) {
    it(`are refused: ${name} (${code})`, () => assert.throws(() => verify(options ?? {}, by), { code }))
  }

  it('are refused for another artifact', () => {
    const bundle = parseBundle(bytesOf(sigstore.sign(ARTIFACT)))
    assert.throws(() => verifyBundle(bundle, artifactOf(new Uint8Array(3)), root), { code: 'SIGSTORE_ENTRY_MISMATCH' })
  })

  it('whatever byte of a bundle is changed, it is refused with a code, or is the same signature', () => {
    const text = new TextDecoder().decode(bytesOf(sigstore.sign(ARTIFACT)))
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.constantFrom('A', '0', '"', '=', '}', ' '), (at, by) => {
        try {
          const bundle = parseBundle(new TextEncoder().encode(text.slice(0, at) + by + text.slice(at + 1)))
          const { signer } = verifyBundle(bundle, artifactOf(ARTIFACT), root)
          assert.equal(signer.kind === 'certificate' && signer.holder.subject, 'https://example.com/release')
        } catch (err) {
          assert.ok(err instanceof SigstoreError, String(err))
        }
      }),
      { numRuns: fuzzRuns(300) },
    )
  })

  describe('with timestamps of RFC 3161', () => {
    const dir = tempDir()
    const key = ecKey()
    const rootKey = ecKey()
    const rootDer = makeCertificate({
      subject: 'tsa root',
      key: rootKey,
      issuer: 'tsa root',
      issuerKey: rootKey,
      extensions: [[EXT.basicConstraints, true, asn1.sequence(asn1.boolean(true))]],
    })
    const leafDer = makeCertificate({
      subject: 'tsa',
      key,
      issuer: 'tsa root',
      issuerKey: rootKey,
      extensions: [digitalSignature, [EXT.extKeyUsage, true, asn1.sequence(asn1.oid('1.3.6.1.5.5.7.3.8'))]],
    })
    const trusting = parseTrustedRoot(sigstore.trustedRoot([leafDer, rootDer]))
    before(function () {
      if (spawnSync('openssl', ['version']).error !== undefined) {
        console.log('      skipped: no openssl')
        this.skip()
      }
      const pem = (der: Uint8Array) =>
        `-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString('base64').replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`
      writeFileSync(join(dir.path, 'cert.pem'), pem(leafDer))
      writeFileSync(join(dir.path, 'key.pem'), key.privateKey.export({ type: 'pkcs8', format: 'pem' }))
      writeFileSync(join(dir.path, 'serial'), '01\n')
      writeFileSync(
        join(dir.path, 'tsa.cnf'),
        `[tsa]\ndefault_tsa=t\n[t]\ndir=.\nserial=${dir.path}/serial\ncrypto_device=builtin\nsigner_cert=${dir.path}/cert.pem\nsigner_key=${dir.path}/key.pem\nsigner_digest=sha256\ndefault_policy=1.2.3\ndigests=sha256\n`,
      )
    })
    after(() => dir.remove())

    /** What openssl's authority answers for some bytes; its clock is that of now. */
    const stamp = (bytes: Uint8Array): Uint8Array => {
      const at = (name: string) => join(dir.path, name)
      writeFileSync(at('data'), bytes)
      execFileSync('openssl', ['ts', '-query', '-data', at('data'), '-sha256', '-out', at('query')], {
        stdio: 'ignore',
      })
      execFileSync(
        'openssl',
        ['ts', '-reply', '-config', at('tsa.cnf'), '-queryfile', at('query'), '-out', at('reply')],
        { stdio: 'ignore' },
      )
      return new Uint8Array(readFileSync(at('reply')))
    }
    /** Of a certificate of ten minutes, when the test comes to it: a long run takes longer than that. */
    const now = () => new Date(Date.now() - 60_000)
    const verifyStamped = (o: SignOptions, r = trusting) =>
      verifyBundle(parseBundle(bytesOf(sigstore.sign(ARTIFACT, o))), artifactOf(ARTIFACT), r)

    it('they count beside the log, and the authority is among what was relied on', () => {
      assert.equal(verifyStamped({ issued: now(), timestamps: (s) => [stamp(s)] }).anchors.length, 4)
    })
    const wrong: { name: string; code: string; timestamps: (s: Uint8Array) => Uint8Array[]; issued?: Date }[] = [
      { name: 'of another signature', code: 'SIGSTORE_TIME_UNPROVEN', timestamps: () => [stamp(new Uint8Array(3))] },
      {
        name: 'that was changed',
        code: 'SIGSTORE_TIME_UNPROVEN',
        timestamps: (s) => [stamp(s).map((b, i, all) => (i === all.length - 1 ? b ^ 1 : b))],
      },
      { name: 'cut off', code: 'SIGSTORE_TIME_UNPROVEN', timestamps: (s) => [stamp(s).subarray(0, 40)] },
      {
        name: 'of a time when the certificate had ended',
        code: 'SIGSTORE_CERTIFICATE_UNTRUSTED',
        timestamps: (s) => [stamp(s)],
        issued: new Date('2026-01-01T00:00:00Z'),
      },
    ]
    for (const { name, code, timestamps, issued } of wrong) {
      it(`they are refused with one ${name} (${code})`, () => {
        assert.throws(() => verifyStamped({ issued: issued ?? now(), timestamps }), { code })
      })
    }
    it('one of an authority that is not trusted says nothing', () => {
      assert.equal(verifyStamped({ issued: now(), timestamps: (s) => [stamp(s)] }, root).anchors.length, 3)
    })
  })
})

describe('simple signing payloads', () => {
  const good = {
    critical: {
      type: 'cosign container image signature',
      image: { 'docker-manifest-digest': `sha256:${'0'.repeat(64)}` },
      identity: { 'docker-reference': 'r.example/a' },
    },
    optional: null,
  }
  it('say image and reference', () => {
    assert.deepEqual(parseSimpleSigning(bytesOf(good)), {
      manifestDigest: `sha256:${'0'.repeat(64)}`,
      reference: 'r.example/a',
    })
  })
  const { critical } = good
  for (const [name, payload] of [
    ['a critical member that is not known', { critical: { ...critical, expires: 'now' } }],
    ['another type', { critical: { ...critical, type: 'signature' } }],
    ['no digest', { critical: { ...critical, image: {} } }],
    ['a digest of another kind', { critical: { ...critical, image: { 'docker-manifest-digest': 'md5:00' } } }],
    ['a member beside critical and optional', { ...good, more: 1 }],
  ] as const) {
    it(`are refused with ${name}`, () =>
      assert.throws(() => parseSimpleSigning(bytesOf(payload)), { code: 'SIGSTORE_MALFORMED' }))
  }
})
