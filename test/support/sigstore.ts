import { createHash, sign } from 'node:crypto'
import { canonicalJson } from '../../attestation/base/index.ts'
import * as asn1 from '../../attestation/ca/asn1.ts'
import { decodeCertificate, EXT } from '../../attestation/endorsement/index.ts'
import { leafHash } from '../../attestation/transparency-log/index.ts'
import { caExtensions, type Extension, ecKey, type KeyPair, makeCertificate, spki } from './certificates.ts'

const CODE_SIGNING = '1.3.6.1.5.5.7.3.3'
const ISSUER = '1.3.6.1.4.1.57264.1.8'
const SCT_LIST = '1.3.6.1.4.1.11129.2.4.2'

/** What a test wants to be otherwise than a good signature. */
export interface SignOptions {
  readonly subject?: string
  readonly issuer?: string
  /** When the certificate was issued; it is valid for ten minutes. */
  readonly issued?: Date
  /** When the log took it. */
  readonly logged?: Date
  readonly keyUsage?: readonly Extension[]
  /** What the log is told instead. */
  readonly loggedArtifact?: Uint8Array
  /** RFC 3161 responses. */
  readonly timestamps?: (signature: Uint8Array) => readonly Uint8Array[]
  /** The certificate log promises another certificate. */
  readonly wrongPromise?: boolean
}

