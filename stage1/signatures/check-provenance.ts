import type { CheckProvenance, Provenance, UnprovenImage } from '../image/index.ts'
import { type Demand, demandOf } from './demand.ts'
import { SignatureError } from './errors.ts'
import { judge } from './judge.ts'
import { refusal } from './launch-check.ts'
import type { Requirement } from './policy.ts'
import { loadImagePolicy } from './policy-file.ts'
import type { FoundSigners, ProvenanceOptions } from './provenance-options.ts'
import { type NamedImage, requirementsFor } from './scope.ts'

/** Most signers that are kept: what a launch request holds. */
const MAX_SIGNERS = 16

/** Makes the question that a fetch asks of an image; see CheckProvenance. */
export function provenanceCheck(options: ProvenanceOptions): CheckProvenance {
  return (image) => check(image, options)
}

async function check(image: UnprovenImage, options: ProvenanceOptions): Promise<Provenance> {
  const named: NamedImage = {
    kind: image.kind,
    name: image.name,
    manifestName: image.kind === 'aci' ? image.manifestName : '',
  }
  const { expectedName } = options
  if (expectedName !== undefined && named.manifestName !== expectedName) {
    const what = `${image.name} is the image ${named.manifestName || 'of no appc name'}, ${expectedName} was asked for`
    throw new SignatureError('TRUST_DISCOVERY_FAILED', what)
  }
  const loaded = loadImagePolicy(options.config)
  const { scope, requirements } = requirementsFor(loaded.policy, named)
  const policy = { sha256: loaded.sha256, scope }
  if (options.acceptUnsigned) return { signers: [], policy }
  const demands: Demand[] = requirements.map((r) => demandOf(r, named, options.config))
  const found = demands.some((d) => d.type === 'reject') ? NOTHING : await findSigners(image, requirements, options)
  const judgement = judge(demands, found.signers, image.name)
  if (judgement.satisfied) return { signers: judgement.by.slice(0, MAX_SIGNERS), policy }
  const { refused, reasons } = judgement
  const all = { refused, reasons: [...reasons, ...found.faults] }
  throw refusal(named, loaded, scope, all, found.signers.length + found.faults.length > 0)
}

/** Loads what verifies signatures now, for a process that may not be able to read it later. */
export async function loadProvenanceCode(): Promise<void> {
  await Promise.all([import('./aci-signatures.ts'), import('./sigstore-signatures.ts'), import('./discover-image.ts')])
}

const NOTHING: FoundSigners = { signers: [], faults: [] }

/** Looks for signatures of the kinds that are asked for, and verifies them with the keys that are asked for. */
async function findSigners(
  image: UnprovenImage,
  requirements: readonly Requirement[],
  options: ProvenanceOptions,
): Promise<FoundSigners> {
  const asks = (...types: Requirement['type'][]): boolean => requirements.some((r) => types.includes(r.type))
  if (image.kind === 'aci') {
    if (!asks('signedBy', 'signedByTrustedKey')) return NOTHING
    const { findAciSigners } = await import('./aci-signatures.ts')
    return findAciSigners(image, requirements, options)
  }
  if (!asks('sigstoreKey', 'sigstoreCertificate')) return NOTHING
  const { findSigstoreSigners } = await import('./sigstore-signatures.ts')
  return findSigstoreSigners(image, requirements, options)
}
