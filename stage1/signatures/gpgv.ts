import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import { codeOf } from '../../attestation/base/index.ts'
import { SignatureError } from './errors.ts'
import { dearmor, MAX_SIGNATURE_BYTES, type OpenPgpKey } from './openpgp.ts'

/** Hashing 32 GiB takes gpgv two minutes. */
const MAX_MS = 10 * 60_000
const MAX_STATUS_BYTES = 256 << 10

/** What gpgv found: good signatures by the fingerprint of their primary key, and in words what was wrong with others. */
export interface DetachedResult {
  readonly goodKeys: readonly string[]
  readonly faults: readonly string[]
}

/**
 * Verifies a detached OpenPGP signature with gpgv (GnuPG 2.2, Debian package gpgv, which apt itself depends on): no
 * shell, no key but the given ones, no home directory, no network. SHA-1, RIPEMD-160 and MD5 sign nothing.
 *
 * @param data what was signed; read to its end, once
 * @param signature armored or not; may hold several
 * @param keys none is no error: every signature is then by an unknown key
 * @throws SignatureError SIGNATURE_TOOL_FAILED, TRUST_KEY_BAD for what is no signature, or what `data` throws
 */
export async function verifyDetached(
  data: AsyncIterable<Uint8Array>,
  signature: Uint8Array,
  keys: readonly OpenPgpKey[],
): Promise<DetachedResult> {
  if (signature.length > MAX_SIGNATURE_BYTES) {
    throw new SignatureError(
      'TRUST_KEY_BAD',
      `a signature of ${signature.length} bytes, at most ${MAX_SIGNATURE_BYTES}`,
    )
  }
  const directory = fs.mkdtempSync(path.join(tmpdir(), 'holdfast-gpgv-')) // 0700
  try {
    const file = (name: string, bytes: Uint8Array): string => {
      const at = path.join(directory, name)
      fs.writeFileSync(at, bytes, { mode: 0o600 })
      return at
    }
    const keyring = file('keys', Buffer.concat(keys.map((k) => k.bytes)))
    return readStatus(await runGpgv(directory, keyring, file('signature', dearmor(signature, 'SIGNATURE')), data))
  } finally {
    fs.rmSync(directory, { recursive: true, force: true })
  }
}

async function runGpgv(
  home: string,
  keyring: string,
  signature: string,
  data: AsyncIterable<Uint8Array>,
): Promise<string> {
  const weak = ['SHA1', 'RIPEMD160', 'MD5'].flatMap((name) => ['--weak-digest', name])
  const child = spawn('gpgv', ['--homedir', home, '--status-fd', '1', ...weak, '--keyring', keyring, signature, '-'], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
    timeout: MAX_MS,
    killSignal: 'SIGKILL',
  })
  let status = ''
  child.stdout.setEncoding('latin1')
  child.stdout.on('data', (text: string) => {
    status += text
    if (status.length > MAX_STATUS_BYTES) child.kill('SIGKILL')
  })
  const ended = once(child, 'close')
  try {
    await Promise.all([ended, feed(data, child.stdin)])
  } catch (cause) {
    child.kill('SIGKILL')
    if (codeOf(cause) !== 'ENOENT') throw cause
    throw new SignatureError('SIGNATURE_TOOL_FAILED', 'gpgv is not installed; install the Debian package gpgv', {
      cause,
    })
  }
  const [code, signal]: (number | string | null)[] = await ended
  // 0: all good; 1: one is bad; 2: another fault, such as no key. What holds is in the status lines only.
  if (signal !== null || (code !== 0 && code !== 1 && code !== 2)) {
    throw new SignatureError('SIGNATURE_TOOL_FAILED', `gpgv ended with ${signal ?? code}`)
  }
  return status
}

/** gpgv may stop reading before the end, as for a malformed signature: its status says so. */
async function feed(data: AsyncIterable<Uint8Array>, stdin: NodeJS.WritableStream): Promise<void> {
  try {
    await pipeline(data, stdin)
  } catch (err) {
    if (codeOf(err) !== 'EPIPE' && codeOf(err) !== 'ERR_STREAM_PREMATURE_CLOSE') throw err
  }
}

const FAULTS: Readonly<Record<string, string>> = {
  BADSIG: 'the signature is not of these bytes',
  EXPSIG: 'the signature has expired',
  EXPKEYSIG: 'the key had expired',
  REVKEYSIG: 'the key was revoked',
}

/**
 * Status lines as GnuPG's doc/DETAILS has them. A signature begins with NEWSIG; it is good if GOODSIG and VALIDSIG are
 * there and nothing that speaks against it.
 */
function readStatus(text: string): DetachedResult {
  const goodKeys: string[] = []
  const faults: string[] = []
  for (const block of text.split(/^\[GNUPG:\] NEWSIG.*$/m).slice(1)) {
    const lines = block.split('\n').map((line) => line.replace(/^\[GNUPG:\] /, '').split(' '))
    const line = (name: string): string[] | undefined => lines.find(([first]) => first === name)
    const against = lines.find(([name = '']) => Object.hasOwn(FAULTS, name))
    const [, , , , , , , , , , primary = ''] = line('VALIDSIG') ?? []
    if (against !== undefined) faults.push(`${FAULTS[against[0] ?? '']} (key ${shown(against[1])})`)
    else if (line('GOODSIG') !== undefined && /^[0-9A-F]{40}$/.test(primary)) goodKeys.push(primary.toLowerCase())
    else if (line('NO_PUBKEY') !== undefined)
      faults.push(`it is by the key ${shown(line('NO_PUBKEY')?.[1])}, which is not trusted for it`)
    else faults.push('it cannot be verified: a weak digest, or an algorithm that gpgv does not know')
  }
  if (goodKeys.length === 0 && faults.length === 0) faults.push('gpgv found no signature in it')
  return { goodKeys, faults }
}

function shown(word: string | undefined): string {
  return /^[0-9A-F]{8,40}$/.exec(word ?? '')?.[0].toLowerCase() ?? '?'
}
