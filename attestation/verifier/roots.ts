import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { codeOf, messageOf, toHex } from '../base/index.ts'
import {
  type Certificate,
  isSelfIssued,
  makeRootStoreOfBundle,
  parseCertificateBundle,
  type RootStore,
} from '../endorsement/index.ts'
import { VerifierError } from './config/index.ts'
import { writeFileDurably } from './keys.ts'

/** One certificate of the roots directory, for people. */
export interface ListedRoot {
  readonly fingerprint: string
  readonly kind: 'root' | 'intermediate'
  readonly subject: string
  readonly notAfter: string
}

const CERTIFICATE_FILE = /\.(pem|der|crt|cer)$/

/**
 * Reads all certificates of the operator's directory. A directory that is not there is empty: only listed nodes enrol then.
 *
 * @throws VerifierError VERIFIER_ROOTS_INVALID naming the file that holds something else
 */
export function readRootStore(directory: string): RootStore {
  return makeRootStoreOfBundle(readRoots(directory))
}

export function listRoots(directory: string): ListedRoot[] {
  return readRoots(directory).map(describe)
}

/**
 * Copies the certificates of bundles into the directory, one file each, named by fingerprint. All are read before one is
 * written.
 *
 * @returns what was imported, what was there already included
 * @throws VerifierError VERIFIER_ROOTS_INVALID
 */
export function importRoots(directory: string, files: readonly string[]): ListedRoot[] {
  const certificates = files.flatMap(readBundle)
  try {
    mkdirSync(directory, { recursive: true, mode: 0o755 })
    for (const c of certificates) {
      const base64 = Buffer.from(c.bytes).toString('base64').replace(/.{64}/g, '$&\n').trimEnd()
      const pem = `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`
      writeFileDurably(join(directory, `${toHex(c.fingerprint)}.pem`), pem, 0o644)
    }
  } catch (cause) {
    throw new VerifierError('VERIFIER_ROOTS_INVALID', `roots directory ${directory}: ${messageOf(cause)}`, { cause })
  }
  return certificates.map(describe)
}

function readRoots(directory: string): Certificate[] {
  let names: string[]
  try {
    names = readdirSync(directory)
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return []
    throw new VerifierError('VERIFIER_ROOTS_INVALID', `roots directory ${directory}: ${messageOf(cause)}`, { cause })
  }
  return names
    .filter((name) => CERTIFICATE_FILE.test(name))
    .sort()
    .flatMap((name) => readBundle(join(directory, name)))
}

function readBundle(file: string): Certificate[] {
  try {
    const { certificates, problems } = parseCertificateBundle(new Uint8Array(readFileSync(file)))
    const [problem] = problems
    if (problem !== undefined) throw new RangeError(`entry ${problem.entry}: ${problem.message}`)
    return [...certificates]
  } catch (cause) {
    throw new VerifierError(
      'VERIFIER_ROOTS_INVALID',
      `${file}: ${messageOf(cause)}; remove the file, or put the right one there`,
      {
        cause,
      },
    )
  }
}

function describe(c: Certificate): ListedRoot {
  return {
    fingerprint: toHex(c.fingerprint),
    kind: isSelfIssued(c) ? 'root' : 'intermediate',
    subject: c.subject.text,
    notAfter: c.notAfter.toISOString(),
  }
}
