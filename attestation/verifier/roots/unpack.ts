import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VerifierError } from '../config/index.ts'
import { type Cabinet, CabinetError, decodeCabinet, unpackFolder } from './cabinet.ts'

/** A file of a cabinet. */
export interface UnpackedFile {
  readonly path: readonly string[]
  readonly content: Uint8Array
}

export interface UnpackedCabinet {
  readonly files: readonly UnpackedFile[]
  /** Names that were refused, and why. */
  readonly refused: readonly { readonly name: string; readonly why: string }[]
}

/** Debian packages of the same names, libarchive-tools for the second; either reads LZX. */
const PROGRAMS: readonly (readonly [name: string, args: (file: string, directory: string) => readonly string[]])[] = [
  ['cabextract', (file, directory) => ['--quiet', '--directory', directory, file]],
  ['bsdtar', (file, directory) => ['-x', '-f', file, '-C', directory]],
]
const PROGRAM_TIMEOUT_MS = 60_000

/**
 * Unpacks a cabinet into memory. Its directory is read and judged here in any case; only LZX, which Microsoft's tools can pack with, is
 * left to a program of the system, in a directory of its own.
 *
 * @param file where `bytes` came from: a program reads it again
 * @throws CabinetError; VerifierError VERIFIER_ROOTS_INVALID when such a program is needed and there is none
 */
export function unpackCabinet(bytes: Uint8Array, file: string): UnpackedCabinet {
  const cabinet = decodeCabinet(bytes)
  const refused = cabinet.files
    .filter((f) => f.path === undefined)
    .map(({ name }) => ({ name, why: 'its name leads out of the cabinet' }))
  const foreign = cabinet.folders.some((f) => f.compression === 'lzx' || f.compression === 'quantum')
  return { files: foreign ? unpackWithProgram(file) : unpackHere(cabinet), refused }
}

function unpackHere(cabinet: Cabinet): UnpackedFile[] {
  const folders = cabinet.folders.map(unpackFolder)
  return cabinet.files.flatMap(({ path, folder, offset, sizeBytes, name }) => {
    const content = folders[folder]?.subarray(offset, offset + sizeBytes)
    if (content?.length !== sizeBytes) {
      throw new CabinetError('CABINET_MALFORMED', `${name} ends behind its folder's last block`)
    }
    return path === undefined ? [] : [{ path, content }]
  })
}

/** @throws VerifierError VERIFIER_ROOTS_INVALID */
export function unpackWithProgram(file: string): UnpackedFile[] {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-cabinet-'))
  try {
    for (const [name, args] of PROGRAMS) {
      const { error, status, stderr } = spawnSync(name, args(file, directory), {
        timeout: PROGRAM_TIMEOUT_MS,
        stdio: ['ignore', 'ignore', 'pipe'],
        encoding: 'utf8',
      })
      if (error !== undefined && 'code' in error && error.code === 'ENOENT') continue
      if (status === 0) return filesBelow(directory)
      const reason = stderr.trim().split('\n')[0] ?? error?.message ?? `exit status ${status}`
      throw new VerifierError('VERIFIER_ROOTS_INVALID', `${file}: ${name} could not unpack it: ${reason.slice(0, 300)}`)
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
  throw new VerifierError(
    'VERIFIER_ROOTS_INVALID',
    `${file}: it is compressed with LZX, which needs a program: apt-get install cabextract, or unpack it elsewhere and import the directory`,
  )
}

function filesBelow(directory: string, path: readonly string[] = []): UnpackedFile[] {
  const entries = readdirSync(join(directory, ...path), { withFileTypes: true })
  return entries
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const inner = [...path, entry.name]
      if (entry.isDirectory()) return filesBelow(directory, inner)
      return entry.isFile() ? [{ path: inner, content: new Uint8Array(readFileSync(join(directory, ...inner))) }] : []
    })
}