/** A private Sigstore: certificate authority, certificate log and signature log, with the root that trusts them. */
export class TestSigstore {
  readonly #root = ecKey('P-384')
  readonly #intermediate = ecKey('P-384')
  readonly #certificateLog = ecKey()
  readonly #log = ecKey()
  readonly #rootDer = makeCertificate({
    subject: 'root',
    key: this.#root,
    issuer: 'root',
    issuerKey: this.#root,
    scheme: 'sha384ECDSA',
    extensions: caExtensions(),
  })
  readonly #intermediateDer = makeCertificate({
    subject: 'intermediate',
    key: this.#intermediate,
    issuer: 'root',
    issuerKey: this.#root,
    scheme: 'sha384ECDSA',
    extensions: caExtensions({ pathLength: 0 }),
  })

  /** `trusted_root.json` */
  trustedRoot(timestampAuthority: readonly Uint8Array[] = []): Uint8Array {
    const validFor = { start: '2020-01-01T00:00:00Z' }
    const chain = (certificates: readonly Uint8Array[]) => ({
      certChain: { certificates: certificates.map((c) => ({ rawBytes: base64(c) })) },
      validFor,
    })
    const log = (key: KeyPair) => ({
      publicKey: { rawBytes: base64(spki(key)), validFor },
      logId: { keyId: base64(keyId(key)) },
    })
    return json({
      mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
      tlogs: [log(this.#log)],
      certificateAuthorities: [chain([this.#intermediateDer, this.#rootDer])],
      ctlogs: [log(this.#certificateLog)],
      timestampAuthorities: timestampAuthority.length > 0 ? [chain(timestampAuthority)] : [],
    })
  }

  /** A bundle of version 0.3 with a message signature. */
  sign(artifact: Uint8Array, o: SignOptions = {}): Record<string, unknown> {
    const key = ecKey()
    const issued = o.issued ?? new Date('2026-01-01T00:00:00Z')
    const certificate = this.#certificate(key, issued, o)
    const signature = sign('sha256', artifact, key.privateKey)
    const timestamps = o.timestamps?.(signature) ?? []
    return {
      mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
      verificationMaterial: {
        certificate: { rawBytes: base64(certificate) },
        tlogEntries: [this.#entry(o.loggedArtifact ?? artifact, signature, certificate, o.logged ?? issued)],
        timestampVerificationData: { rfc3161Timestamps: timestamps.map((t) => ({ signedTimestamp: base64(t) })) },
      },
      messageSignature: {
        messageDigest: { algorithm: 'SHA2_256', digest: base64(sha256(artifact)) },
        signature: base64(signature),
      },
    }
  }

  #certificate(key: KeyPair, issued: Date, o: SignOptions): Uint8Array {
    const extensions: Extension[] = [
      ...(o.keyUsage ?? [
        [EXT.keyUsage, true, asn1.bitString(Uint8Array.of(0x80), 7)],
        [EXT.extKeyUsage, false, asn1.sequence(asn1.oid(CODE_SIGNING))],
      ]),
      [
        EXT.subjectAltName,
        true,
        asn1.sequence(asn1.implicit(6, Buffer.from(o.subject ?? 'https://example.com/release'))),
      ],
      [ISSUER, false, asn1.utf8String(o.issuer ?? 'https://login.example.com')],
    ]
    const make = (all: readonly Extension[]) =>
      makeCertificate({
        ...{ subject: '', key, issuer: 'intermediate', issuerKey: this.#intermediate, scheme: 'sha384ECDSA' },
        ...{ notBefore: issued, notAfter: new Date(issued.getTime() + 600_000), extensions: all },
      })
    const tbs = decodeCertificate(make(extensions)).signedBytes
    const list = this.#promises(o.wrongPromise ? tbs.subarray(1) : tbs, issued)
    return make([...extensions, [SCT_LIST, false, asn1.octetString(list)]])
  }

  /** SignedCertificateTimestampList of one. */
  #promises(tbs: Uint8Array, time: Date): Uint8Array {
    const timestamp = Buffer.alloc(8)
    timestamp.writeBigUInt64BE(BigInt(time.getTime()))
    const size = Buffer.of(tbs.length >> 16, (tbs.length >> 8) & 0xff, tbs.length & 0xff)
    const signed = Buffer.concat([
      Buffer.of(0, 0),
      timestamp,
      Buffer.of(0, 1),
      sha256(spki(this.#intermediate)),
      size,
      tbs,
      Buffer.of(0, 0),
    ])
    const signature = sign('sha256', signed, this.#certificateLog.privateKey)
    const one = Buffer.concat([
      Buffer.of(0),
      keyId(this.#certificateLog),
      timestamp,
      Buffer.of(0, 0, 4, 3),
      vector(signature),
    ])
    return vector(vector(one))
  }

  #entry(artifact: Uint8Array, signature: Uint8Array, certificate: Uint8Array, logged: Date): unknown {
    const pem = `-----BEGIN CERTIFICATE-----\n${base64(certificate).replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`
    const body = json({
      apiVersion: '0.0.1',
      kind: 'hashedrekord',
      spec: {
        data: { hash: { algorithm: 'sha256', value: sha256(artifact).toString('hex') } },
        signature: { content: base64(signature), publicKey: { content: base64(Buffer.from(pem)) } },
      },
    })
    const integratedTime = Math.floor(logged.getTime() / 1000)
    const logId = keyId(this.#log)
    const promise = canonicalJson({ body: base64(body), integratedTime, logID: logId.toString('hex'), logIndex: 7 })
    const rootHash = base64(leafHash(body)) // a tree of this entry alone
    const note = `log.example - 1\n1\n${rootHash}\n`
    const noteSignature = base64(
      Buffer.concat([logId.subarray(0, 4), sign('sha256', Buffer.from(note), this.#log.privateKey)]),
    )
    return {
      logIndex: '7',
      logId: { keyId: base64(logId) },
      kindVersion: { kind: 'hashedrekord', version: '0.0.1' },
      integratedTime: String(integratedTime),
      inclusionPromise: { signedEntryTimestamp: base64(sign('sha256', Buffer.from(promise), this.#log.privateKey)) },
      inclusionProof: {
        logIndex: '0',
        rootHash,
        treeSize: '1',
        hashes: [],
        checkpoint: { envelope: `${note}\n— log.example ${noteSignature}\n` },
      },
      canonicalizedBody: base64(body),
    }
  }
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest()
const keyId = (key: KeyPair): Buffer => sha256(spki(key))
const json = (value: unknown): Uint8Array => new Uint8Array(Buffer.from(JSON.stringify(value)))
const vector = (bytes: Uint8Array): Buffer => Buffer.concat([Buffer.of(bytes.length >> 8, bytes.length & 0xff), bytes])
