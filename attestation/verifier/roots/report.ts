import { toHex } from '../../base/index.ts'
import {
  type Certificate,
  crlLocations,
  encodingOddities,
  findPath,
  isSelfIssued,
  isSelfSigned,
  issuerKeyFault,
  issuerLocations,
  modulusBits,
  type RevocationList,
  type RootStore,
  signatureName,
} from '../../endorsement/index.ts'
import { type NodeRecord, reliedOn } from '../../store/index.ts'
import { isAnchor, type KeptItem, readRootsDirectory, rootStoreOf } from './directory.ts'
import { describeItem, type RootKind } from './import.ts'

/**
 * What an operator should know of an item. `expired`, `not-yet-valid`: by its own dates (a CRL: past its nextUpdate). `weak-key`; `sha1`:
 * signed over SHA-1, where that signature is relied on; `no-root`: an intermediate that leads to no root here; `bad-signature`: a root
 * that its own key did not sign; `unused`: no node relies on it.
 */
export type RootFlag = 'expired' | 'not-yet-valid' | 'weak-key' | 'sha1' | 'no-root' | 'bad-signature' | 'unused'

/** One line of the trust report. */
export interface ListedRoot {
  /** SHA-256 of the DER, hex. */
  readonly fingerprint: string
  readonly kind: RootKind
  /** Folder that it was imported from, else what its subject says of its organisation. */
  readonly vendor: string
  readonly subject: string
  readonly issuer: string
  /** e.g. `RSA-2048`, `P-384`; a CRL has none. */
  readonly key: string | null
  readonly signature: string
  /** ISO 8601; of a CRL thisUpdate and nextUpdate. */
  readonly notBefore: string
  readonly notAfter: string | null
  /** File or archive that it came from, and when; null for a file that somebody put into the directory. */
  readonly source: string | null
  readonly imported: string | null
  /** Name in the roots directory. */
  readonly file: string
  /** Node IDs that rely on it; null when that is not known (no store yet). */
  readonly nodes: readonly string[] | null
  readonly flags: readonly RootFlag[]
}

/** A line with what only `show` tells. */
export interface ShownRoot extends ListedRoot {
  readonly serial: string | null
  readonly subjectKeyId: string | null
  readonly authorityKeyId: string | null
  readonly pathLength: number | null
  readonly issuerPublishedAt: readonly string[]
  readonly crlPublishedAt: readonly string[]
  /** Where it is not DER. */
  readonly encoding: readonly string[]
  /** Of a CRL. */
  readonly revokedCertificates: number | null
}

/**
 * The trust report: what is believed, where it came from, and who relies on it. Sorted by vendor, kind and subject.
 *
 * @param nodes of the store; undefined when there is none
 * @throws VerifierError VERIFIER_ROOTS_INVALID
 */
export function reportRoots(
  directory: string,
  nodes: readonly NodeRecord[] | undefined,
  now: Date,
): readonly ShownRoot[] {
  const kept = readRootsDirectory(directory)
  const store = rootStoreOf(kept)
  const users = nodes === undefined ? undefined : usersOf(nodes)
  const seen = new Set<string>()
  // of two copies, the one that is trusted
  const ordered = [...kept].sort((a, b) => Number(b.notes.trust === 'root') - Number(a.notes.trust === 'root'))
  const lines = ordered.filter(({ fingerprint }) => !seen.has(fingerprint) && seen.add(fingerprint))
  return lines
    .map((k) => line(k, users === undefined ? null : (users.get(k.fingerprint) ?? []), store, now))
    .sort((a, b) => compare(a.vendor, b.vendor) || compare(a.kind, b.kind) || compare(a.subject, b.subject))
}

