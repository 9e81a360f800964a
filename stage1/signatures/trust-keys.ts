import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { codeOf, messageOf, printable } from '../../attestation/base/index.ts'
import { type HttpClient, readBody } from '../image/index.ts'
import { discover } from './discovery.ts'
import { SignatureError } from './errors.ts'
import { MAX_KEY_FILE_BYTES, type OpenPgpKey } from './openpgp.ts'
import { type ConfigDirectories, readKeyFile, type TrustedKey, trustDirectory, trustedKeysFor } from './trust-store.ts'

/** The bytes of key files: a path, a URL, or the URLs that a prefix's pages name. */
export async function loadKeyFiles(
  client: HttpClient,
  places: readonly string[],
  prefix: string | undefined,
): Promise<readonly { readonly place: string; readonly bytes: Uint8Array }[]> {
  if (places.length === 0 && prefix === undefined) {
    throw new SignatureError('TRUST_DISCOVERY_FAILED', 'keys for the root are not discovered; name their files or URLs')
  }
  const tags = places.length > 0 || prefix === undefined ? [] : await discover(client, prefix, 'ac-discovery-pubkeys')
  const found = places.length > 0 ? places : tags.map(({ template }) => discoveredUrl(template))
  const files: { place: string; bytes: Uint8Array }[] = []
  for (const place of found) {
    files.push({ place, bytes: /^https?:\/\//.test(place) ? await readUrl(client, place) : readKeyFile(place) })
  }
  return files
}

/** A page is somebody else's: it names no file of this machine, and what it says is shown beside a fingerprint. */
function discoveredUrl(template: string): string {
  const url = URL.canParse(template) ? new URL(template) : undefined
  if (url !== undefined && /^https?:$/.test(url.protocol)) return url.href
  const shown = printable(template, 200)
  throw new SignatureError('TRUST_DISCOVERY_FAILED', `keys are said to be at '${shown}', which is no https:// URL`)
}

async function readUrl(client: HttpClient, text: string): Promise<Uint8Array> {
  if (!URL.canParse(text)) throw new SignatureError('TRUST_DISCOVERY_FAILED', `'${text.slice(0, 200)}' is no URL`)
  const answer = await client.follow(new URL(text), { accept: '*/*' })
  if (answer.status === 200) return readBody(answer, MAX_KEY_FILE_BYTES)
  answer.body.destroy()
  throw new SignatureError('TRUST_DISCOVERY_FAILED', `${text.slice(0, 300)} answered ${answer.status}`)
}

/**
 * Puts a key into the local trust store, under its fingerprint.
 * @returns the file
 * @throws SignatureError TRUST_STORE_FAILED
 */
export function addTrustedKey(config: ConfigDirectories, prefix: string | undefined, key: OpenPgpKey): string {
  const directory = trustDirectory(config.local, prefix)
  const file = path.join(directory, key.fingerprint)
  changing(file, () => {
    fs.mkdirSync(directory, { recursive: true, mode: 0o755 })
    replaceFile(file, key.bytes)
  })
  return file
}

/**
 * Takes a key away from a prefix: a local file is removed, and one of the system masked by an empty local file.
 * @throws SignatureError TRUST_KEY_BAD where it is not trusted for it, TRUST_STORE_FAILED
 */
export function removeTrustedKey(config: ConfigDirectories, prefix: string | undefined, fingerprint: string): void {
  const of = (): TrustedKey | undefined => keysOfPrefix(config, prefix).find((k) => k.fingerprint === fingerprint)
  if (of() === undefined) {
    const where = prefix === undefined ? 'all images' : prefix
    throw new SignatureError('TRUST_KEY_BAD', `${fingerprint} is not trusted for ${where}; see holdfast trust list`)
  }
  const file = path.join(trustDirectory(config.local, prefix), fingerprint)
  changing(file, () => fs.rmSync(file, { force: true }))
  if (of() === undefined) return
  changing(file, () => {
    fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o755 })
    replaceFile(file, new Uint8Array())
  })
}

function keysOfPrefix(config: ConfigDirectories, prefix: string | undefined): readonly TrustedKey[] {
  const keys = trustedKeysFor(config, prefix ?? 'root')
  return keys.filter((k) => k.prefix === prefix)
}

function replaceFile(file: string, bytes: Uint8Array): void {
  const temporary = path.join(path.dirname(path.dirname(file)), `.${randomBytes(8).toString('hex')}`)
  const fd = fs.openSync(temporary, 'wx', 0o644)
  try {
    fs.writeFileSync(fd, bytes)
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
  fs.renameSync(temporary, file)
}

function changing(file: string, change: () => void): void {
  try {
    change()
  } catch (cause) {
    const hint = codeOf(cause) === 'EACCES' || codeOf(cause) === 'EROFS' ? '; run as root' : ''
    throw new SignatureError('TRUST_STORE_FAILED', `cannot change ${file}: ${messageOf(cause)}${hint}`, { cause })
  }
}
