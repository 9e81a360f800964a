import { findImage, type ImageStore, type StoredImage } from '../image/index.ts'
import { vouches } from '../users/index.ts'
import { demandOf } from './demand.ts'
import { SignatureError } from './errors.ts'
import { judge } from './judge.ts'
import { INSTALLATION_SCOPE, type LoadedPolicy, loadImagePolicy } from './policy-file.ts'
import { type NamedImage, requirementsFor } from './scope.ts'
import type { ConfigDirectories } from './trust-store.ts'

/**
 * Holds an image of the store against what is trusted now: the policy, the keys and the trust store as they are, the
 * signers as they were verified when it was fetched. Nothing is verified here, so it costs a launch some file reads
 * and no library.
 *
 * @param relaxed names of `--insecure-options` given now; `image` leaves the policy unasked
 * @throws SignatureError IMAGE_NOT_VOUCHED where another user wrote what would be believed, IMAGE_RELAXED where a check was relaxed at fetch that is not named now, IMAGE_POLICY_REFUSES,
 *   IMAGE_UNSIGNED, IMAGE_SIGNATURE_BAD, IMAGE_POLICY_BAD, TRUST_KEY_BAD, TRUST_STORE_FAILED
 */
export function requireProvenance(
  store: ImageStore,
  image: StoredImage,
  config: ConfigDirectories,
  relaxed: readonly string[],
): void {
  requireOne(image, config, relaxed)
  // each layer of an ACI is an image that somebody else may have signed; a dependency never leads back to itself
  for (const id of image.dependencies ?? []) requireProvenance(store, findImage(store, id, '/'), config, relaxed)
}

function requireOne(image: StoredImage, config: ConfigDirectories, relaxed: readonly string[]): void {
  const { origin } = image
  if (![image, origin].every(({ writtenBy }) => vouches(writtenBy))) {
    throw new SignatureError(
      'IMAGE_NOT_VOUCHED',
      `${origin.name} was not fetched by root, and who signed it and what its files are is not for others to say; ` +
        `fetch it as root, which downloads none of its layers again: holdfast fetch ${origin.name}`,
    )
  }
  const missing = origin.relaxed.filter((name) => !relaxed.includes(name))
  if (missing.length > 0) {
    throw new SignatureError(
      'IMAGE_RELAXED',
      `${origin.name} was fetched with --insecure-options=${origin.relaxed.join(',')}; ` +
        `to use it say --insecure-options=${[...new Set([...relaxed, ...missing])].join(',')}, or fetch it again without`,
    )
  }
  if (relaxed.includes('image') || origin.policy?.scope === INSTALLATION_SCOPE) return
  const named: NamedImage = { kind: image.kind, name: origin.name, manifestName: image.manifest.name }
  const loaded = loadImagePolicy(config)
  const { scope, requirements } = requirementsFor(loaded.policy, named)
  const judgement = judge(
    requirements.map((r) => demandOf(r, named, config)),
    origin.signers,
    origin.name,
  )
  if (judgement.satisfied) return
  const changed =
    origin.policy === undefined || origin.policy.sha256 === loaded.sha256
      ? ''
      : '; the policy was another one when it was fetched'
  throw refusal(named, loaded, scope, judgement, origin.signers.length > 0, changed)
}

/** What is said where a policy does not admit an image, and what to do. */
export function refusal(
  image: NamedImage,
  loaded: LoadedPolicy,
  scope: string,
  judgement: { readonly refused: boolean; readonly reasons: readonly string[] },
  hasSignatures: boolean,
  more = '',
): SignatureError {
  const where = `${loaded.where}, scope ${scope}`
  const what = image.kind === 'aci' ? `${image.manifestName} (${image.name})` : image.name
  if (judgement.refused) {
    return new SignatureError(
      'IMAGE_POLICY_REFUSES',
      `${what} is not admitted: ${judgement.reasons.join('; ')} (${where})${more}; ` +
        'write into the policy who signs it, or use --insecure-options=image, which is measured',
    )
  }
  return new SignatureError(
    hasSignatures ? 'IMAGE_SIGNATURE_BAD' : 'IMAGE_UNSIGNED',
    `${what} is not admitted: ${judgement.reasons.join('; ')}${hasSignatures ? '' : '; nobody signed it'} (${where})${more}`,
  )
}
