import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import {
  closeSync,
  fchmodSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { codeOf, messageOf } from '../base/index.ts'
import { VerifierError } from './config/index.ts'

/** A key pair of the verifier, parsed once. */
export interface SigningKey {
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array
  /** SHA-256 of `spki`, hex. */
  readonly spkiSha256: string
}

/** Makes the directory that holds keys and store, for its owner only. */
export function makeDataDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
  } catch (cause) {
    throw new VerifierError(
      'VERIFIER_CONFIG_UNREADABLE',
      `dataDirectory ${directory}: ${messageOf(cause)}; make it, or correct the path`,
      { cause },
    )
  }
}

/**
 * Reads a P-256 private key (PKCS #8, PEM), or makes one on first start, readable by its owner only.
 *
 * @throws VerifierError VERIFIER_KEY_EXPOSED when others may read the file, VERIFIER_KEY_INVALID when it holds no such key
 */
export function loadOrCreateKey(file: string): SigningKey {
  const pem = readPrivateFile(file) ?? createKey(file)
  let privateKey: KeyObject
  try {
    privateKey = createPrivateKey(pem)
  } catch (cause) {
    throw new VerifierError(
      'VERIFIER_KEY_INVALID',
      `${file}: no private key in PEM; put back a copy, or move it away`,
      { cause },
    )
  }
  if (privateKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
    throw new VerifierError('VERIFIER_KEY_INVALID', `${file}: ${privateKey.asymmetricKeyType} key, wanted EC P-256`)
  }
  return signingKey(privateKey)
}

/** Public side and identifiers of a private key. */
export function signingKey(privateKey: KeyObject): SigningKey {
  const publicKey = createPublicKey(privateKey)
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  return {
    privateKey,
    publicKey,
    spki: new Uint8Array(spki),
    spkiSha256: createHash('sha256').update(spki).digest('hex'),
  }
}

/**
 * Reads a file that nobody but its owner may read; undefined when it does not exist.
 *
 * @throws VerifierError VERIFIER_KEY_EXPOSED, VERIFIER_KEY_INVALID
 */
export function readPrivateFile(file: string): string | undefined {
  let fd: number
  try {
    fd = openSync(file, 'r')
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return undefined
    throw new VerifierError('VERIFIER_KEY_INVALID', `${file}: ${messageOf(cause)}`, { cause })
  }
  try {
    const mode = fstatSync(fd).mode & 0o777
    if ((mode & 0o077) !== 0) {
      throw new VerifierError(
        'VERIFIER_KEY_EXPOSED',
        `${file} has mode ${mode.toString(8)}: others may have read this key; replace it, or if they cannot have: chmod 600 ${file}`,
      )
    }
    return readFileSync(fd, 'utf8')
  } finally {
    closeSync(fd)
  }
}

function createKey(file: string): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  writeFileDurably(file, pem, 0o600)
  return pem
}

/** Writes a file so that it is either whole or absent after a crash. */
export function writeFileDurably(file: string, content: string | Uint8Array, mode: number): void {
  const temporary = `${file}.${process.pid}.new`
  const fd = openSync(temporary, 'w', mode)
  try {
    fchmodSync(fd, mode) // whatever the umask
    writeFileSync(fd, content)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameSync(temporary, file)
  const directory = openSync(dirname(file), 'r')
  try {
    fsyncSync(directory)
  } finally {
    closeSync(directory)
  }
}
