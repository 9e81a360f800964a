import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { codeOf, messageOf, toHex } from '../../base/index.ts'
import {
  type Certificate,
  isSelfIssued,
  makeRootStore,
  parseCertificateBundle,
  type RevocationList,
  type RootStore,
} from '../../endorsement/index.ts'
import { VerifierError } from '../config/index.ts'
import { writeFileDurably } from '../keys.ts'

const CERTIFICATE_FILE = /\.(pem|der|crt|cer|crl)$/

/** A certificate or CRL of the roots directory, and where it is. */
export interface KeptItem {
  readonly item:
    | { readonly kind: 'certificate'; readonly certificate: Certificate }
    | { readonly kind: 'crl'; readonly crl: RevocationList }
  /** SHA-256 of its DER, hex. */
  readonly fingerprint: string
  readonly notes: ItemNotes
  /** Name in the directory, and which part of the file with its notes. */
  readonly file: string
  readonly start: number
  readonly end: number
}

/** What an import writes beside each item; a file that the operator put there has none. */
export interface ItemNotes {
  readonly vendor?: string
  readonly source?: string
  /** ISO 8601, UTC. */
  readonly imported?: string
  /** `root`: paths may end here although it is not self-signed; the operator has said so. */
  readonly trust?: string
}

/** May paths end at this certificate? At self-issued ones, and where the operator has said so. */
export const isAnchor = (certificate: Certificate, notes: ItemNotes): boolean =>
  isSelfIssued(certificate) || notes.trust === 'root'

/**
 * Reads everything in the operator's directory. A directory that is not there is empty: only listed nodes enrol then.
 *
 * @throws VerifierError VERIFIER_ROOTS_INVALID naming the file that holds something else
 */
export function readRootsDirectory(directory: string): readonly KeptItem[] {
  let names: string[]
  try {
    names = readdirSync(directory)
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return []
    throw new VerifierError('VERIFIER_ROOTS_INVALID', `roots directory ${directory}: ${messageOf(cause)}`, { cause })
  }
  const files = names.filter((name) => CERTIFICATE_FILE.test(name)).sort()
  return files.flatMap((name) => readKept(directory, name))
}

/** What EK certificates are judged by. @throws VerifierError VERIFIER_ROOTS_INVALID */
export function readRootStore(directory: string): RootStore {
  return rootStoreOf(readRootsDirectory(directory))
}

export function rootStoreOf(items: readonly KeptItem[]): RootStore {
  const anchors: Certificate[] = []
  const others: Certificate[] = []
  const crls: RevocationList[] = []
  for (const { item, notes } of items) {
    if (item.kind === 'crl') crls.push(item.crl)
    else if (isAnchor(item.certificate, notes)) anchors.push(item.certificate)
    else others.push(item.certificate)
  }
  return makeRootStore(anchors, others, crls)
}

function readKept(directory: string, name: string): KeptItem[] {
  const file = join(directory, name)
  try {
    const { entries, problems } = parseCertificateBundle(new Uint8Array(readFileSync(file)))
    const [problem] = problems
    if (problem !== undefined) throw new RangeError(`entry ${problem.entry}: ${problem.message}`)
    return entries.flatMap(({ item, notes, start, end }) => {
      if (item.kind === 'problem') return []
      const { fingerprint } = item.kind === 'crl' ? item.crl : item.certificate
      return [{ item, fingerprint: toHex(fingerprint), notes: parseNotes(notes), file: name, start, end }]
    })
  } catch (cause) {
    throw new VerifierError(
      'VERIFIER_ROOTS_INVALID',
      `${file}: ${messageOf(cause)}; remove the file, or put the right one there`,
      { cause },
    )
  }
}

const NOTE = /^# (vendor|source|imported|trust): (.{1,512})$/gm

function parseNotes(text: string): ItemNotes {
  return Object.fromEntries([...text.matchAll(NOTE)].map(([, key, value]) => [key, value]))
}

/** One item to write. */
export interface NewItem {
  readonly kind: 'certificate' | 'crl'
  readonly der: Uint8Array
  readonly notes: ItemNotes
}

/**
 * Writes all items as one file, so that after a crash either all of them are there or none.
 * @throws VerifierError VERIFIER_ROOTS_INVALID
 */
export function addToRootsDirectory(directory: string, items: readonly NewItem[], now: Date): void {
  const stamp = now.toISOString().replace(/[-:]|\.\d+/g, '')
  const file = join(directory, `import-${stamp}-${randomBytes(4).toString('hex')}.pem`)
  changing(directory, () => {
    mkdirSync(directory, { recursive: true, mode: 0o755 })
    writeFileDurably(file, items.map(pem).join('\n'), 0o644)
  })
}

function pem({ kind, der, notes }: NewItem): string {
  const lines = Object.entries(notes).map(([key, value]) => `# ${key}: ${oneLine(value)}\n`)
  const label = kind === 'crl' ? 'X509 CRL' : 'CERTIFICATE'
  const base64 = Buffer.from(der).toString('base64').replace(/.{64}/g, '$&\n').trimEnd()
  return `${lines.join('')}-----BEGIN ${label}-----\n${base64}\n-----END ${label}-----\n`
}

/** Names of files come from archives: none of them may end the note, or begin a block of its own. */
const oneLine = (text: string): string =>
  text
    .replace(/[^\x20-\x7e]/g, '?')
    .replace(/-{5}/g, '?')
    .slice(0, 512)

/**
 * Takes an item away, wherever it is; the rest of a file that held more stays as it is.
 * @throws VerifierError VERIFIER_ROOTS_INVALID
 */
export function removeFromRootsDirectory(directory: string, fingerprint: string): void {
  const all = readRootsDirectory(directory)
  const files = new Set(all.filter((kept) => kept.fingerprint === fingerprint).map((kept) => kept.file))
  changing(directory, () => {
    for (const name of files) {
      const inFile = all.filter((kept) => kept.file === name)
      const path = join(directory, name)
      if (inFile.every((kept) => kept.fingerprint === fingerprint)) unlinkSync(path)
      else writeFileDurably(path, without(readFileSync(path), inFile, fingerprint), 0o644)
    }
  })
}

function without(content: Buffer, items: readonly KeptItem[], fingerprint: string): Uint8Array {
  const parts: Uint8Array[] = []
  let at = 0
  for (const { start, end } of items.filter((kept) => kept.fingerprint === fingerprint)) {
    parts.push(content.subarray(at, start))
    at = end
  }
  return Buffer.concat([...parts, content.subarray(at)])
}

function changing(directory: string, work: () => void): void {
  try {
    work()
  } catch (cause) {
    throw new VerifierError('VERIFIER_ROOTS_INVALID', `roots directory ${directory}: ${messageOf(cause)}`, { cause })
  }
}
