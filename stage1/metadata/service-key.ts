import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { codeOf } from '../../attestation/base/index.ts'
import { PodError, syncDirectory } from '../pod/index.ts'

const KEY_FILE = 'metadata-key'
const KEY_BYTES = 32

/**
 * The secret of this machine's metadata service, made when it is first needed. It is linked to its name when it is whole and on
 * disk: of two services that start at once, one's key is both's.
 *
 * @param dir data directory
 * @throws PodError POD_FILE_BAD for a file that is no such key
 */
export function metadataServiceKey(dir: string): Uint8Array {
  const file = path.join(dir, KEY_FILE)
  return readKey(file) ?? makeKey(dir, file)
}

function makeKey(dir: string, file: string): Uint8Array {
  const temporary = path.join(dir, `.${KEY_FILE}.${process.pid}`)
  fs.rmSync(temporary, { force: true })
  try {
    fs.writeFileSync(temporary, randomBytes(KEY_BYTES), { flag: 'wx', mode: 0o600, flush: true })
    fs.linkSync(temporary, file)
    syncDirectory(dir)
  } catch (err) {
    if (codeOf(err) !== 'EEXIST') throw err
  } finally {
    fs.rmSync(temporary, { force: true })
  }
  const key = readKey(file)
  if (key === undefined) throw new PodError('POD_FILE_BAD', `${file} went away while it was made`)
  return key
}

function readKey(file: string): Uint8Array | undefined {
  let bytes: Buffer
  try {
    bytes = fs.readFileSync(file)
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return undefined
    throw err
  }
  if (bytes.length === KEY_BYTES) return new Uint8Array(bytes)
  throw new PodError('POD_FILE_BAD', `${file} has ${bytes.length} bytes, not ${KEY_BYTES}`, {
    hint: 'Remove it: what pods have signed until now can then no longer be verified.',
  })
}
