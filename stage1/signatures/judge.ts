import { WILDCARD, wildcardMatcher } from '../../attestation/base/index.ts'
import type { Signer } from '../image/index.ts'
import type { Demand } from './demand.ts'
import type { CertificateHolder } from './policy.ts'
import { identityFault } from './signed-identity.ts'

/** Whether signers satisfy demands, and which of them did. */
export type Judgement =
  | { readonly satisfied: true; readonly by: readonly Signer[] }
  | { readonly satisfied: false; readonly refused: boolean; readonly reasons: readonly [string, ...string[]] }

/**
 * Holds verified signatures against a policy: all demands must be satisfied, each by one signer. Nothing is verified
 * here: it was when the image was fetched, and `signers` are what came of it.
 *
 * @param demands at least one
 * @param imageName the reference in its full form
 */
export function judge(demands: readonly Demand[], signers: readonly Signer[], imageName: string): Judgement {
  const by: Signer[] = []
  for (const demand of demands) {
    if (demand.type === 'accept') continue
    if (demand.type === 'reject') {
      return { satisfied: false, refused: true, reasons: ['the policy says reject'] }
    }
    const asked: SignatureDemand = demand
    const faults = signers.map((s) => signerFault(asked, s, imageName))
    const at = faults.indexOf(undefined)
    const signer = signers[at]
    if (signer === undefined) {
      const because = faults.flatMap((fault, i) => (fault ? [`${signers[i]?.key.slice(0, 200)}: ${fault}`] : []))
      return { satisfied: false, refused: false, reasons: [`${wanted(asked)} is wanted`, ...because] }
    }
    if (!by.includes(signer)) by.push(signer)
  }
  if (demands.length === 0) return { satisfied: false, refused: true, reasons: ['the policy has no requirement'] }
  return { satisfied: true, by }
}

type SignatureDemand = Exclude<Demand, { type: 'accept' | 'reject' }>

/** A sentence's subject: what would satisfy it. */
function wanted(demand: SignatureDemand): string {
  switch (demand.type) {
    case 'openpgp':
      return `an OpenPGP signature by ${demand.whose}`
    case 'public-key': {
      const [first = 'no key', ...more] = demand.keys
      return `a Sigstore signature by the key ${first}${more.length > 0 ? ` or one of ${more.length} others` : ''}`
    }
    case 'certificate': {
      const { oidcIssuer, subject } = demand.holder
      return `a Sigstore signature of ${'exact' in subject ? subject.exact : subject.pattern}, vouched for by ${oidcIssuer},`
    }
    default:
      return demand satisfies never
  }
}

/** @returns undefined where the signer is what is asked for, else why not */
function signerFault(demand: SignatureDemand, signer: Signer, imageName: string): string | undefined {
  if (signer.kind !== demand.type) return `is of another kind (${signer.kind})`
  if (demand.type === 'openpgp') return demand.keys.has(signer.key) ? undefined : 'this key is not trusted for it'
  const anchors = signer.anchors ?? []
  if (demand.type === 'public-key') {
    if (!demand.keys.has(signer.key)) return 'this key is not in the policy'
    if (demand.anchors.size > 0 && !anchors.some((a) => demand.anchors.has(a))) return 'no log of the policy has it'
  } else {
    const holder = holderFault(demand.holder, signer)
    if (holder !== undefined) return holder
    if (anchors.length === 0 || !anchors.every((a) => demand.anchors.has(a)))
      return 'its certificate authority or log is not in the policy any more; fetch the image again'
  }
  if (signer.predicateType !== undefined && signer.predicateType !== demand.predicateType) {
    return `it states ${signer.predicateType.slice(0, 200)}, wanted ${demand.predicateType}`
  }
  return identityFault(demand.identity, imageName, signer.reference)
}

/** `key` is issuer and subject with a blank between; an issuer is a URL and has none. */
function holderFault(holder: CertificateHolder, signer: Signer): string | undefined {
  const blank = signer.key.indexOf(' ')
  const [issuer, subject] = [signer.key.slice(0, blank), signer.key.slice(blank + 1)]
  if (blank < 0 || issuer !== holder.oidcIssuer) return `is not vouched for by ${holder.oidcIssuer}`
  const { subject: wantedSubject } = holder
  const fits =
    'exact' in wantedSubject ? subject === wantedSubject.exact : patternMatcher(wantedSubject.pattern)(subject)
  return fits ? undefined : 'its subject is another one'
}

/** `*` for any characters or none, `?` for one; the whole subject has to match. */
function patternMatcher(pattern: string): (text: string) => boolean {
  return wildcardMatcher(
    Array.from({ length: pattern.length }, (_, i) => {
      const c = pattern[i]
      return c === '*' ? WILDCARD.run : c === '?' ? WILDCARD.one : pattern.charCodeAt(i)
    }),
  )
}
