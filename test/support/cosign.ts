import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { json } from './images.ts'
import type { Repository } from './repository.ts'

export const SIMPLE_SIGNING = 'application/vnd.dev.cosign.simplesigning.v1+json'
export const BUNDLE = 'application/vnd.dev.sigstore.bundle.v0.3+json'
/** Predicate of a statement that is a signature of an image. */
export const SIGN = 'https://sigstore.dev/cosign/sign/v1'

export type CosignKey = ReturnType<typeof makeCosignKey>
export const makeCosignKey = () => generateKeyPairSync('ec', { namedCurve: 'P-256' })
export const pemOf = (key: CosignKey): string => key.publicKey.export({ type: 'spki', format: 'pem' }).toString()
export const fingerprintOf = (key: CosignKey): string =>
  `sha256:${createHash('sha256')
    .update(key.publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex')}`

/** The payload that `cosign sign` signs. */
export function simpleSigning(digest: string, reference: string): Buffer {
  return json({
    critical: {
      identity: { 'docker-reference': reference },
      image: { 'docker-manifest-digest': digest },
      type: 'cosign container image signature',
    },
    optional: {},
  })
}

/** Pushes what `cosign sign` pushes: a payload as the layer of a manifest, its signature in an annotation. */
export async function pushSimpleSignature(
  into: Repository,
  options: {
    readonly by: CosignKey
    readonly of: string
    /** Where it is tagged; that of the digest unless given. */
    readonly tag?: string
    readonly reference?: string
    readonly payload?: (signed: Buffer) => Buffer
  },
): Promise<void> {
  const { by, of, tag = of, reference = into.reference, payload = (p) => p } = options
  const signed = simpleSigning(of, reference)
  const signature = sign('sha256', signed, by.privateKey).toString('base64')
  const layer = {
    ...(await into.pushBlob(payload(signed))),
    mediaType: SIMPLE_SIGNING,
    annotations: { 'dev.cosignproject.cosign/signature': signature },
  }
  await into.pushArtifact([layer], { tag: `${tag.replace(':', '-')}.sig` })
}

/** An in-toto statement that says an image is signed. */
export const statementAbout = (digest: string) => ({
  _type: 'https://in-toto.io/Statement/v1',
  subject: [{ digest: { sha256: digest.slice('sha256:'.length) } }],
  predicateType: SIGN,
  predicate: {},
})

/** A bundle with a statement in it, signed with a bare key. */
export function bundleOf(by: KeyObject, statement: unknown): Buffer {
  const payload = json(statement)
  const type = 'application/vnd.in-toto+json'
  const encoded = Buffer.concat([Buffer.from(`DSSEv1 ${type.length} ${type} ${payload.length} `), payload])
  return json({
    mediaType: BUNDLE,
    verificationMaterial: { publicKey: { hint: 'x' } },
    dsseEnvelope: {
      payload: payload.toString('base64'),
      payloadType: type,
      signatures: [{ sig: sign('sha256', encoded, by).toString('base64') }],
    },
  })
}
