import { toHex } from '../../base/index.ts'
import {
  type Certificate,
  certificatePurpose,
  isSelfIssued,
  isSelfSigned,
  issuerKeyFault,
  type RevocationList,
  signatureName,
} from '../../endorsement/index.ts'
import { VerifierError } from '../config/index.ts'
import { addToRootsDirectory, type ItemNotes, isAnchor, type NewItem, readRootsDirectory } from './directory.ts'
import { type Candidate, readSources } from './sources.ts'

/** What became of one certificate or CRL of an import. */
export interface ImportedItem {
  readonly outcome: 'imported' | 'already there' | 'refused'
  readonly source: string
  readonly vendor?: string
  /** With all but what could not be read. */
  readonly fingerprint?: string
  readonly kind?: RootKind
  readonly subject?: string
  /** With `refused`. */
  readonly why?: string
}

/** `root`: paths may end there. `intermediate`: helps to reach one. `signer`: signs platform certificates, and no others. */
export type RootKind = 'root' | 'intermediate' | 'signer' | 'crl'

export interface ImportReport {
  readonly items: readonly ImportedItem[]
  readonly passedOver: readonly string[]
}

export interface ImportOptions {
  readonly checkOnly?: boolean
  /** Trust CA certificates as roots although others signed them: for makers who keep their root to themselves. */
  readonly asRoots?: boolean
  readonly now?: Date
}

/**
 * Imports what lies below some paths into the roots directory: everything that is fit, in one step, or nothing. With `checkOnly`
 * nothing is written, and `imported` means that it would be.
 *
 * @throws VerifierError VERIFIER_ROOTS_INVALID, also when nothing at all is fit; CabinetError
 */
export function importRoots(
  directory: string,
  paths: readonly string[],
  { checkOnly = false, asRoots = false, now = new Date() }: ImportOptions = {},
): ImportReport {
  const { candidates, passedOver } = readSources(paths)
  const notes: ItemNotes = { imported: now.toISOString(), ...(asRoots && { trust: 'root' }) }
  const there = new Set(readRootsDirectory(directory).map((kept) => identity(describeItem(kept.item, kept.notes))))
  const fresh: NewItem[] = []
  const items = candidates.map((candidate): ImportedItem => {
    const { item, source, vendor } = candidate
    const from = { source, ...(vendor !== undefined && { vendor }) }
    if (item.kind === 'problem') return { outcome: 'refused', ...from, why: item.message }
    const about = describeItem(item, notes)
    const why = item.kind === 'crl' ? crlFault(item.crl) : rootFault(item.certificate)
    if (why !== undefined) return { outcome: 'refused', ...from, ...about, why }
    if (there.has(identity(about))) return { outcome: 'already there', ...from, ...about }
    there.add(identity(about))
    fresh.push(newItem(candidate, notes))
    return { outcome: 'imported', ...from, ...about }
  })
  const [first] = items
  if (first !== undefined && items.every((item) => item.outcome === 'refused')) {
    const others = items.length === 1 ? '' : `; the ${items.length - 1} others neither`
    throw new VerifierError('VERIFIER_ROOTS_INVALID', `${first.source} was not imported: ${first.why}${others}`)
  }
  if (fresh.length > 0 && !checkOnly) addToRootsDirectory(directory, fresh, now)
  return { items, passedOver }
}

/** An intermediate that is imported once more to be a root is not there already. */
const identity = ({ fingerprint, kind }: { readonly fingerprint: string; readonly kind: RootKind }): string =>
  `${fingerprint} ${kind}`

function newItem({ item, source, vendor }: Candidate, notes: ItemNotes): NewItem {
  if (item.kind === 'problem') throw new TypeError('what cannot be read is not imported')
  const der = item.kind === 'crl' ? item.crl.bytes : item.certificate.bytes
  return { kind: item.kind, der, notes: { ...(vendor !== undefined && { vendor }), source, ...notes } }
}

/** Fingerprint, kind and name of a certificate or CRL. */
export function describeItem(
  item:
    | { readonly kind: 'certificate'; readonly certificate: Certificate }
    | { readonly kind: 'crl'; readonly crl: RevocationList },
  notes: ItemNotes,
): { readonly fingerprint: string; readonly kind: RootKind; readonly subject: string } {
  if (item.kind === 'crl') {
    return { fingerprint: toHex(item.crl.fingerprint), kind: 'crl', subject: `CRL of ${item.crl.issuer.text}` }
  }
  const { fingerprint, subject } = item.certificate
  return { fingerprint: toHex(fingerprint), kind: rootKind(item.certificate, notes), subject: subject.text }
}

function rootKind(c: Certificate, notes: ItemNotes): RootKind {
  if (c.extensions.basicConstraints?.ca !== true) return 'signer'
  return isAnchor(c, notes) ? 'root' : 'intermediate'
}

/** Why a certificate is not fit to be believed or to help; undefined when it is. That it is past its date is for the validity policy. */
function rootFault(c: Certificate): string | undefined {
  const purpose = certificatePurpose(c)
  if (purpose !== 'ca' && purpose !== 'signer')
    return `it is ${PURPOSE_TEXT[purpose]}, not a CA certificate of a TPM maker`
  const key = issuerKeyFault(c.publicKey)
  if (key !== undefined) return `its key ${key}`
  if (c.signatureScheme === undefined)
    return `it is signed with ${signatureName(c.signatureOid)}, which is not accepted`
  if (isSelfIssued(c) && !isSelfSigned(c))
    return 'it names itself as issuer, and its signature does not verify with its own key'
  return undefined
}

const PURPOSE_TEXT = {
  ek: "a TPM's EK certificate",
  ak: 'an attestation key certificate',
  'device-id': 'an IDevID or IAK certificate',
  platform: 'a platform certificate',
  other: 'for something else',
} as const

function crlFault(crl: RevocationList): string | undefined {
  const { signatureScheme: scheme, signatureOid } = crl
  if (scheme !== undefined && scheme.hash !== 'sha1') return undefined
  return `it is signed with ${signatureName(signatureOid)}, which is not accepted for CRLs`
}
