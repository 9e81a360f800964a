import { messageOf } from '../../attestation/base/index.ts'
import { readGiven, type UnprovenImage } from '../image/index.ts'
import { SignatureError } from './errors.ts'
import { verifyDetached } from './gpgv.ts'
import { readMaterial } from './material.ts'
import { MAX_SIGNATURE_BYTES, type OpenPgpKey, parsePublicKeys } from './openpgp.ts'
import type { Requirement } from './policy.ts'
import type { FoundSigners, ProvenanceOptions } from './provenance-options.ts'
import { readTrustedKey, trustedKeysFor } from './trust-store.ts'

/**
 * The OpenPGP signers of an App Container image: a detached signature over the archive as received, in `NAME.aci.asc`
 * beside it (appc discovery, "Validation"), by keys that the policy or the trust store has for the name in its manifest.
 */
export async function findAciSigners(
  image: Extract<UnprovenImage, { kind: 'aci' }>,
  requirements: readonly Requirement[],
  options: ProvenanceOptions,
): Promise<FoundSigners> {
  const { signatureFile } = options
  const signature = signatureFile === undefined ? await image.signature() : readSignature(signatureFile)
  if (signature === undefined) return { signers: [], faults: [] }
  const keys = candidateKeys(image, requirements, options)
  const { goodKeys, faults } = await verifyDetached(image.archive(), signature, [...keys.values()])
  const checkedAt = options.now().toISOString()
  const signers = [...new Set(goodKeys)].map((fingerprint) => ({
    kind: 'openpgp' as const,
    name: keys.get(fingerprint)?.userIds[0] ?? fingerprint,
    key: `openpgp:${fingerprint}`,
    checkedAt,
  }))
  return { signers, faults: faults.map((f) => `its OpenPGP signature: ${f}`) }
}

function candidateKeys(
  image: Extract<UnprovenImage, { kind: 'aci' }>,
  requirements: readonly Requirement[],
  options: ProvenanceOptions,
): ReadonlyMap<string, OpenPgpKey> {
  const keys = requirements.flatMap((r): readonly OpenPgpKey[] => {
    if (r.type === 'signedByTrustedKey') return trustedKeysFor(options.config, image.manifestName).map(readTrustedKey)
    return r.type === 'signedBy' ? r.keys.flatMap((m) => parsePublicKeys(readMaterial(m))) : []
  })
  return new Map(keys.map((key) => [key.fingerprint, key]))
}

function readSignature(file: string): Uint8Array {
  try {
    return new Uint8Array(readGiven(file, MAX_SIGNATURE_BYTES))
  } catch (cause) {
    throw new SignatureError('IMAGE_SIGNATURE_BAD', `cannot read the signature ${file}: ${messageOf(cause)}`, { cause })
  }
}
