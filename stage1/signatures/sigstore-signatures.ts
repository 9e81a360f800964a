import { printable, toHex } from '../../attestation/base/index.ts'
import { digest } from '../../attestation/crypto/index.ts'
import {
  type Artifact,
  type Bundle,
  bundleOfAnnotations,
  parseBundle,
  parseSimpleSigning,
  SigstoreError,
  type VerifiedSignature,
  verifyBundle,
  verifyBundleByKey,
} from '../../attestation/sigstore/index.ts'
import type { CheckedDocument, Signer, UnprovenImage } from '../image/index.ts'
import { type Attachment, findAttachments } from './attachments.ts'
import type { Requirement } from './policy.ts'
import type { FoundSigners, ProvenanceOptions } from './provenance-options.ts'
import { loadKeys, loadLogs, loadTrustedRoot } from './sigstore-trust.ts'

/** One way that a requirement allows a signature to be verified. */
interface Verifier {
  /** For people; certificates name their holder themselves. */
  readonly name: string
  readonly verify: (bundle: Bundle, artifact: Artifact) => VerifiedSignature
}

/**
 * The Sigstore signers of an OCI image: cosign's simple signatures and bundles beside its index or manifest, verified
 * with the keys and roots of the policy. Whether these signers may sign it is judge()'s to say.
 */
export async function findSigstoreSigners(
  image: Extract<UnprovenImage, { kind: 'oci' }>,
  requirements: readonly Requirement[],
  options: ProvenanceOptions,
): Promise<FoundSigners> {
  const verifiers = requirements.flatMap(verifiersOf)
  const attachments = await findAttachments(
    image.source,
    image.documents.map((d) => d.digest),
  )
  const signers: Signer[] = []
  const faults: string[] = []
  const checkedAt = options.now().toISOString()
  for (const attachment of attachments) {
    const opened = open(attachment, image.documents)
    if (typeof opened === 'string') {
      faults.push(opened)
      continue
    }
    for (const verifier of verifiers) {
      const verified = attempt(() => verifier.verify(opened.bundle, opened.artifact))
      if (typeof verified === 'string') faults.push(`with ${verifier.name}: ${verified}`)
      else signers.push(signerOf(verified, verifier.name, opened.reference, checkedAt))
    }
  }
  return { signers, faults: [...new Set(faults)].slice(0, MAX_FAULTS) }
}

const MAX_FAULTS = 16

function verifiersOf(requirement: Requirement): readonly Verifier[] {
  switch (requirement.type) {
    case 'sigstoreKey': {
      const logs = loadLogs(requirement.logKeys)
      return loadKeys(requirement.keys).map(({ key, from }) => ({
        name: from,
        verify: (bundle, artifact) => verifyBundleByKey(bundle, artifact, { key, logs }),
      }))
    }
    case 'sigstoreCertificate': {
      const root = loadTrustedRoot(requirement.roots)
      return [{ name: 'the trusted root', verify: (bundle, artifact) => verifyBundle(bundle, artifact, root) }]
    }
    default:
      return []
  }
}

interface Opened {
  readonly bundle: Bundle
  readonly artifact: Artifact
  readonly reference?: string
}

/** @returns in words what is wrong with it, where something is */
function open(attachment: Attachment, documents: readonly CheckedDocument[]): Opened | string {
  return attempt((): Opened => {
    if (attachment.kind === 'bundle') {
      const document = documents.find((d) => d.digest === attachment.of)
      if (document === undefined) throw new TypeError('attachments are looked up by the digests of these documents')
      return { bundle: parseBundle(attachment.bytes), artifact: artifactOf(document.bytes) }
    }
    const { manifestDigest, reference } = parseSimpleSigning(attachment.bytes)
    if (!documents.some((d) => d.digest === manifestDigest)) {
      throw new SigstoreError('SIGSTORE_ARTIFACT_MISMATCH', `the signature is for the image ${manifestDigest}`)
    }
    const bundle = bundleOfAnnotations(attachment.annotations)
    if (bundle === undefined) throw new SigstoreError('SIGSTORE_MALFORMED', 'a payload without a signature')
    return { bundle, artifact: artifactOf(attachment.bytes), reference }
  })
}

function artifactOf(bytes: Uint8Array): Artifact {
  return { sha256: toHex(digest('sha256', bytes)), bytes }
}

function attempt<T>(work: () => T): T | string {
  try {
    return work()
  } catch (err) {
    if (!(err instanceof SigstoreError)) throw err
    return printable(err.message, 500) // a registry wrote it in part
  }
}

function signerOf(
  { signer, anchors, predicateType }: VerifiedSignature,
  verifierName: string,
  reference: string | undefined,
  checkedAt: string,
): Signer {
  const who =
    signer.kind === 'certificate'
      ? { name: signer.holder.subject, key: `${signer.holder.issuer} ${signer.holder.subject}` }
      : { name: verifierName, key: signer.fingerprint }
  return {
    kind: signer.kind,
    ...who,
    checkedAt,
    ...(anchors.length > 0 && { anchors }),
    ...(reference !== undefined && { reference: printable(reference, 1024) }),
    ...(predicateType !== undefined && { predicateType: printable(predicateType, 300) }),
  }
}
