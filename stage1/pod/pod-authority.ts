import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { codeOf } from '../../attestation/base/index.ts'
import { type CertificateAuthority, createCa, loadCa } from '../../attestation/ca/index.ts'
import { PodError } from './errors.ts'
import { inDirectory, syncDirectory } from './pod-directory.ts'

/** In the data directory; only root gets in. Key and certificate are one file, so that neither is ever without the other. */
const DIRECTORY = 'pod-ca'
const FILE = 'authority.pem'
const KEY_END = '-----END PRIVATE KEY-----\n'

/** This node's own CA for the TPMs of its pods. */
export interface PodAuthority extends CertificateAuthority {
  /** Absolute; PEM, the key first. */
  readonly file: string
}

/**
 * The CA of a data directory, made at its first use. Who comes second finds what the first one made: a file gets its name
 * only when it is whole and on the disk, and a name is given once.
 * @throws PodError POD_DIRECTORY_FAILED, CaError for a file that holds something else
 */
export function podAuthority(dir: string, now: Date): PodAuthority {
  const file = path.join(path.resolve(dir), DIRECTORY, FILE)
  const text = readAuthority(file) ?? makeAuthority(dir, file, now)
  const end = text.indexOf(KEY_END) + KEY_END.length
  return { ...loadCa(text.slice(end), text.slice(0, end)), file }
}

function readAuthority(file: string): string | undefined {
  return inDirectory(path.dirname(file), () => {
    let fd: number
    try {
      fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW)
    } catch (err) {
      if (codeOf(err) === 'ENOENT') return undefined
      throw err
    }
    try {
      const { uid, mode } = fs.fstatSync(fd)
      if (uid === process.geteuid?.() && (mode & 0o077) === 0) return fs.readFileSync(fd, 'utf8')
    } finally {
      fs.closeSync(fd)
    }
    throw new PodError('POD_DIRECTORY_FAILED', `${file} is not root's alone: who could read it may have the key`, {
      hint: 'Remove it: another one is made, and verifiers have to be told.',
    })
  })
}

function makeAuthority(dir: string, file: string, now: Date): string {
  // a name of its own: verifiers of a fleet know many of these
  const { certPem, keyPem } = createCa(`Holdfast pod TPMs ${randomBytes(8).toString('hex')}`, now)
  const directory = path.dirname(file)
  const temporary = `${file}.${randomBytes(8).toString('hex')}`
  inDirectory(directory, () => {
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 })
    try {
      fs.writeFileSync(temporary, keyPem + certPem, { mode: 0o600, flag: 'wx', flush: true })
      fs.linkSync(temporary, file)
    } catch (err) {
      if (codeOf(err) !== 'EEXIST') throw err
    } finally {
      fs.rmSync(temporary, { force: true })
    }
    syncDirectory(directory)
    syncDirectory(path.resolve(dir))
  })
  return readAuthority(file) ?? keyPem + certPem
}
