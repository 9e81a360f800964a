import { type CborWritable, encodeCborItem } from '../encoding/index.ts'
import { TIER_VALUE, type Tier, type TrustworthinessVector, VECTOR_CLAIMS } from './ar4si.ts'
import { type ClaimsEncoding, type Nonce, toBase64url } from './claims.ts'
import { checkEar, type Ear, type EarAppraisal, type EarDialect, earDialect } from './ear.ts'
import { type EarLabels, earLabels } from './ear-labels.ts'
import { boundedFindings } from './findings.ts'

type Entry = readonly [string | number, CborWritable | undefined]

/**
 * The claims set of an EAR as JSON text, in the dialect of its profile.
 * @throws ResultError RESULT_CONTRADICTION for a result that a reader would refuse
 * @throws RangeError for one that its dialect or encoding cannot carry
 */
export function writeEarJson(ear: Ear): string {
  return JSON.stringify(plain(earTree(ear, 'json')))
}

/**
 * The claims set of an EAR as deterministic CBOR.
 * @throws as writeEarJson
 */
export function writeEarCbor(ear: Ear): Uint8Array {
  return encodeCborItem(earTree(ear, 'cbor'))
}

function earTree(ear: Ear, encoding: ClaimsEncoding): CborWritable {
  const dialect = earDialect(ear.profile)
  if (dialect === undefined || dialect !== ear.dialect) throw new RangeError(`profile ${ear.profile} is not written`)
  if (ear.submods.size === 0) throw new RangeError('an EAR has at least one submodule')
  checkEar(ear)
  const labels = earLabels(dialect, encoding)
  const submods = [...ear.submods].map(([label, appraisal]): [string, CborWritable] => [
    label,
    appraisalTree(appraisal, dialect, encoding),
  ])
  return tree([
    [labels.profile, ear.profile],
    [labels.issuedAt, ear.issuedAt],
    [labels.expiresAt, ear.expiresAt],
    [labels.issuer, ear.issuer],
    [labels.subject, ear.subject],
    [labels.nonce, nonceTree(ear.nonces, encoding)],
    [labels.verifierId, verifierTree(ear.verifier, labels)],
    [labels.rawEvidence, binaryTree(ear.rawEvidence, encoding)],
    [labels.status, dialect === 'draft-03' ? statusTree(ear.status, encoding) : undefined],
    [labels.submods, new Map(submods)],
  ])
}

function appraisalTree(appraisal: EarAppraisal, dialect: EarDialect, encoding: ClaimsEncoding): CborWritable {
  const labels = earLabels(dialect, encoding)
  const { attestedKey, findings, vector } = appraisal
  return tree([
    [labels.profile, appraisal.profile],
    [labels.status, statusTree(appraisal.status, encoding)],
    [labels.vector, vector && vectorTree(vector, encoding)],
    [labels.policyIds, policyTree(appraisal.policyIds, dialect)],
    [labels.nonce, nonceTree(appraisal.nonces, encoding)],
    [labels.keyAttestation, attestedKey && tree([['akpub', binaryTree(attestedKey, encoding)]])],
    [labels.findings, findings && findingsTree(findings)],
  ])
}

/** Members that are undefined are left out. */
function tree(entries: readonly Entry[]): ReadonlyMap<string | number, CborWritable> {
  return new Map(entries.filter((entry): entry is [string | number, CborWritable] => entry[1] !== undefined))
}

function verifierTree({ developer, build }: Ear['verifier'], labels: EarLabels): CborWritable {
  return tree([
    [labels.developer, developer],
    [labels.build, build],
  ])
}

function statusTree(status: Tier | undefined, encoding: ClaimsEncoding): CborWritable | undefined {
  return status === undefined || encoding === 'json' ? status : TIER_VALUE[status]
}

function vectorTree(vector: TrustworthinessVector, encoding: ClaimsEncoding): CborWritable {
  return tree(VECTOR_CLAIMS.map((claim, i): Entry => [encoding === 'json' ? claim : i, vector[claim]]))
}

/** The dotted dialect has room for one. */
function policyTree(ids: readonly string[], dialect: EarDialect): CborWritable | undefined {
  if (ids.length === 0) return undefined
  return dialect === 'dotted' ? ids.join(' ') : ids
}

function nonceTree(nonces: readonly Nonce[], encoding: ClaimsEncoding): CborWritable | undefined {
  for (const nonce of nonces) {
    const fits = encoding === 'json' ? typeof nonce === 'string' : typeof nonce !== 'string'
    const [least, most] = encoding === 'json' ? [8, 88] : [8, 64]
    if (!fits || nonce.length < least || nonce.length > most) {
      throw new RangeError(`a nonce of ${nonce.length} ${typeof nonce === 'string' ? 'characters' : 'bytes'}`)
    }
  }
  return nonces.length > 1 ? nonces : nonces[0]
}

function binaryTree(bytes: Uint8Array | undefined, encoding: ClaimsEncoding): CborWritable | undefined {
  return bytes === undefined || encoding === 'cbor' ? bytes : toBase64url(bytes)
}

function findingsTree(findings: NonNullable<EarAppraisal['findings']>): CborWritable {
  return mapsOf(boundedFindings(findings))
}

/** Plain data with maps for objects. */
function mapsOf(value: unknown): CborWritable {
  if (Array.isArray(value)) return value.map(mapsOf)
  if (typeof value !== 'object' || value === null) return value as string | number | null // findings hold nothing else
  return tree(Object.entries(value).map(([key, v]): Entry => [key, v === undefined ? undefined : mapsOf(v)]))
}

/** Maps as objects, for JSON.stringify. */
function plain(value: CborWritable): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, v]) => [key, plain(v)]))
  return Array.isArray(value) ? value.map(plain) : value
}
