import assert from 'node:assert/strict'
import { createHash, verify } from 'node:crypto'
import { importFileKey, verifyDigestSignature } from '../../../attestation/crypto/index.ts'
import {
  importSigningKey,
  parseBundle,
  parseLogBody,
  parseTrustedRoot,
  verifyBundle,
} from '../../../attestation/sigstore/index.ts'
import { externalVectors, skipWithoutVectors, type VectorSet } from '../../support/vectors.ts'

/** Of the image that the statement is about. */
const SUBJECT = '732112270d7e59418a8c080b134b24cabd67d250d0d0147a97ed95ba5c280aa4'

/** A part of a JSON document that a test changes. */
type Json = { [name: string]: Json } & Json[] & string

describe('signatures that others made with Sigstore', () => {
  let vectors: VectorSet
  before(function () {
    vectors = externalVectors('sigstore') ?? skipWithoutVectors(this, 'sigstore')
  })

  const bundle = () => vectors.read('oci-attestation.sigstore.json')
  const root = () => vectors.read('trusted_root_pgi.json')
  /** The bundle, or the root, after a change. */
  const changed = (bytes: Uint8Array, change: (document: Json) => void): Uint8Array => {
    const document: Json = JSON.parse(new TextDecoder().decode(bytes))
    change(document)
    return new TextEncoder().encode(JSON.stringify(document))
  }
  const verifyThem = (b: Uint8Array, r: Uint8Array, sha256 = SUBJECT) =>
    verifyBundle(parseBundle(b), { sha256 }, parseTrustedRoot(r))

  it('the bundle verifies against the trusted root, and says who signed what and when', () => {
    const { signer, time, anchors, predicateType } = verifyThem(bundle(), root())
    const holder = { issuer: 'https://github.com/login/oauth', subject: 'cody@soyland.com' }
    assert.deepEqual(signer, { kind: 'certificate', holder })
    assert.equal(time?.toISOString(), '2025-02-28T19:18:11.000Z')
    assert.equal(predicateType, 'https://cosign.sigstore.dev/attestation/v1')
    assert.equal(anchors.length, 3, 'root certificate, signature log, certificate log')
  })

  const entry = (d: Json): Json => at(d, 'verificationMaterial', 'tlogEntries', 0)
  const attacks: {
    name: string
    code: string
    bundle?: (d: Json) => void
    root?: (d: Json) => void
    sha256?: string
  }[] = [
    { name: 'an image that it is not about', code: 'SIGSTORE_ARTIFACT_MISMATCH', sha256: '0'.repeat(64) },
    {
      name: 'another payload',
      code: 'SIGSTORE_ENTRY_MISMATCH',
      bundle: (d) => set(d, changedText, 'dsseEnvelope', 'payload'),
    },
    {
      name: 'another signature',
      code: 'SIGSTORE_ENTRY_MISMATCH',
      bundle: (d) => set(d, changedBase64, 'dsseEnvelope', 'signatures', 0, 'sig'),
    },
    {
      name: 'another payload type',
      code: 'SIGSTORE_SIGNATURE_INVALID',
      bundle: (d) => set(d, () => 'application/json', 'dsseEnvelope', 'payloadType'),
    },
    {
      name: 'a changed certificate',
      code: 'SIGSTORE_ENTRY_MISMATCH',
      bundle: (d) => set(d, changedEnd, 'verificationMaterial', 'certificate', 'rawBytes'),
    },
    {
      name: 'no entry of a log',
      code: 'SIGSTORE_ENTRY_UNPROVEN',
      bundle: (d) => set(d, () => [], 'verificationMaterial', 'tlogEntries'),
    },
    { name: 'no inclusion proof', code: 'SIGSTORE_MALFORMED', bundle: (d) => delete entry(d)['inclusionProof'] },
    {
      name: 'a promise but no proof, called version 0.1, with a changed promise',
      code: 'SIGSTORE_ENTRY_UNPROVEN',
      bundle: (d) => {
        set(d, () => 'application/vnd.dev.sigstore.bundle+json;version=0.1', 'mediaType')
        delete entry(d)['inclusionProof']
        set(entry(d), changedEnd, 'inclusionPromise', 'signedEntryTimestamp')
      },
    },
    {
      name: 'no promise, so no time',
      code: 'SIGSTORE_TIME_UNPROVEN',
      bundle: (d) => delete entry(d)['inclusionPromise'],
    },
    {
      name: 'another time',
      code: 'SIGSTORE_ENTRY_UNPROVEN',
      bundle: (d) => set(entry(d), () => '1740770292', 'integratedTime'),
    },
    {
      name: 'another hash in its path',
      code: 'SIGSTORE_ENTRY_UNPROVEN',
      bundle: (d) => set(entry(d), changedBase64, 'inclusionProof', 'hashes', 3),
    },
    {
      name: 'a path that is too short',
      code: 'SIGSTORE_ENTRY_UNPROVEN',
      bundle: (d) => void at(entry(d), 'inclusionProof', 'hashes').pop(),
    },
    {
      name: 'another place in the tree',
      code: 'SIGSTORE_ENTRY_UNPROVEN',
      bundle: (d) => set(entry(d), () => '53604733', 'inclusionProof', 'logIndex'),
    },
    {
      name: 'another root than its checkpoint',
      code: 'SIGSTORE_ENTRY_UNPROVEN',
      bundle: (d) => set(entry(d), changedBase64, 'inclusionProof', 'rootHash'),
    },
    {
      name: 'a checkpoint that was changed',
      code: 'SIGSTORE_ENTRY_UNPROVEN',
      bundle: (d) =>
        set(entry(d), (t) => t.replace('53604735', '53604736'), 'inclusionProof', 'checkpoint', 'envelope'),
    },
    {
      name: 'an entry of a log that nobody trusts',
      code: 'SIGSTORE_ENTRY_UNPROVEN',
      root: (d) => set(d, () => [], 'tlogs'),
    },
    {
      name: 'a log whose key had ended',
      code: 'SIGSTORE_ENTRY_UNPROVEN',
      root: (d) =>
        set(
          d,
          () => ({ start: '2021-01-12T11:53:27Z', end: '2024-01-01T00:00:00Z' }),
          'tlogs',
          0,
          'publicKey',
          'validFor',
        ),
    },
    {
      name: 'a root without its authority',
      code: 'SIGSTORE_CERTIFICATE_UNTRUSTED',
      root: (d) => void at(d, 'certificateAuthorities').pop(),
    },
    {
      name: 'an authority that came later',
      code: 'SIGSTORE_CERTIFICATE_UNTRUSTED',
      root: (d) => set(d, () => '2026-01-01T00:00:00Z', 'certificateAuthorities', 1, 'validFor', 'start'),
    },
    {
      name: 'a certificate log that nobody trusts',
      code: 'SIGSTORE_CERTIFICATE_UNLOGGED',
      root: (d) => void at(d, 'ctlogs').pop(),
    },
    {
      name: 'a version that is not known',
      code: 'SIGSTORE_UNSUPPORTED',
      bundle: (d) => set(d, () => 'application/vnd.dev.sigstore.bundle.v0.9+json', 'mediaType'),
    },
  ]
  for (const attack of attacks) {
    it(`the bundle is refused with ${attack.name} (${attack.code})`, () => {
      const b = changed(bundle(), (d) => attack.bundle?.(d))
      const r = changed(root(), (d) => attack.root?.(d))
      assert.throws(() => verifyThem(b, r, attack.sha256), { code: attack.code })
    })
  }

  it('every prefix of the bundle is refused', () => {
    const bytes = bundle()
    for (let n = 0; n < bytes.length; n += 97) {
      assert.throws(() => parseBundle(bytes.subarray(0, n)), { code: 'SIGSTORE_MALFORMED' })
    }
  })

  it('a log entry of Rekor says whose signature over what it logged, and that signature holds', () => {
    const logged = parseLogBody(vectors.read('rekor-hashedrekord.json'))
    assert.equal(logged.kind, 'hashedrekord')
    assert.equal(logged.sha256, 'c98c24b677eff44860afea6f493bbaec5bb1c4cbb209c6fc2bbb47f66ff2ad31')
    const digest = new Uint8Array(Buffer.from(logged.sha256, 'hex'))
    assert.equal(verifyDigestSignature(importFileKey(logged.verifier), 'sha256', digest, logged.signature), true)
  })

  for (const name of ['image-rs-cosign1.pub', 'image-rs-cosign2.pub', 'image-rs-nv.pub']) {
    it(`${name} is a key that can verify`, () => {
      const pem = vectors.text(name).replace(/-----[^-]+-----|\s/g, '')
      const spki = new Uint8Array(Buffer.from(pem, 'base64'))
      const { key, fingerprint } = importSigningKey(spki)
      assert.ok('kind' in key && key.kind === 'ec' && key.curve === 'P-256')
      assert.equal(fingerprint, `sha256:${createHash('sha256').update(spki).digest('hex')}`)
      assert.equal(verify('sha256', Buffer.of(), key.keyObject, Buffer.of()), false)
    })
  }
})

function at(document: Json, ...path: (string | number)[]): Json {
  return path.reduce<Json>((value, step) => (value as Record<string | number, Json>)[step] as Json, document) // of a vector that is known
}

function set(document: Json, change: (old: string) => unknown, ...path: (string | number)[]): void {
  const last = path[path.length - 1] ?? ''
  const parent = at(document, ...path.slice(0, -1)) as Record<string | number, unknown> // as above
  parent[last] = change(String(parent[last]))
}

const changedBytes = (text: string, where: (n: number) => number): string => {
  const bytes = Buffer.from(text, 'base64')
  const i = where(bytes.length)
  bytes[i] = (bytes[i] ?? 0) ^ 1
  return bytes.toString('base64')
}
const changedBase64 = (text: string): string => changedBytes(text, () => 10)
const changedEnd = (text: string): string => changedBytes(text, (n) => n - 1)
/** Another statement that is JSON still. */
const changedText = (text: string): string =>
  Buffer.from(Buffer.from(text, 'base64').toString('utf8').replace('127.0.0.1', '127.0.0.2')).toString('base64')
