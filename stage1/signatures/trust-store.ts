import fs from 'node:fs'
import path from 'node:path'
import { codeOf, messageOf } from '../../attestation/base/index.ts'
import { SignatureError } from './errors.ts'
import { MAX_KEY_FILE_BYTES, type OpenPgpKey, parsePublicKeys } from './openpgp.ts'

/** Where configuration is: what came with the system, and what the operator of this machine says beside it. */
export interface ConfigDirectories {
  readonly system: string
  readonly local: string
}

export const DEFAULT_CONFIG: ConfigDirectories = { system: '/usr/lib/holdfast', local: '/etc/holdfast' }

/** A key of the trust store. */
export interface TrustedKey {
  readonly fingerprint: string
  /** What it is trusted for: an image name, and all below it; undefined for all images. */
  readonly prefix: string | undefined
  readonly file: string
  readonly from: keyof ConfigDirectories
}

const FINGERPRINT = /^[0-9a-f]{40}$/
/** An App Container identifier, as in manifests: no part of it can lead out of a directory. */
const NAME = /^[a-z0-9]+([-._~/][a-z0-9]+)*$/

/**
 * The keys that may sign an image of this name: those of the root, and of every prefix of the name. A local file
 * replaces the system's of the same name, and masks it when it is empty. Files are named, not read: see readTrustedKey.
 *
 * @throws SignatureError TRUST_STORE_FAILED, TRUST_KEY_BAD for a file whose name is no fingerprint
 */
export function trustedKeysFor(config: ConfigDirectories, name: string): readonly TrustedKey[] {
  if (!NAME.test(name)) throw new SignatureError('TRUST_KEY_BAD', `'${name.slice(0, 100)}' is no image name`)
  const parts = name.split('/')
  const prefixes = parts.map((_, i) => parts.slice(0, i + 1).join('/'))
  return [undefined, ...prefixes].flatMap((prefix) => keysOf(config, prefix))
}

/** All keys of the store, by prefix. @throws as trustedKeysFor */
export function allTrustedKeys(config: ConfigDirectories): readonly TrustedKey[] {
  const prefixes = new Set<string>()
  for (const from of FROM) collectPrefixes(path.join(config[from], PREFIX_DIR), '', prefixes)
  return [undefined, ...[...prefixes].sort()].flatMap((prefix) => keysOf(config, prefix))
}

const FROM = ['system', 'local'] as const
const PREFIX_DIR = 'trustedkeys/prefix.d'
const MAX_DEPTH = 32

/** Directory of the keys of a prefix, below a configuration directory. */
export function trustDirectory(config: string, prefix: string | undefined): string {
  if (prefix === undefined) return path.join(config, 'trustedkeys/root.d')
  if (!NAME.test(prefix)) {
    throw new SignatureError(
      'TRUST_KEY_BAD',
      `'${prefix.slice(0, 100)}' is no prefix of image names; write it as example.com/app`,
    )
  }
  return path.join(config, PREFIX_DIR, prefix)
}

function keysOf(config: ConfigDirectories, prefix: string | undefined): TrustedKey[] {
  const found = new Map<string, TrustedKey>()
  for (const from of FROM) {
    const dir = trustDirectory(config[from], prefix)
    for (const entry of list(dir)) {
      if (entry.isDirectory()) continue // of a longer prefix
      const file = path.join(dir, entry.name)
      if (!FINGERPRINT.test(entry.name)) {
        throw new SignatureError('TRUST_KEY_BAD', `${file}: its name must be the key's fingerprint in lower-case hex`)
      }
      if (isEmpty(file)) found.delete(entry.name)
      else found.set(entry.name, { fingerprint: entry.name, prefix, file, from })
    }
  }
  return [...found.values()]
}

/**
 * @throws SignatureError TRUST_KEY_BAD for a file that is not the one public key of its name, TRUST_STORE_FAILED
 */
export function readTrustedKey(key: TrustedKey): OpenPgpKey {
  const [only, ...more] = parsePublicKeys(readKeyFile(key.file))
  if (only === undefined || more.length > 0) throw new SignatureError('TRUST_KEY_BAD', `${key.file} holds several keys`)
  if (only.fingerprint !== key.fingerprint) {
    throw new SignatureError('TRUST_KEY_BAD', `${key.file} holds the key ${only.fingerprint}, not that of its name`)
  }
  return only
}

/** @throws SignatureError TRUST_STORE_FAILED, TRUST_KEY_BAD where it is too large */
export function readKeyFile(file: string): Uint8Array {
  try {
    const { size } = fs.statSync(file)
    if (size > MAX_KEY_FILE_BYTES) throw new SignatureError('TRUST_KEY_BAD', `${file} has ${size} bytes: no key`)
    return new Uint8Array(fs.readFileSync(file))
  } catch (cause) {
    if (cause instanceof SignatureError) throw cause
    throw storeFailed(file, cause)
  }
}

function list(dir: string): fs.Dirent[] {
  try {
    return fs.readdirSync(dir, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return []
    throw storeFailed(dir, cause)
  }
}

function isEmpty(file: string): boolean {
  try {
    return fs.statSync(file).size === 0
  } catch (cause) {
    throw storeFailed(file, cause)
  }
}

function collectPrefixes(dir: string, prefix: string, into: Set<string>, depth = 0): void {
  if (depth > MAX_DEPTH) throw new SignatureError('TRUST_STORE_FAILED', `${dir} is nested too deep`)
  for (const entry of list(dir)) {
    if (!entry.isDirectory()) continue
    const name = prefix === '' ? entry.name : `${prefix}/${entry.name}`
    into.add(name)
    collectPrefixes(path.join(dir, entry.name), name, into, depth + 1)
  }
}

function storeFailed(what: string, cause: unknown): SignatureError {
  return new SignatureError('TRUST_STORE_FAILED', `cannot read ${what}: ${messageOf(cause)}`, { cause })
}