function usersOf(nodes: readonly NodeRecord[]): ReadonlyMap<string, readonly string[]> {
  const users = new Map<string, string[]>()
  for (const { nodeId, endorsement } of nodes) {
    for (const fingerprint of new Set(endorsement === undefined ? [] : reliedOn(endorsement))) {
      const list = users.get(fingerprint)
      if (list === undefined) users.set(fingerprint, [nodeId])
      else list.push(nodeId)
    }
  }
  return users
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

function line(kept: KeptItem, nodes: readonly string[] | null, store: RootStore, now: Date): ShownRoot {
  const { item, notes, file } = kept
  const common = {
    ...describeItem(item, notes),
    source: notes.source ?? null,
    imported: notes.imported ?? null,
    file,
  }
  return item.kind === 'crl'
    ? { ...common, ...crlLine(item.crl, now), vendor: notes.vendor ?? organisation(item.crl.issuer), nodes: null }
    : {
        ...common,
        ...certificateLine(item.certificate, isAnchor(item.certificate, notes), nodes, store, now),
        vendor: notes.vendor ?? organisation(item.certificate.subject),
        nodes,
      }
}

type Facts = Omit<ShownRoot, 'fingerprint' | 'kind' | 'vendor' | 'subject' | 'source' | 'imported' | 'file' | 'nodes'>

function certificateLine(
  c: Certificate,
  anchor: boolean,
  nodes: readonly string[] | null,
  store: RootStore,
  now: Date,
): Facts {
  return {
    issuer: c.issuer.text,
    key: keyName(c),
    signature: signatureName(c.signatureOid),
    notBefore: c.notBefore.toISOString(),
    notAfter: c.notAfter.toISOString(),
    flags: flagsOf(c, anchor, nodes, store, now),
    serial: toHex(c.serial),
    subjectKeyId: c.extensions.subjectKeyId === undefined ? null : toHex(c.extensions.subjectKeyId),
    authorityKeyId: c.extensions.authorityKeyId === undefined ? null : toHex(c.extensions.authorityKeyId),
    pathLength: c.extensions.basicConstraints?.pathLength ?? null,
    issuerPublishedAt: issuerLocations(c),
    crlPublishedAt: crlLocations(c),
    encoding: encodingOddities(c),
    revokedCertificates: null,
  }
}

function crlLine(crl: RevocationList, now: Date): Facts {
  return {
    issuer: crl.issuer.text,
    key: null,
    signature: signatureName(crl.signatureOid),
    notBefore: crl.thisUpdate.toISOString(),
    notAfter: crl.nextUpdate?.toISOString() ?? null,
    flags: [
      ...(crl.nextUpdate !== undefined && crl.nextUpdate < now ? (['expired'] as const) : []),
      ...(crl.thisUpdate > now ? (['not-yet-valid'] as const) : []),
    ],
    serial: null,
    subjectKeyId: null,
    authorityKeyId: crl.authorityKeyId === undefined ? null : toHex(crl.authorityKeyId),
    pathLength: null,
    issuerPublishedAt: [],
    crlPublishedAt: [],
    encoding: [],
    revokedCertificates: crl.revoked.size,
  }
}

function flagsOf(
  c: Certificate,
  anchor: boolean,
  nodes: readonly string[] | null,
  store: RootStore,
  now: Date,
): readonly RootFlag[] {
  const flags: RootFlag[] = []
  if (now > c.notAfter) flags.push('expired')
  if (now < c.notBefore) flags.push('not-yet-valid')
  if (issuerKeyFault(c.publicKey) !== undefined) flags.push('weak-key')
  if (!anchor && c.signatureScheme?.hash === 'sha1') flags.push('sha1')
  if (isSelfIssued(c) && !isSelfSigned(c)) flags.push('bad-signature')
  if (!anchor && findPath(c, [], store, ANY_TIME, now).kind === 'no-path') flags.push('no-root')
  if (nodes?.length === 0) flags.push('unused')
  return flags
}

const ANY_TIME = { validity: 'ignore-expiry', sha1: 'warn' } as const

function keyName({ publicKey }: Certificate): string {
  if (publicKey.kind === 'rsa') return `RSA-${modulusBits(publicKey.modulus)}`
  return publicKey.kind === 'ec' ? publicKey.curve : 'unsupported'
}

const ORGANISATION = '2.5.4.10'
const COMMON_NAME = '2.5.4.3'

function organisation(name: Certificate['subject']): string {
  const value = (type: string): string | undefined => name.attributes.find((a) => a.type === type)?.value
  return (value(ORGANISATION) ?? value(COMMON_NAME) ?? '-').replace(/\p{C}/gu, '?').slice(0, 64)
}
