import { lstatSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { messageOf } from '../../base/index.ts'
import { type BundleEntry, MAX_BUNDLE_BYTES, parseCertificateBundle } from '../../endorsement/index.ts'
import { VerifierError } from '../config/index.ts'
import { isCabinet, MAX_CABINET_BYTES } from './cabinet.ts'
import { unpackCabinet } from './unpack.ts'

/** Most files below the paths of one import, and how deep they may lie. */
const MAX_FILES = 20_000
const MAX_DEPTH = 16
const CERTIFICATE_NAME = /\.(pem|der|crt|cer|crl|cab)$/i

/** One certificate or CRL that somebody wants to import, or what could not be read as one. */
export interface Candidate {
  readonly item: BundleEntry['item']
  /** File, and what in it. */
  readonly source: string
  /** Maker, where the folder says it: the one above `RootCA`, `IntermediateCA` and the like. */
  readonly vendor: string | undefined
}

export interface Sources {
  readonly candidates: readonly Candidate[]
  /** Files that hold no certificates by their name: set-up scripts, notes. */
  readonly passedOver: readonly string[]
}

/**
 * Reads everything below some paths: directories, PEM bundles, DER files, CRLs, Microsoft's TrustedTpm.cab. Nothing is written.
 *
 * @throws VerifierError VERIFIER_ROOTS_INVALID when a path cannot be read or a file named by the operator holds nothing of the kind;
 *   CabinetError
 */
export function readSources(paths: readonly string[]): Sources {
  const candidates: Candidate[] = []
  const passedOver: string[] = []
  for (const path of paths) {
    if (!isDirectory(path)) {
      candidates.push(...readFile(path, undefined, passedOver))
      continue
    }
    for (const parts of filesBelow(path)) {
      const file = join(path, ...parts)
      if (!CERTIFICATE_NAME.test(file) || lstatSync(file).isSymbolicLink()) passedOver.push(file)
      else candidates.push(...readFile(file, vendorOf(parts), passedOver))
    }
  }
  return { candidates, passedOver }
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch (cause) {
    throw new VerifierError('VERIFIER_ROOTS_INVALID', `${path}: ${messageOf(cause)}`, { cause })
  }
}

function filesBelow(root: string): readonly (readonly string[])[] {
  const found: (readonly string[])[] = []
  const walk = (parts: readonly string[]): void => {
    if (parts.length > MAX_DEPTH) throw new VerifierError('VERIFIER_ROOTS_INVALID', `${root}: folders lie too deep`)
    const entries = readdirSync(join(root, ...parts), { withFileTypes: true })
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (entry.isDirectory()) walk([...parts, entry.name])
      else if (found.push([...parts, entry.name]) > MAX_FILES) {
        throw new VerifierError(
          'VERIFIER_ROOTS_INVALID',
          `${root}: more than ${MAX_FILES} files; name the folder that holds the certificates`,
        )
      }
    }
  }
  walk([])
  return found
}

function readFile(file: string, vendor: string | undefined, passedOver: string[]): readonly Candidate[] {
  const bytes = readBytes(file)
  if (!isCabinet(bytes)) return readBundle(bytes, file, vendor)
  const { files, refused } = unpackCabinet(bytes, file)
  const candidates: Candidate[] = refused.map(({ name, why }) => ({
    item: { kind: 'problem', message: why },
    source: `${basename(file)} ${name}`,
    vendor: undefined,
  }))
  for (const { path, content } of files) {
    const source = `${basename(file)} ${path.join('/')}`
    if (CERTIFICATE_NAME.test(source)) candidates.push(...readBundle(content, source, vendorOf(path)))
    else passedOver.push(source)
  }
  return candidates
}

function readBytes(file: string): Uint8Array {
  try {
    const { size } = statSync(file)
    const most = Math.max(MAX_BUNDLE_BYTES, MAX_CABINET_BYTES)
    if (size > most) throw new RangeError(`${size} bytes, at most ${most} are read`)
    return new Uint8Array(readFileSync(file))
  } catch (cause) {
    throw new VerifierError('VERIFIER_ROOTS_INVALID', `${file}: ${messageOf(cause)}`, { cause })
  }
}

/** @throws VerifierError VERIFIER_ROOTS_INVALID for a bundle that exceeds a limit */
export function readBundle(bytes: Uint8Array, source: string, vendor: string | undefined): readonly Candidate[] {
  try {
    const { entries, problems } = parseCertificateBundle(bytes)
    const [nothing] = entries.length === 0 ? problems : []
    if (nothing !== undefined) return [{ item: { kind: 'problem', message: nothing.message }, source, vendor }]
    const several = entries.length > 1
    return entries.map(({ item }, i) => ({ item, source: several ? `${source} #${i + 1}` : source, vendor }))
  } catch (cause) {
    throw new VerifierError('VERIFIER_ROOTS_INVALID', `${source}: ${messageOf(cause)}`, { cause })
  }
}

const KIND_OF_FOLDER = /^(root|intermediate|issuing)/i

/** `AMD/RootCA/x.crt` is AMD's, and so is `AMD/x.crt`. */
function vendorOf(parts: readonly string[]): string | undefined {
  const kind = parts.slice(0, -1).findIndex((part) => KIND_OF_FOLDER.test(part))
  const vendor = kind < 0 ? (parts.length > 1 ? parts[0] : undefined) : parts[kind - 1]
  return vendor?.replace(/[^\x20-\x7e]/g, '?').slice(0, 64)
}
